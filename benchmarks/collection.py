"""Collections measured: one vector a document or passages (`long`), and many passages from end to end (`show`).

    python -m benchmarks.collection long SET_FOLDER… [--documents 60] [--queries 100] [--precision int8]
    python -m benchmarks.collection show --texts FILE.jsonl.gz… --passages 200000 --folder PLACE [--vectors FILE.npy]

Enters: retrieval sets in BEIR's layout; or JSON lines with a text each, repeated with a number before each where more
are wanted (for volume only: such passages say little about quality). Leaves: a line a figure, JSON with --json. `show`
goes on in its folder where it was stopped; only a run that was not stopped has a wall time. The sets and texts are not
part of the project; docs/log.md says which were used.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

import crumb
from benchmarks.texts import records
from crumb.errors import TruncationWarning
from crumb.evaluation.beir import RetrievalSet, read_retrieval_set
from crumb.evaluation.metrics import score_rankings
from crumb.model import EncodeReport

_GROUPS = 100  # values of the metadata that the filter goes by
_FILTER = {"group": {"<": 5}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    commands = parser.add_subparsers(required=True)
    long = commands.add_parser("long", help="nDCG@10 of one vector a document and of passages")
    long.add_argument("sets", nargs="+", type=Path)
    long.add_argument("--documents", type=int, default=None, help="so many documents at most: those that are judged")
    long.add_argument("--queries", type=int, default=None, help="so many queries at most, evenly spread")
    long.add_argument("--context", type=int, nargs="*", default=[], help="also one vector at these contexts, tiled")
    long.add_argument("--chunk-tokens", type=int, nargs="+", default=[254])
    long.add_argument("--overlap", type=int, nargs="+", default=[0])
    long.add_argument("--mode", nargs="+", default=["dense"], choices=("dense", "bm25", "hybrid"))
    long.set_defaults(run=run_long)
    show = commands.add_parser("show", help="time, room and recall of many passages")
    show.add_argument("--texts", nargs="+", type=Path, required=True)
    show.add_argument("--field", default="text")
    show.add_argument("--characters", type=int, default=1_000, help="of a passage at most")
    show.add_argument("--passages", type=int, default=200_000)
    show.add_argument("--folder", type=Path, required=True)
    show.add_argument("--encoding", default="float32")
    show.add_argument("--vectors", type=Path, default=None, help="float32 [passages, d]: indexed as they are")
    show.add_argument("--queries", type=int, default=200)
    show.set_defaults(run=run_show)
    for command in (long, show):
        command.add_argument("--model", default=None)
        command.add_argument("--precision", default="auto")
    args = parser.parse_args()
    for line in args.run(args):
        print(json.dumps(line) if args.json else "  ".join(f"{key} {value}" for key, value in line.items()), flush=True)


# --- long documents


def run_long(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line a set and a way to store it."""
    warnings.simplefilter("ignore", TruncationWarning)
    for folder in args.sets:
        data = subset(read_retrieval_set(folder), args.documents, args.queries)
        ways: list[tuple[str, int | None, dict[str, Any]]] = [("one vector", None, {"strategy": "one-vector"})]
        ways += [("one vector", context, {"strategy": "one-vector"}) for context in args.context]
        for tokens in args.chunk_tokens:
            for overlap in args.overlap:
                name = f"passages of {tokens}, overlap {overlap}"
                ways.append((name, None, {"chunk_tokens": tokens, "overlap": overlap}))
        for name, context, settings in ways:
            positions: Any = None if context is None or context <= 512 else "tile"
            model = crumb.load(args.model, context=context, positions=positions, precision=args.precision)
            with tempfile.TemporaryDirectory() as place, crumb.Collection(Path(place) / "c", model, **settings) as c:
                started = time.perf_counter()
                report = c.add(list(data.corpus.values()), ids=list(data.corpus))
                seconds = time.perf_counter() - started
                for mode in args.mode:
                    yield {
                        "set": data.name,
                        "way": name,
                        "context": model.context,
                        "mode": mode,
                        "ndcg@10": round(100 * score(c, data, mode), 2),
                        "documents": len(data.corpus),
                        "queries": len(data.queries),
                        "vectors": report.chunks,
                        "tokens_read": report.tokens,
                        "tokens_cut": report.tokens_cut,
                        "seconds": round(seconds, 1),
                        "precision": model.engine.precision,
                    }


def score(c: crumb.Collection, data: RetrievalSet, mode: Any) -> float:
    """Mean nDCG@10, one hit a document."""
    runs = {
        q: {str(hit.id): -float(rank) for rank, hit in enumerate(c.search(text, mode=mode, exact=True))}
        for q, text in data.queries.items()
    }
    return float(np.mean(list(score_rankings(data.qrels, runs, ["nDCG@10"])["nDCG@10"].values())))


