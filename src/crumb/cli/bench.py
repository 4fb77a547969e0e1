"""`crumb bench`: how fast this machine encodes, in every precision that its CPU has.

Enters: a model, and texts of the user's own if there are any. Leaves: a table of tokens a second, of one query's
latency, of what the precision costs in cosine, and of memory; on stdout, or JSON. Rates are medians of runs that
alternate between the precisions, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from crumb.cli.options import PRECISIONS, add_model_arguments, positive_int
from crumb.cli.readers import Reader

if TYPE_CHECKING:
    from crumb.model import Model

HELP = """Measures this machine: tokens a second and the time of one query, in every precision that its CPU runs, on
made-up texts of passage, query and full length, or on your own with --from."""

_SENTENCE = "The quick brown fox jumps over the lazy dog while small crumbs of bread feed birds in the old town. "
_QUERY = "how do small birds find the crumbs of bread in an old town?"
_PASSAGE_TOKENS, _PASSAGES, _QUERIES = 230, 48, 256
_CALLS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb bench`."""
    parser.add_argument("--from", dest="source", metavar="PATH", help="texts to encode, in any form that embed reads")
    parser.add_argument("--field", metavar="NAME", help="JSON field or CSV column that holds the text (default: text)")
    parser.add_argument("--limit", type=positive_int, default=1000, metavar="N", help="texts of PATH that are used")
    parser.add_argument("--runs", type=positive_int, default=5, help="of which the median counts (default: 5)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the table."""
    from crumb.engine.cpu import cpu_name
    from crumb.engine.precision import kernels
    from crumb.loading import load

    asked: list[Any] = [args.precision] if args.precision != "auto" else [p for p in PRECISIONS if p != "auto"]
    runs_here = {kernel.precision for kernel in kernels() if kernel.runs}
    options = {"context": args.context, "positions": args.positions, "threads": args.threads}
    exact = load(args.model, precision="float32", **options)
    wanted = [p for p in asked if p in runs_here or args.precision == p]
    models = {p: exact if p == "float32" else load(args.model, precision=p, **options) for p in wanted}
    works = _own(args) if args.source else _made_up(exact)
    results = {
        "cpu": cpu_name(),
        "threads": exact.engine.threads,
        "model": exact.name,
        "runs": args.runs,
        "precisions": _measure(models, exact, works, args.runs),
    }
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        _show(results)
    return 0


def _made_up(model: Model) -> dict[str, list[str]]:
    tokens = model.tokenizer.count([_SENTENCE])[0]

    def of(length: int) -> str:
        return _SENTENCE * max(1, length // tokens)

    room = model.context - model.tokenizer.n_special
    return {
        "passages": [of(min(_PASSAGE_TOKENS, room))] * _PASSAGES,
        "queries": [_QUERY] * _QUERIES,
        f"one text of {model.context:,} tokens": [_SENTENCE * (room // tokens + 1)],
    }


def _own(args: argparse.Namespace) -> dict[str, list[str]]:
    records = Reader(args.field or "text").read([args.source])
    texts = [record.text for record in islice(records, args.limit)]
    if not texts:
        raise ValueError(f"{args.source} has no texts to measure with")
    return {f"{len(texts):,} texts of {args.source}": texts}


def _measure(models: dict[str, Model], exact: Model, works: dict[str, list[str]], runs: int) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {
        p: {"precision": p, "kernels": m.engine.isa, "packed_megabytes": round(m.engine.packed_bytes / 1e6, 1)}
        for p, m in models.items()
    }
    for name, texts in works.items():
        expected, report = exact.encode(texts, truncation="end", return_report=True)
        rates: dict[str, list[float]] = {p: [] for p in models}
        for turn in range(runs + 1):
            for p, model in models.items():
                started = time.perf_counter()
                vectors = model.encode(texts, truncation="end")
                seconds = time.perf_counter() - started
                if turn:  # the first one warms up, and shows what the precision costs
                    rates[p].append(report.tokens / seconds)
                else:
                    least = float((vectors * expected).sum(1).min())
                    rows[p]["least_cosine"] = round(min(least, rows[p].get("least_cosine", 1.0)), 5)
        for p, found in rates.items():
            rows[p].setdefault("tokens_per_second", {})[name] = round(statistics.median(found))
    for p, model in models.items():
        times = sorted(_one_query(model) for _ in range(_CALLS))
        rows[p]["query_ms"] = {"p50": _at(times, 0.5), "p99": _at(times, 0.99)}
    return list(rows.values())


def _one_query(model: Model) -> float:
    started = time.perf_counter()
    model.encode(_QUERY)
    return (time.perf_counter() - started) * 1e3


def _at(times: Sequence[float], quantile: float) -> float:
    return round(times[int(quantile * (len(times) - 1))], 3)


def _show(results: dict[str, Any]) -> None:
    rows = results["precisions"]
    print(f"{results['cpu']}, {results['threads']} threads, {results['model']}, medians of {results['runs']} runs\n")
    lines: list[tuple[str, list[str]]] = [("kernels", [row["kernels"] for row in rows])]
    for name in rows[0]["tokens_per_second"]:
        lines.append((f"{name}, tokens/s", [f"{row['tokens_per_second'][name]:,}" for row in rows]))
    for quantile in ("p50", "p99"):
        lines.append((f"one query, ms, {quantile}", [f"{row['query_ms'][quantile]:.2f}" for row in rows]))
    lines.append(("least cosine to float32", [f"{row['least_cosine']:.4f}" for row in rows]))
    lines.append(("packed weights, MB", [f"{row['packed_megabytes']}" for row in rows]))
    width = max(len(name) for name, _ in lines)
    print(" " * width, *(f"{row['precision']:>16}" for row in rows))
    for name, cells in lines:
        print(f"{name:{width}}", *(f"{cell:>16}" for cell in cells))
