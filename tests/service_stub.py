"""A `Service` without a model: what the processes around the application are tested with.

Enters: settings and environment variables that say how it fails. Leaves: `build`. Told apart by its path, a request
works, waits, answers much or tells what the service has seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from crumb.errors import CrumbError
from crumb.server.service import Asgi, Message, Receive, Scope, Send
from crumb.server.settings import Settings

PIECE, PIECES = bytes(1 << 16), 512  # 32 MB


def build(settings: Settings) -> Stub:
    """Fails as STUB_FAIL says, where the file of that name exists if it is a path."""
    fail = os.environ.get("STUB_FAIL", "")
    if "/" in fail:
        fail = Path(fail).read_text() if Path(fail).exists() else ""
    if fail == "build":
        raise CrumbError("there is no model\nof that name")
    if fail == "bug":
        raise ZeroDivisionError("a fault of ours")
    if fail == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return Stub(fail)


class Stub:
    """Counts what it is told."""

    def __init__(self, fail: str) -> None:
        self.fail = fail
        self.state = "loading"
        self.seen: list[str] = []

    @property
    def asgi(self) -> Asgi:
        return self._answer

    async def start(self) -> None:
        self.loading = asyncio.ensure_future(asyncio.sleep(float(os.environ.get("STUB_LOAD", "0"))))

    async def loaded(self) -> None:
        await self.loading
        if self.fail == "loaded":
            raise CrumbError("the model is damaged")
        self.state = "ready"

    def reload(self) -> None:
        self.seen.append("reload")

    def drain(self) -> None:
        self.state = "draining"

    async def stop(self) -> None:
        if folder := os.environ.get("STUB_STOPPED"):
            Path(folder, str(os.getpid())).touch()

    def refused(self, status: int, reason: str) -> None:
        self.seen.append(f"{status} {reason}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]

        async def reply(status: int, value: object, *headers: tuple[bytes, bytes]) -> None:
            body = json.dumps(value).encode()
            length = (b"content-length", b"%d" % len(body))
            await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
            await send({"type": "http.response.body", "body": body})

        if path == "/health/ready":
            await reply(200 if self.state == "ready" else 503, {"status": self.state})
        elif path == "/seen":
            await reply(200, self.seen)
        elif self.state != "ready":
            await reply(503, {"status": self.state}, (b"connection", b"close"))
        elif path == "/echo":
            size, more = 0, True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.seen.append("disconnect in body")
                    return
                size, more = size + len(message["body"]), message["more_body"]
            await reply(200, size)
        elif path == "/early":  # an answer before the body was read
            await reply(413, "too much", (b"connection", b"close"))
        elif path.startswith("/sleep/"):
            await asyncio.sleep(float(path.removeprefix("/sleep/")))
            await reply(200, "slept")
        elif path == "/wait":
            message = await receive()
            while message["type"] != "http.disconnect":
                message = await receive()
            self.seen.append("disconnect while waiting")
        elif path == "/pieces":
            await self._much(send, PIECE, PIECES)
            self.seen.append("pieces: end")
        elif path == "/whole":
            await self._much(send, PIECE * PIECES, 1)
            self.seen.append("whole: end")
        else:
            await reply(200, os.getpid())

    async def _much(self, send: Send, piece: bytes, pieces: int) -> None:
        length = (b"content-length", b"%d" % (len(piece) * pieces))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        for left in range(pieces - 1, -1, -1):
            message: Message = {"type": "http.response.body", "body": piece, "more_body": left > 0}
            await send(message)