def subset(data: RetrievalSet, documents: int | None, queries: int | None) -> RetrievalSet:
    """Fewer documents, and queries whose judged documents are all among them."""
    corpus = dict(islice(data.corpus.items(), documents))
    fitting = [q for q, grades in data.qrels.items() if grades.keys() <= corpus.keys()]
    if queries is not None and len(fitting) > queries:
        fitting = [fitting[i * len(fitting) // queries] for i in range(queries)]
    return RetrievalSet(data.name, corpus, {q: data.queries[q] for q in fitting}, {q: data.qrels[q] for q in fitting})


# --- many passages


class Given:
    """Stands where the collection's reader would, with vectors that were made before."""

    def __init__(self, reader: Any, vectors: Any, at: int) -> None:
        self._reader = reader
        self._vectors = vectors
        self._at = at
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def vectors(self, texts: Sequence[str], truncation: Any = "error") -> tuple[Any, EncodeReport]:
        started = time.perf_counter()
        if self._vectors is None:
            made = self._reader.vectors(texts, truncation)
        else:
            rows = np.asarray(self._vectors[self._at : self._at + len(texts)], dtype=np.float32)
            made = rows, EncodeReport(texts=len(texts))
            self._at += len(texts)
        self.seconds += time.perf_counter() - started
        return made  # type: ignore[no-any-return]


def run_show(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Figures as they come."""
    vectors = None if args.vectors is None else np.load(args.vectors, mmap_mode="r")
    texts = list(islice(passages(args.texts, args.field, args.characters), args.passages))
    model = crumb.load(args.model, precision=args.precision)
    settings: dict[str, Any] = {"strategy": "one-vector", "encoding": args.encoding}
    if vectors is not None:
        settings["dimensions"] = vectors.shape[1]
    warnings.simplefilter("ignore", TruncationWarning)
    with crumb.Collection(args.folder, model, **settings) as c:
        begun = len(c)
        vars(c)["_reader"] = reader = Given(c._reader, vectors, begun)
        started = time.perf_counter()
        report = c.upsert(
            texts[begun:],
            ids=list(range(begun, len(texts))),
            metadata=[{"group": i % _GROUPS, "source": "benchmark"} for i in range(begun, len(texts))],
        )
        added = time.perf_counter()
        c.optimize()
        optimized = time.perf_counter()
        yield {
            "passages": len(c),
            "of which before": begun,
            "wall_seconds": round(optimized - started, 1),
            "embedding": "given" if vectors is not None else round(reader.seconds, 1),
            "tokens": report.tokens,
            "writing_and_graph": round(added - started - reader.seconds, 1),
            "rest_of_the_graph": round(optimized - added, 1),
            "disk_MB": round(sum(512 * p.stat().st_blocks for p in args.folder.rglob("*")) / 1e6),
            "peak_memory_MB": peak_memory(),
            "precision": model.engine.precision,
            "encoding": args.encoding,
        }
        yield from measure_search(c, texts, vectors, args.queries)


def measure_search(c: crumb.Collection, texts: list[str], vectors: Any, queries: int) -> Iterator[dict[str, Any]]:
    """p50, p99 and recall@10, with and without a filter."""
    step = max(1, len(texts) // queries)
    chosen = list(range(step // 2, len(texts), step))[:queries]
    if vectors is None:
        questions = [" ".join(texts[i].split()[:12]) for i in chosen]
        asked = c.model.encode(questions, dimensions=c.manifest.dimensions, truncation="end")
    else:  # near a passage, but not on it
        rng = np.random.default_rng(0)
        rows = np.asarray(vectors[chosen], dtype=np.float32)
        asked = rows + 0.5 * rng.standard_normal(rows.shape).astype(np.float32) / np.sqrt(rows.shape[1])
    for name, where in (("no filter", None), ("filter of 5 %", _FILTER)):
        c.search(asked[0], filter=where)  # a filter's first use makes an index
        seconds, same = [], 0
        for query in asked:
            started = time.perf_counter()
            found = c.search(query, filter=where)
            seconds.append(time.perf_counter() - started)
            same += len({hit.id for hit in found} & {hit.id for hit in c.search(query, filter=where, exact=True)})
        p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
        yield {
            "search": name,
            "queries": len(asked),
            "p50_ms": round(float(p50), 2),
            "p99_ms": round(float(p99), 2),
            "recall@10": round(same / (10 * len(asked)), 4),
        }
    yield {"memory_MB at the end": peak_memory()}


def passages(files: Sequence[Path], field: str, characters: int) -> Iterator[str]:
    """The texts of the files; when they are used up, again with a number before each."""
    for turn in count():
        for file in files:
            for record in records(file):
                text = record[field][:characters].strip()
                if text:
                    yield f"{turn} {text}" if turn else text


def peak_memory() -> int:
    """Resident MB at most so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


if __name__ == "__main__":
    main()
