"""Servers under the same load in one run: `python -m benchmarks.serving --servers crumb infinity plain`.

Enters: names of servers (benchmarks/serving/servers.py). Leaves: requests a second and latencies of one short text a
request, over one connection and over 64; tokens a second of 256 passages a request beside the library's own; the
latency of one-text clients beside bulk clients and without them; time to the first vector and memory. All servers stay
up and take turns, medians over the rounds; the client shares the two cores with them. The cosine of every server's
vectors to crumb's in float32 is checked first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

import crumb
from benchmarks.load import Load, drive, measure, request
from benchmarks.report import line_of, machine, versions
from benchmarks.serving.servers import SERVERS, Running, running
from benchmarks.texts import work
from crumb import store

_LEAST_COSINE = 0.99
_ONE_TEXT_RATE = 10.0  # requests a second of the clients that are to be spared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=["crumb", "crumb-int8", "infinity", "plain"])
    parser.add_argument("--parts", nargs="+", choices=["short", "bulk", "mixed"], default=["short", "bulk", "mixed"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--json", type=Path, help="append the results to this file")
    args = parser.parse_args()
    about = machine(2)
    print(f"{line_of(about)}; client and server on the same cores; {args.rounds} rounds in turns, medians")
    folder = store.resolve(None, fetch=True)
    short, passages = _short(), _passages()
    rows: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        servers = [stack.enter_context(running(name, folder)) for name in args.servers]
        _check(servers, folder, short)
        for server in servers:
            rest = server.resident_megabytes()
            rows[server.name] = {"start_seconds": server.start_seconds, "rest_mb": rest}
            print(f"{server.name:16} first vector after {server.start_seconds:6.2f} s, {rest:6.0f} MB")
        if "short" in args.parts:
            _measure_short(servers, short, args.rounds, args.seconds, rows)
        ours = [server for server in servers if server.name.startswith("crumb")]
        if "bulk" in args.parts:
            _measure_bulk(ours, passages, args.rounds, rows, folder)
        if "mixed" in args.parts:
            _measure_mixed(ours, short, passages, 4 * args.seconds, rows)
        for server in servers:
            rows[server.name]["worked_mb"] = server.resident_megabytes()
            print(f"{server.name:16} {rows[server.name]['worked_mb']:6.0f} MB after the work")
    if args.json:
        about["versions"] = versions(["fastapi", "uvicorn", "sentence-transformers", "torch"])
        with args.json.open("a") as file:
            print(json.dumps({**about, "work": "serving", "rows": rows}), file=file)


def _short() -> list[str]:
    """As long as what people type into a search box: six words."""
    return [" ".join(text.split()[:6]) for text in work()["queries"].texts]


def _passages() -> list[str]:
    texts = work()["passages"].texts
    return (texts * (256 // len(texts) + 1))[:256]


def _check(servers: list[Running], folder: Path, texts: list[str]) -> None:
    model = crumb.load(folder, precision="float32")
    for text in texts[:10]:
        expected = model.encode(text)
        for server in servers:
            found = server.embed(text)
            cosine = float(found @ expected / np.linalg.norm(found))
            if cosine < _LEAST_COSINE:
                raise SystemExit(f"{server.name} gives other vectors: cosine {cosine:.4f} for {text!r}")
    counts = model.encode(texts, return_report=True)[1]
    print(f"short texts of {counts.tokens / counts.texts:.1f} tokens in the mean")


def _requests(server: Running, texts: list[Any]) -> list[bytes]:
    return [request(server.path, server.body(text)) for text in texts]


def _measure_short(servers: list[Running], texts: list[str], rounds: int, seconds: float, rows: dict[str, Any]) -> None:
    loads: dict[tuple[str, int], list[Load]] = defaultdict(list)
    for _ in range(rounds):
        for connections in (1, 64):
            for server in servers:
                load = measure(server.address, _requests(server, texts), connections, seconds)
                loads[server.name, connections].append(load)
                time.sleep(0.2)
    for (name, connections), found in loads.items():
        row = {
            "rate": statistics.median(load.rate for load in found),
            **{f"p{q}": statistics.median(load.quantile(q / 100) for load in found) * 1e3 for q in (50, 99)},
            "failures": sum(load.failures for load in found),
        }
        rows[name][f"short_{connections}"] = row
        first = rows[servers[0].name][f"short_{connections}"]["rate"]
        print(
            f"{name:16} {connections:3} connections {row['rate']:8.1f} requests/s   p50 {row['p50']:8.2f}   "
            f"p99 {row['p99']:8.2f} ms   {first / max(row['rate'], 1e-9):6.2f}x   {row['failures']} failures"
        )


def _measure_bulk(servers: list[Running], texts: list[str], rounds: int, rows: dict[str, Any], folder: Path) -> None:
    """One client with 256 passages a request, in turns with the library by itself."""
    for server in servers:
        precision: Any = server.name.partition("-")[2] or "auto"
        model = crumb.load(folder, precision=precision)
        tokens = model.encode(texts, truncation="end", return_report=True)[1].tokens
        library, served = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            model.encode(texts, truncation="end")
            library.append(tokens / (time.perf_counter() - began))
            load = measure(server.address, _requests(server, [texts]), 1, 3 * tokens / library[-1], warm=0.0)
            served.append(tokens / load.quantile(0.5))
        ratio = statistics.median(b / a for a, b in zip(library, served, strict=True))
        rows[server.name]["bulk"] = {"library": statistics.median(library), "served": statistics.median(served)}
        print(
            f"{server.name:16} 256 passages of {tokens / 256:.0f} tokens: {statistics.median(served):8.0f} tokens/s, "
            f"the library {statistics.median(library):8.0f}: {100 * ratio:5.1f} %"
        )


def _measure_mixed(
    servers: list[Running], short: list[str], passages: list[str], seconds: float, rows: dict[str, Any]
) -> None:
    """Clients of one text at a steady rate, by themselves and beside two bulk clients."""
    for server in servers:
        one, many = _requests(server, short), _requests(server, [passages])
        address = server.address
        alone = measure(address, one, 4, seconds, rate=_ONE_TEXT_RATE)

        async def both(address: Any = address, one: Any = one, many: Any = many) -> list[Load]:
            return await asyncio.gather(
                drive(address, one, 4, seconds, rate=_ONE_TEXT_RATE), drive(address, many, 2, seconds, warm=0.0)
            )

        beside = asyncio.run(both())[0]
        row = {"alone_p99": alone.quantile(0.99) * 1e3, "beside_p99": beside.quantile(0.99) * 1e3}
        row |= {"alone_p50": alone.quantile(0.5) * 1e3, "beside_p50": beside.quantile(0.5) * 1e3}
        rows[server.name]["mixed"] = row
        print(
            f"{server.name:16} one text, {_ONE_TEXT_RATE:g} a second: p50 {row['alone_p50']:.1f}, p99 "
            f"{row['alone_p99']:.1f} ms alone; p50 {row['beside_p50']:.1f}, p99 {row['beside_p99']:.1f} ms beside two "
            f"bulk clients: {row['beside_p99'] / row['alone_p99']:.1f}x"
        )
        time.sleep(3)


if __name__ == "__main__":
    main()
