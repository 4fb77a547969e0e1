"""A load generator that costs little: `python -m benchmarks.load http://127.0.0.1:8000/v1/embeddings --body FILE`.

Enters: an address, requests as the bytes that go over the wire, a number of connections, and seconds or a rate. Leaves:
a `Load` with requests a second, latencies, statuses and errors. Knows nothing of what is asked or answered but HTTP/1.1
with a Content-Length.

It shares two cores with the server that it measures, so requests are made beforehand, an answer's body is counted and
not parsed, and a connection is a protocol without streams or tasks. With a rate, latency counts from when a
request was due, not from when it could be sent: a server that stalls is not spared the requests that it held up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit


def request(path: str, body: bytes | None = None, *, host: str = "localhost", headers: Sequence[str] = ()) -> bytes:
    """One HTTP/1.1 request as bytes: POST of JSON when there is a body, else GET; `headers` are whole lines."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"host: {host}", *headers]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


@dataclass
class Load:
    """What a run saw. `latencies` are the seconds of answers with status 200, in the order of their arrival."""

    connections: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers with status 200 a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, q: float) -> float:
        """The latency, in seconds, that a share `q` of the answers kept below; NaN when there was none."""
        found = sorted(self.latencies)
        return found[min(len(found) - 1, int(q * len(found)))] if found else float("nan")

    @property
    def failures(self) -> int:
        """Answers that were not 200, and connections that were refused, reset or closed before an answer."""
        return sum(self.errors.values()) + sum(n for status, n in self.statuses.items() if status != 200)

    def __str__(self) -> str:
        odd = {**{str(status): n for status, n in self.statuses.items() if status != 200}, **self.errors}
        return (
            f"{self.connections:4} connections  {self.rate:8.1f} requests/s   p50 {self.quantile(0.5) * 1e3:8.2f}   "
            f"p99 {self.quantile(0.99) * 1e3:8.2f} ms   {f'failed: {odd}' if odd else 'no failures'}"
        )


class _Run:
    """What the connections of one run share: the requests, the clock and the counts."""

    def __init__(self, requests: Sequence[bytes], load: Load, interval: float | None) -> None:
        self.requests, self.load, self.interval = requests, load, interval
        self.counts_from = float("inf")
        self.ended = False
        self.next = 0

    def take(self) -> bytes:
        """The next request, round and round."""
        self.next += 1
        return self.requests[self.next % len(self.requests)]

    def answered(self, status: int, due: float, now: float) -> None:
        """Counts an answer, unless it was asked for during the warm-up or came after the end."""
        if self.ended or due < self.counts_from:
            return
        self.load.statuses[status] += 1
        if status == 200:
            self.load.latencies.append(now - due)

    def failed(self, what: str) -> None:
        """Counts a request without an answer, in the warm-up too: one must not go unseen."""
        if not self.ended:
            self.load.errors[what] += 1


class _Connection(asyncio.Protocol):
    """One keep-alive connection: sends, reads to the end of the answer, sends again."""

    def __init__(self, run: _Run, due: float) -> None:
        self.run, self.due = run, due
        self.head = b""
        self.rest = -1  # bytes of the body still to come; -1: in the headers, or nothing asked
        self.status = 0
        self.asked = False
        self.closes = False
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its ancestry
        self.schedule()

    def schedule(self) -> None:
        """Sends the next request: at once, or when the rate makes it due."""
        if self.run.interval is None:
            self.due = time.perf_counter()
            self.send()
        else:
            asyncio.get_running_loop().call_later(max(0.0, self.due - time.perf_counter()), self.send)

    def send(self) -> None:
        """Writes one request."""
        if not self.run.ended and not self.transport.is_closing():
            self.asked = True
            self.transport.write(self.run.take())

    def data_received(self, data: bytes) -> None:
        if self.rest < 0:
            data = self.head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.head = data
                return
            self.head = b""
            head = data[:end].lower()
            self.status = int(head[9:12])
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                self.run.failed("no content-length")
                self.transport.abort()
                return
            self.closes = b"\r\nconnection: close" in head
            self.rest = int(head[at + 17 :].split(b"\r\n", 1)[0])
            self.rest -= len(data) - end - 4
        else:
            self.rest -= len(data)
        if self.rest > 0:
            return
        self.run.answered(self.status, self.due, time.perf_counter())
        self.rest, self.asked = -1, False
        if self.run.interval is not None:
            self.due += self.run.interval
        if self.closes:
            self.transport.close()
        else:
            self.schedule()

    def connection_lost(self, error: Exception | None) -> None:
        if self.asked:
            self.run.failed(type(error).__name__ if error else "closed before an answer")
            if self.run.interval is not None:
                self.due += self.run.interval
        if not self.lost.done():
            self.lost.set_result(None)


async def _keep_connected(run: _Run, host: str, port: int, due: float) -> None:
    """One connection, made again whenever it is lost."""
    while not run.ended:
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(partial(_Connection, run, due), host, port)
        except OSError as error:
            run.failed(type(error).__name__)
            await asyncio.sleep(0.05)
            continue
        try:
            await connection.lost
        finally:
            connection.transport.abort()
        due = connection.due


async def drive(
    address: tuple[str, int],
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    *,
    warm: float = 0.5,
    rate: float | None = None,
) -> Load:
    """Keeps `connections` busy with `requests` in turn for `seconds` after `warm` seconds that do not count.

    `rate` is requests a second over all connections; without it each connection asks as soon as it is answered. Several
    of these may run at once (`asyncio.gather`): that is a mixed load.
    """
    load = Load(connections)
    run = _Run(requests, load, None if rate is None else connections / rate)
    began = time.perf_counter()
    run.counts_from = began + warm
    spread = 0.0 if rate is None else 1 / rate
    tasks = [asyncio.create_task(_keep_connected(run, *address, began + spread * n)) for n in range(connections)]
    await asyncio.sleep(warm + seconds)
    run.ended = True
    load.seconds = time.perf_counter() - run.counts_from
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return load


def measure(
    address: tuple[str, int], requests: Sequence[bytes], connections: int, seconds: float, **how: float
) -> Load:
    """`drive` in an event loop of its own: uvloop's where it is installed, at half the cost."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(drive(address, requests, connections, seconds, **how))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(drive(address, requests, connections, seconds, **how))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, help="JSON to send, or JSON lines to send in turn; without it: GET")
    parser.add_argument("--header", action="append", default=[], help="a line, such as 'authorization: Bearer KEY'")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, help="requests a second (default: as many as are answered)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    url = urlsplit(args.url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    bodies = args.body.read_bytes().splitlines() if args.body else [None]
    requests = [request(url.path or "/", body, host=host, headers=args.header) for body in bodies]
    how = {} if args.rate is None else {"rate": args.rate}
    load = measure((host, port), requests, args.connections, args.seconds, **how)
    if args.json:
        row = {"connections": load.connections, "rate": load.rate, "failures": load.failures}
        row |= {name: load.quantile(q) * 1e3 for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}
        print(json.dumps(row))
    else:
        print(load)


if __name__ == "__main__":
    main()
