"""What an ASGI server costs a request: `python -m benchmarks.asgi_servers [--servers uvicorn granian]`.

Enters: names of servers. Leaves: for each, in alternating runs of one process each, the medians of requests a second,
latencies and the server's own CPU time a request, at 1 and at 64 connections, and its memory at rest. The application
is a stub that does what an embedding server does around the engine: it reads a JSON body, waits for a thread that
works for a millisecond without the GIL, and answers 4 KB of JSON; once more without the work, where nothing is left but
the server. The client shares the cores with the server (`benchmarks.load`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import Load, measure, request
from crumb.server.settings import Settings
from crumb.server.supervisor import supervise

_APP = "benchmarks.asgi_servers:app"
# {port}, {limit}: seconds for a request's headers, {ms}: the same in milliseconds
SERVERS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", _APP, "--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"],
    "uvicorn-asyncio": [
        *("uvicorn", _APP, "--port", "{port}", "--loop", "asyncio", "--http", "httptools", "--lifespan", "off")
    ],
    "uvicorn-h11": ["uvicorn", _APP, "--port", "{port}", "--loop", "asyncio", "--http", "h11", "--lifespan", "off"],
    "granian": [
        *("granian", _APP, "--port", "{port}", "--interface", "asginl", "--loop", "uvloop", "--http", "1"),
        *("--http1-header-read-timeout", "{ms}", "--no-log"),
    ],
    "crumb": ["benchmarks.asgi_servers", "--serve", "{port}", "--header-seconds", "{limit}"],
    "hypercorn": ["hypercorn", _APP, "--bind", "127.0.0.1:{port}", "--worker-class", "uvloop"],
}
_QUIET = {"uvicorn": ["--no-access-log", "--log-level", "critical"], "hypercorn": ["--log-level", "CRITICAL"]}

# -- the application ---------------------------------------------------------------------------------------------------

_WORKER = ThreadPoolExecutor(1)
_BLOCK = bytes(1 << 20)
_ANSWER = json.dumps({"data": [round(n / 7, 8) for n in range(333)]}).encode()
SEEN: list[str] = []  # what the application was told of its clients; GET /seen


def _work(seconds: float) -> None:
    """Hashes, without the GIL, until the time is over."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        hashlib.sha256(_BLOCK[: 1 << 18])


async def _answer(send: Any, body: bytes, status: int = 200, pieces: int = 1) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % (len(body) * pieces))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for left in range(pieces - 1, -1, -1):
        await send({"type": "http.response.body", "body": body, "more_body": left > 0})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The stub: POST / works for 1 ms, POST /nothing does not; the other paths are for `benchmarks.asgi_faults`."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path in ("/", "/nothing"):
        chunks = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                SEEN.append("disconnect in body")
                return
            chunks.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        json.loads(b"".join(chunks))
        if path == "/":
            await asyncio.get_running_loop().run_in_executor(_WORKER, _work, 0.001)
        await _answer(send, _ANSWER)
    elif path == "/seen":
        await _answer(send, json.dumps(SEEN).encode())
    elif path == "/wait":  # for an answer that takes long: is the client still there?
        await receive()
        try:
            message = await asyncio.wait_for(receive(), 4)
            SEEN.append(f"told: {message['type']}")
        except TimeoutError:
            SEEN.append("told nothing")
        await _answer(send, b"{}")
    elif path == "/slow":
        await asyncio.sleep(1.5)
        await _answer(send, b"{}")
    elif path == "/big":  # 64 MB in pieces: does the server wait for a client that does not read?
        await _answer(send, bytes(1 << 16), pieces=1024)
        SEEN.append("big: all sent")
    else:
        await _answer(send, b"{}", 404)


class _Service:
    """The stub in crumb's own processes."""

    asgi = staticmethod(app)

    async def start(self) -> None: ...

    async def loaded(self) -> None: ...

    def reload(self) -> None: ...

    def drain(self) -> None: ...

    async def stop(self) -> None: ...

    def refused(self, status: int, reason: str) -> None: ...


def build(settings: object) -> _Service:
    """What crumb's worker starts."""
    return _Service()


# -- processes ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def family(pid: int) -> list[int]:
    """A process and all that it started (Linux)."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, of a process and all that it started (Linux)."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """Memory of a process and all that it started, pages that several share counted once (PSS; Linux)."""
    total = 0
    for one in family(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


@contextmanager
def running(server: str, limit: int = 30) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server's process and its port; ended at the end."""
    port = free_port()
    command = [part.format(port=port, limit=limit, ms=limit * 1000) for part in SERVERS[server]]
    command += _QUIET.get(command[0], [])
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit(f"{server} does not start: {' '.join(command)}") from None
                time.sleep(0.02)
        time.sleep(0.5)
        yield process, port
    finally:
        pids = family(process.pid) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            process.wait()


def _measure(server: str, connections: int, path: str, seconds: float) -> tuple[Load, float, float]:
    """The load, the server's CPU milliseconds a request, its memory at rest in MB."""
    body = json.dumps({"model": "a-model", "input": "a text of some twenty words " * 5}).encode()
    with running(server) as (process, port):
        memory = megabytes(process.pid)
        before, began = cpu_seconds(process.pid), time.perf_counter()
        load = measure(("127.0.0.1", port), [request(path, body)], connections, seconds)
        # the warm-up's requests cost CPU, too: scale to the whole time
        whole = (time.perf_counter() - began) / load.seconds
        spent = (cpu_seconds(process.pid) - before) / (len(load.latencies) * whole)
    return load, spent * 1e3, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", type=int, metavar="PORT", help="be crumb's server, for a run of this benchmark")
    parser.add_argument("--header-seconds", type=float, default=10.0, help="of that server")
    args = parser.parse_args()
    if args.serve:
        settings = Settings(port=args.serve, header_seconds=args.header_seconds, write_seconds=args.header_seconds)
        sys.exit(supervise(settings, app="benchmarks.asgi_servers:build"))
    from benchmarks.report import line_of, machine, versions  # numpy is not for the servers

    print(f"{line_of(machine(os.cpu_count() or 1))}; {args.runs} alternating runs of {args.seconds:g} s, medians")
    names = ["uvicorn", "httptools", "uvloop", "h11", "granian", "hypercorn"]
    print(", ".join(f"{name} {version}" for name, version in versions(names).items() if name in names))
    for path, what in (("/", "1 ms of work in a thread"), ("/nothing", "no work")):
        for connections in args.connections:
            found: dict[str, list[tuple[Load, float, float]]] = {server: [] for server in args.servers}
            for _ in range(args.runs):
                for server, rows in found.items():
                    rows.append(_measure(server, connections, path, args.seconds))
            print(f"{what}, {connections} connections")
            for server, rows in found.items():
                _show(server, rows)


def _show(server: str, rows: Sequence[tuple[Load, float, float]]) -> None:
    """One line: medians over the runs."""
    middle = statistics.median
    print(
        f"  {server:16} {middle(load.rate for load, _, _ in rows):8.0f} requests/s"
        f"   p50 {middle(load.quantile(0.5) for load, _, _ in rows) * 1e3:7.2f}"
        f"   p99 {middle(load.quantile(0.99) for load, _, _ in rows) * 1e3:7.2f} ms"
        f"   {middle(cpu for _, cpu, _ in rows):6.3f} ms CPU/request"
        f"   {middle(memory for _, _, memory in rows):5.1f} MB at rest   failures {sum(r[0].failures for r in rows)}"
    )


if __name__ == "__main__":
    main()
