"""Requests to a real server, over sockets, and what every test asks it when its own question is answered.

Enters: a `serving.Server` (or its port), bytes. Leaves: answers, series of /metrics, the lines of its log. Knows the
form of an error, and nothing of what is served.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from serving import Server

PATIENCE = 60.0  # seconds, of a loaded machine
EMBEDDINGS = "/v1/embeddings"


@dataclass
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def vectors(self) -> list[list[float]]:
        """Those of a 200 of /v1/embeddings."""
        assert self.status == 200, self.body
        return [item["embedding"] for item in self.json["data"]]

    def refused(self, *statuses: int) -> str:
        """The message of an error, which must have one of these statuses and the form that every client reads."""
        assert self.status in statuses, (self.status, self.body)
        body = self.json
        assert body["error"]["code"] == self.status
        assert body["error"]["type"]
        assert set(body["error"]) == {"message", "type", "code", "param"}
        assert body["message"] == body["error"]["message"]
        assert set(body) == {"error", "message"} | ({"detail"} if self.status == 422 else set())
        assert self.headers.get("x-request-id") or self.headers.get("connection") == "close"
        for item in body.get("detail", ()):
            assert set(item) == {"loc", "msg", "type"}
        return str(body["message"])


def ask(
    server: Server,
    path: str = EMBEDDINGS,
    body: bytes | Mapping[str, Any] | None = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str | bytes] | None = None,
    key: str | None = None,
) -> Answer:
    """Asks over a connection of its own; POST where there is a body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    sent = dict(headers or {})
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    if isinstance(body, Mapping):
        body = json.dumps(body).encode()
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
        return answer_of(connection.getresponse())
    finally:
        connection.close()


def answer_of(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def embed(server: Server, texts: str | list[str], key: str | None = None, **fields: Any) -> Answer:
    """Asks for vectors."""
    return ask(server, body={"model": "crumb", "input": texts, **fields}, key=key)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def head(length: int | None, *lines: str, path: str = EMBEDDINGS) -> bytes:
    """The head of a POST that promises so many bytes; None for chunks."""
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: localhost", size, *lines, "", ""]).encode()


def received(sock: socket.socket | Answers) -> Answer:
    """The next answer on a connection, where no other follows before it is read (see `Answers`)."""
    response = http.client.HTTPResponse(cast(socket.socket, sock))
    response.begin()
    return answer_of(response)


class Answers:
    """The answers on a connection, one after the other; however many have come at once, none is lost."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = _Open(sock.makefile("rb", buffering=0))

    def makefile(self, *_: Any) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return self._file

    def next(self) -> Answer:
        """The next one."""
        return received(self)


class _Open(io.BufferedReader):
    """Stays open when http.client has read an answer."""

    def close(self) -> None:
        pass


def metric(server: Server, series: str, key: str | None = None) -> float:
    """The value of a series, named as /metrics writes it; 0 where it is not there yet."""
    page = ask(server, "/metrics", key=key)
    assert page.status == 200
    found = re.search(rf"^{re.escape(series)} (\S+)$", page.body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for(found: Callable[[], Any], what: object | Callable[[], object] = "this") -> None:
    """Waits until it is so; fails after a while, and says what did not come."""
    until = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < until, f"{what() if callable(what) else what} did not come"
        time.sleep(0.01)


def workers(server: Server) -> list[int]:
    """Ids of the processes that serve."""
    return [
        int(pid) for pid in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    ]


def log_lines(server: Server) -> list[dict[str, Any]]:
    """What it has logged, every line being JSON."""
    return [json.loads(line) for line in server.stderr.splitlines()]
