"""What ASGI servers do to clients that misbehave: `python -m benchmarks.asgi_faults [--servers uvicorn granian]`.

Enters: names of servers (benchmarks/asgi_servers.py), each with a limit of two seconds for headers where it has one.
Leaves: a line for each server and each fault, seen from the client's side of a real socket within eight seconds. What
stays open for that long may stay open for ever.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.asgi_servers import SERVERS, megabytes, running
from benchmarks.load import request

_PATIENCE = 8.0
_BODY = json.dumps({"input": "a text"}).encode()


def connect(port: int, patience: float = _PATIENCE) -> socket.socket:
    """A connection whose reads give up after `patience` seconds."""
    return socket.create_connection(("127.0.0.1", port), patience)


def ask(port: int, path: str) -> bytes:
    """The body of a whole answer."""
    with connect(port) as sock:
        sock.sendall(request(path, headers=["connection: close"]))
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer.split(b"\r\n\r\n", 1)[1]


def outcome(sock: socket.socket, began: float | None = None) -> str:
    """What comes until the server closes: the status line's number and whether it closed, and after how long."""
    began = time.monotonic() if began is None else began
    data = b""
    ended = "still open"
    sock.settimeout(_PATIENCE)
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                ended = "closed"
                break
            data += piece
            if b" 200 " in data[:20]:
                ended = "answered"
                break
    except TimeoutError:
        pass
    except ConnectionError:
        ended = "reset"
    status = data[9:12].decode() if data else "no answer"
    return f"{status}, {ended} after {time.monotonic() - began:.1f} s"


def slow_headers(port: int) -> str:
    """A byte of a header every half second."""
    began = time.monotonic()
    with connect(port) as sock:
        sock.sendall(b"GET /seen HTTP/1.1\r\nhost: a\r\nx-slow: ")
        try:
            while time.monotonic() - began < _PATIENCE:
                sock.sendall(b"a")
                sock.settimeout(0.5)
                try:
                    if not (data := sock.recv(100)):
                        return f"closed after {time.monotonic() - began:.1f} s"
                    return f"{data[9:12].decode()} after {time.monotonic() - began:.1f} s"
                except TimeoutError:
                    continue
        except ConnectionError:
            return f"reset after {time.monotonic() - began:.1f} s"
    return "still open"


def no_bytes(port: int) -> str:
    """A connection that never sends anything."""
    with connect(port) as sock:
        return outcome(sock)


def idle_after_answer(port: int) -> str:
    """Keep-alive, and silence."""
    with connect(port) as sock:
        sock.sendall(request("/seen"))
        time.sleep(0.1)
        sock.recv(65536)
        return outcome(sock)


def too_long(port: int) -> str:
    """More promised by Content-Length than sent."""
    with connect(port) as sock:
        sock.sendall(request("/", _BODY).replace(b"content-length: ", b"content-length: 9"))
        return outcome(sock)


def too_short(port: int) -> str:
    """Less promised by Content-Length than sent: the rest is taken for another request."""
    with connect(port) as sock:
        sock.sendall(request("/", _BODY + b" " * 30).replace(b"content-length: ", b"content-length: 3\r\nx-was: "))
        return outcome(sock)


def gone(port: int) -> str:
    """The client closes while the application works."""
    with connect(port) as sock:
        sock.sendall(request("/wait"))
        time.sleep(0.3)
    time.sleep(1)
    return f"the application was told {ask(port, '/seen').decode()}"


def large_header(port: int) -> str:
    """One header of 100 KB, then of 1 MB."""
    found = []
    for size in (20_000, 100_000, 1_000_000):
        with connect(port) as sock:
            try:
                sock.sendall(request("/seen", headers=[f"x-large: {'a' * size}"]))
                found.append(f"{size // 1000} KB: {outcome(sock)}")
            except ConnectionError:
                found.append(f"{size // 1000} KB: reset")
    return "; ".join(found)


def many_headers(port: int) -> str:
    """Headers without an end, 64 MB of them."""
    sent = 0
    line = b"x-more: " + b"a" * 8000 + b"\r\n"
    with connect(port) as sock:
        try:
            sock.sendall(b"GET /seen HTTP/1.1\r\nhost: a\r\n")
            while sent < 64 << 20:
                sock.sendall(line)
                sent += len(line)
        except (ConnectionError, TimeoutError) as error:
            return f"{type(error).__name__} after {sent >> 10} KB"
    return f"took {sent >> 20} MB"


TOGETHER: dict[str, Callable[[int], str]] = {
    "slow headers": slow_headers,
    "nothing sent": no_bytes,
    "idle after an answer": idle_after_answer,
    "Content-Length too long": too_long,
    "Content-Length too short": too_short,
    "header too large": large_header,
}


def not_reading(pid: int, port: int) -> str:
    """Asks for 64 MB and reads nothing: what does the server hold?"""
    before = megabytes(pid)
    with connect(port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(request("/big"))
        time.sleep(2)
        return f"{megabytes(pid) - before:+.0f} MB"


def idle(pid: int, port: int) -> str:
    """1,000 connections that asked once: memory, and whether another client is answered."""
    before = megabytes(pid)
    socks = []
    try:
        for _ in range(1000):
            sock = connect(port)
            sock.sendall(request("/nothing", _BODY))
            socks.append(sock)
        for sock in socks:
            sock.recv(65536)
        with connect(port) as sock:
            sock.sendall(request("/nothing", _BODY))
            answer = outcome(sock)
        return f"{megabytes(pid) - before:+.1f} MB; another client: {answer}"
    except OSError as error:
        return f"{len(socks)} connections, then {error}"
    finally:
        for sock in socks:
            sock.close()


def terminated(process: object, pid: int, port: int) -> str:
    """SIGTERM while ten requests are in flight, with an idle connection beside them."""
    socks = [connect(port) for _ in range(10)]
    with connect(port) as beside:
        beside.sendall(request("/seen"))
        beside.recv(65536)
        for sock in socks:
            sock.sendall(request("/slow"))
        time.sleep(0.5)
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        answered = sum("200" in outcome(sock) for sock in socks)
        try:
            code = process.wait(_PATIENCE)  # type: ignore[attr-defined]
            ended = f"exit code {code} after {time.monotonic() - began:.1f} s"
        except Exception:
            ended = "still running"
    return f"{answered} of 10 answered, {ended}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=["crumb", "uvicorn", "granian", "hypercorn"])
    args = parser.parse_args()
    for server in args.servers:
        print(server)
        with running(server, limit=2) as (process, port), ThreadPoolExecutor(len(TOGETHER)) as pool:
            found = {name: pool.submit(fault, port) for name, fault in TOGETHER.items()}
            for name, future in found.items():
                print(f"  {name:26} {future.result()}")
            print(f"  {'client gone':26} {gone(port)}")
            print(f"  {'headers without end':26} {many_headers(port)}, {megabytes(process.pid):.0f} MB")
        with running(server, limit=2) as (process, port):
            print(f"  {'64 MB not read':26} {not_reading(process.pid, port)}")
        with running(server, limit=2) as (process, port):
            print(f"  {'1,000 connections':26} {idle(process.pid, port)}")
            print(f"  {'SIGTERM':26} {terminated(process, process.pid, port)}", flush=True)


if __name__ == "__main__":
    main()
