"""nDCG@10 of a model on retrieval sets in BEIR's layout: `python -m benchmarks.retrieval SET_FOLDER… --context 256`.

Enters: folders. Leaves: one line a set and precision, JSON with --json; with several precisions also how far each is
from the first. The sets are not part of the project; docs/log.md says which were used.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import crumb
from crumb.evaluation.beir import read_retrieval_set
from crumb.evaluation.metrics import ndcg


def measure(model: crumb.Model, folder: Path) -> dict[str, Any]:
    """Scores one set: queries and documents encoded without prompts, cosine, exact search, mean nDCG@10."""
    data = read_retrieval_set(folder)
    started = time.perf_counter()
    corpus, report = model.encode(list(data.corpus.values()), truncation="end", return_report=True)
    seconds = time.perf_counter() - started
    queries = model.encode(list(data.queries.values()), truncation="end")
    ids = list(data.corpus)
    found = crumb.semantic_search(queries, corpus, top_k=10)
    scores = [
        ndcg([ids[hit["corpus_id"]] for hit in hits], data.qrels[query])
        for query, hits in zip(data.queries, found, strict=True)
    ]
    return {
        "set": data.name,
        "model": model.name,
        "context": model.context,
        "positions": model.contract.positions,
        "kernels": model.engine.isa,
        "precision": model.engine.precision,
        "queries": len(scores),
        "documents": len(ids),
        "truncated_documents": report.truncated_texts,
        "ndcg@10": round(100 * sum(scores) / len(scores), 2),
        "tokens_per_second": round(report.tokens / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--context", type=int, default=None)
    parser.add_argument("--positions", default=None)
    parser.add_argument("--precision", nargs="+", choices=("float32", "bf16", "int8"), default=["float32"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    models = [
        crumb.load(args.model, context=args.context, positions=args.positions, precision=precision)
        for precision in args.precision
    ]
    furthest = 0.0
    for folder in args.folders:
        results = [measure(model, folder) for model in models]
        for result in results:
            difference = result["ndcg@10"] - results[0]["ndcg@10"]
            furthest = max(furthest, abs(difference))
            if args.json:
                print(json.dumps(result), flush=True)
            else:
                print(
                    f"{result['set']:16} {result['ndcg@10']:6.2f} nDCG@10 ({difference:+.2f}) at {result['context']} "
                    f"tokens ({result['queries']} queries, {result['documents']} documents, "
                    f"{result['truncated_documents']} cut; {result['kernels']})",
                    flush=True,
                )
    if len(models) > 1:
        print(f"{len(args.folders)} sets, at most {furthest:.2f} from {args.precision[0]}")


if __name__ == "__main__":
    main()
