"""A package index on loopback that serves one made-up wheel over real HTTP, and misbehaves as told.

Enters: an `Index` that says what to serve and how. Leaves: the running server's URL, and a log of what crumb asked
of it. Knows nothing of how crumb pulls.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import random
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from loopback import Silent, serving

DISTRIBUTION = "tiny-test-model"
WHEEL_NAME = "tiny_test_model-1.0-py3-none-any.whl"
FOLDER = "tiny_test_model/model"
FILES = {
    "config.json": b'{"hidden_size": 4}',
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "model.safetensors": random.Random(7).randbytes(400_000),
}
METADATA = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 1.0\n".encode()


def make_wheel(files: dict[str, bytes]) -> bytes:
    """A wheel with `files` (full paths inside it) and what pip needs to see in one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny_test_model-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_test_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_test_model-1.0.dist-info/RECORD", "")
    return packed.getvalue()


WHEEL = make_wheel({f"{FOLDER}/{name}": data for name, data in FILES.items()} | {"tiny_test_model/__init__.py": b"1/0"})


@dataclass
class Sent:
    """One answer to crumb: the Range it asked for and the bytes of the body that were sent."""

    range: str | None
    status: int
    sent: int


@dataclass
class Index:
    """What the server serves and how it misbehaves, and what crumb (not pip) asked of it."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cut_after: int | None = None  # close the connection after so many bytes of the next body
    hold_after: int | None = None  # send so many bytes of every body, then wait for `go_on`
    holding: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    log: list[Sent] = field(default_factory=list)
    requests: int = 0
    url: str = ""


def serve(state: Index) -> Iterator[Index]:
    class Handler(Silent, http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            if self.path == f"/simple/{DISTRIBUTION}/":
                digest = hashlib.sha256(METADATA).hexdigest()
                link = f'<a href="/files/{WHEEL_NAME}" data-core-metadata="sha256={digest}">{WHEEL_NAME}</a>'
                self.answer(link.encode(), "text/html")
            elif self.path == f"/files/{WHEEL_NAME}.metadata":
                self.answer(METADATA, "text/plain")
            elif self.path in state.bodies:
                self.file(state.bodies[self.path])
            else:
                self.send_error(404)

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def file(self, body: bytes) -> None:
            asked = self.headers["Range"] if state.ranges else None
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            record = Sent(self.headers["Range"], 416 if start >= len(body) and asked else 206 if asked else 200, 0)
            if self.headers["User-Agent"].startswith("crumb/"):
                state.log.append(record)
            if record.status == 416:
                self.send_error(416)
                return
            self.send_response(record.status)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            rest, state.cut_after, cut = body[start:], None, state.cut_after
            if state.hold_after is not None:
                self.send(rest[: state.hold_after], record)
                state.holding.set()
                state.go_on.wait(60)
                rest = rest[state.hold_after :]
            self.send(rest[:cut], record)

        def send(self, data: bytes, record: Sent) -> None:
            record.sent += len(data)  # before it is: the client may be done before this thread goes on
            with contextlib.suppress(ConnectionError):  # the client was killed
                self.wfile.write(data)

    with serving(Handler) as state.url:
        yield state
        state.go_on.set()
