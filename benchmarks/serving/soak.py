"""`crumb serve` at a share of its capacity for half an hour: `python -m benchmarks.serving.soak --minutes 30`.

Enters: nothing but the machine. Leaves: a line a minute (rate, p50, p99, failures, anonymous memory of all its
processes, threads and open files), and a verdict: exit code 1 if a request failed, if a vector ever had other bits than
at first, or if memory grew by more than 5 % from the second tenth of the time to the last.
Three kinds of requests share the load: one
short text, a handful of texts in several formats, and eight passages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

from benchmarks.load import Load, drive, measure, request
from benchmarks.report import line_of, machine
from benchmarks.serving.servers import SERVERS, Running, children, running
from benchmarks.texts import work
from crumb import store

_ALLOWED = 1.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity")
    parser.add_argument("--server", choices=[name for name in SERVERS if name.startswith("crumb")], default="crumb")
    args = parser.parse_args()
    with running(args.server, store.resolve(None, fetch=True)) as server:
        requests = _requests(server)
        known = [server.embed(text).tobytes() for text in _watched()]
        capacity = measure(server.address, requests, 16, 20).rate
        rate = args.share * capacity
        print(f"{line_of(machine(2))}; {args.server}: {capacity:.1f} requests/s at most, {rate:.1f} asked", flush=True)
        memory, failures = [], 0
        began = time.monotonic()
        while time.monotonic() < began + 60 * args.minutes:
            load = asyncio.run(_minute(server, requests, rate))
            failures += load.failures
            wrong = sum(server.embed(text).tobytes() != bits for text, bits in zip(_watched(), known, strict=True))
            failures += wrong
            memory.append(server.anonymous_megabytes())
            minutes = (time.monotonic() - began) / 60
            print(
                f"{minutes:5.1f} min  {load}  {memory[-1]:7.1f} MB  {_threads(server)} threads  "
                f"{_files(server)} files  {wrong} other bits",
                flush=True,
            )
        tenth = max(1, len(memory) // 10)
        before, after = statistics.median(memory[tenth : 2 * tenth] or memory), statistics.median(memory[-tenth:])
        print(f"{failures} failures; memory {before:.1f} MB, then {after:.1f} MB: {100 * (after / before - 1):+.1f} %")
        return int(failures > 0 or after > before * _ALLOWED)


async def _minute(server: Running, requests: list[bytes], rate: float) -> Load:
    return await drive(server.address, requests, 16, 59.0, warm=0.0, rate=rate)


def _watched() -> list[str]:
    return work()["queries"].texts[:20]


def _requests(server: Running) -> list[bytes]:
    queries, passages = work()["queries"].texts, work()["passages"].texts
    several = ["float", "int8", "ubinary", "base64"]
    kinds = []
    for at in range(60):
        kinds.append(server.body(" ".join(queries[at % len(queries)].split()[:6])))
        if at % 10 == 0:
            kinds.append(json.dumps({"model": server.model, "input": queries[:5], "encoding_format": several}).encode())
        if at % 30 == 0:
            kinds.append(server.body(passages[at % 40 :][:8]))
    return [request(server.path, body) for body in kinds]


def _threads(server: Running) -> int:
    pids = [server.process.pid, *children(server.process.pid)]
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def _files(server: Running) -> int:
    pids = [server.process.pid, *children(server.process.pid)]
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


if __name__ == "__main__":
    raise SystemExit(main())
