"""One query at a time, text to vector: `python -m benchmarks.latency --peers crumb-int8 onnxruntime-int8`.

Enters: names of peers (benchmarks/peers). Leaves: for each peer the quantiles of the time of one call, taken in blocks
of calls that alternate between the peers, after the cosine to crumb in float32 was checked; and the ratio of medians to
the first peer. Every call gets another query, as a server would see it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import crumb
from benchmarks.held import HELD, hold
from benchmarks.peers import LOWEST_COSINE, PEERS, build
from benchmarks.report import line_of, machine, versions
from benchmarks.texts import work
from crumb import store

_BLOCK = 50
_WARM = 5
_REST = 0.1  # seconds: some libraries' threads go on spinning for a while after a call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["crumb-int8", "crumb-bf16", "onnxruntime-int8"])
    parser.add_argument("--calls", type=int, default=2000, help="of each peer")
    parser.add_argument("--isa", choices=HELD, help="hide newer instruction sets from the process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="append the results to this file")
    args = parser.parse_args()
    hold(args.isa)

    folder = store.resolve(None, fetch=True)
    texts, context = work()["queries"]
    model = crumb.load(folder, precision="float32")
    expected, report = model.encode(texts, return_report=True)
    about = machine(args.threads)
    print(f"{line_of(about)}; {args.calls} calls each in alternating blocks of {_BLOCK}")
    about["versions"] = versions(name for peer in args.peers for name in PEERS[peer].needs)
    print(f"one query of {report.tokens / report.texts:.0f} tokens in the mean, milliseconds")
    encoders = {peer: build(peer, folder, args.threads, context) for peer in args.peers}
    for peer, encode in encoders.items():
        least = min(float((encode([text])[0] * row).sum()) for text, row in zip(texts[:45], expected, strict=False))
        if least < LOWEST_COSINE:
            raise SystemExit(f"{peer} gives other vectors: least cosine {least:.4f}")
    times: dict[str, list[float]] = {peer: [] for peer in encoders}
    for done in range(0, args.calls, _BLOCK):
        for peer, encode in encoders.items():
            time.sleep(_REST)
            for text in texts[:_WARM]:
                encode([text])
            for call in range(done, done + _BLOCK):
                query = [texts[call % len(texts)]]
                started = time.perf_counter()
                encode(query)
                times[peer].append((time.perf_counter() - started) * 1e3)
    first = float(np.median(next(iter(times.values()))))
    rows = []
    for peer, found in times.items():
        p50, p90, p99 = (float(np.quantile(found, q)) for q in (0.5, 0.9, 0.99))
        print(f"{peer:30} p50 {p50:7.3f}   p90 {p90:7.3f}   p99 {p99:7.3f} ms   {p50 / first:5.2f}x")
        rows.append({"peer": peer, "p50": p50, "p90": p90, "p99": p99})
    if args.json:
        with args.json.open("a") as file:
            print(json.dumps({**about, "work": "latency", "calls": args.calls, "rows": rows}), file=file)


if __name__ == "__main__":
    main()
