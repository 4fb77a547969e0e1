"""What happens to every request, whatever its route: it is counted, guarded, and answered even when something breaks.

Enters: an ASGI app. Leaves: the same app behind two walls. `Observer`, outside, gives every request an id, logs and
counts it, and turns what nobody expected into a 500 that tells nothing. `Guard`, inside, lets in only who has a key, no
more at a time than allowed, and nobody while the server drains. Both are plain ASGI: they cost microseconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crumb.server.errors import ApiError
from crumb.server.keys import Keys
from crumb.server.metrics import Metrics
from crumb.server.tracing import Stage, Tracing, trace_of

# Open to everybody: whoever watches over the process has no key.
OPEN = frozenset({"/health/live", "/health/ready"})
QUIET = OPEN | {"/metrics"}  # asked every few seconds; logged only with log_level debug
_FACTS = "crumb.facts"
_SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger("crumb.server.requests")


@dataclass(slots=True)
class Facts:
    """What a request's log line and span tell besides the obvious; routes fill it in."""

    id: str = ""
    route: str | None = None
    model: str | None = None
    inputs: int | None = None
    tokens: int | None = None
    truncated: int | None = None
    queue_ms: float | None = None
    engine_ms: float | None = None
    batches: int | None = None
    trace: str | None = None
    stages: list[Stage] = field(default_factory=list)


def facts_of(scope: Scope) -> Facts:
    """The facts of a request."""
    facts: Facts = scope[_FACTS]
    return facts


def failed(scope: Scope) -> ApiError:
    """The answer where something broke that nobody expected: it tells nothing but where to look."""
    return ApiError(500, f"the server failed on this request; its log says why under the id {facts_of(scope).id}")


class Observer:
    """Ids, logs, counts, spans, and the last resort for exceptions."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        facts = scope[_FACTS] = Facts(request_id.decode())
        status = 0
        span = None
        if self._tracing is not None and scope["path"] not in QUIET:
            span = self._tracing.begin(scope)
            facts.trace = trace_of(span)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id))
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            status = status or 499  # the grace period is over, and the connection is cut
        except Exception:
            log.exception("failed", extra={"facts": {"id": facts.id, "trace": facts.trace, "path": _path(scope)}})
            if status and status != 500:
                raise  # the answer has begun: the server below cuts the connection
            if not status:
                await failed(scope).response()(scope, receive, watched)
        finally:
            self._metrics.in_flight.dec()
            seconds = time.perf_counter() - started
            # never the path itself, which may be anything
            route = facts.route or str(getattr(scope.get("route"), "path", "other"))
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.duration.labels(route).observe(seconds)
            level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
            if log.isEnabledFor(level):
                log.log(level, "request", extra={"facts": _line(scope, facts, status, seconds)})
            if self._tracing is not None and span is not None:
                self._tracing.end(span, scope, facts, status)


class Guard:
    """Keys, load and draining.

    Args:
        app: what is guarded.
        keys: who may ask.
        most: requests at a time.
        most_bytes: of the bodies of all of them.
        draining: whether the server is about to end.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        most: int,
        most_bytes: int,
        draining: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._keys = keys
        self._most = most
        self._most_bytes = most_bytes
        self._draining = draining
        self._metrics = metrics
        self._now = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal.response()(scope, receive, send)
            return
        self._now += 1
        held = 0

        async def weighed() -> Message:
            # what has come is held until the answer is given: as bytes, then as texts
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            held += size
            self._bytes += size
            if self._bytes > self._most_bytes:
                self._metrics.rejected.labels("bytes").inc()
                raise ApiError(
                    429,
                    f"the bodies of all requests together have {self._bytes} bytes, more than {self._most_bytes} (the "
                    "server's --max-held-bytes); try again",
                    headers={"retry-after": "1", "connection": "close"},
                )
            return message

        try:
            await self._app(scope, weighed, send)
        finally:
            self._now -= 1
            self._bytes -= held

    def _refusal(self, scope: Scope) -> ApiError | None:
        """Why this request is not let in; None if it is."""
        path = scope["path"]
        if self._keys and not self._keys.admits(_header(scope, b"authorization")):
            page = path == "/ui" or path.startswith(("/ui/", "/docs"))
            challenge = 'Basic realm="crumb", charset="UTF-8"' if page else "Bearer"
            return ApiError(
                401,
                "this server needs a key: send it as `Authorization: Bearer KEY`",
                headers={"www-authenticate": challenge},
            )
        if self._draining():
            self._metrics.rejected.labels("draining").inc()
            return ApiError(
                503, "the server is shutting down; try again", headers={"retry-after": "1", "connection": "close"}
            )
        if self._now >= self._most:
            self._metrics.rejected.labels("concurrent").inc()
            return ApiError(
                429,
                f"{self._now} requests are at work or waiting already (the server's --max-concurrent); try again",
                headers={"retry-after": "1"},
            )
        return None


def _request_id(scope: Scope) -> bytes:
    given = _header(scope, b"x-request-id").encode("latin-1", "replace")
    return given if _SAFE_ID.fullmatch(given) else os.urandom(16).hex().encode()


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def _path(scope: Scope) -> str:
    # as a log may show it: a line's end or a terminal's command in a path would pass for the server's own words
    path = str(scope["path"])[:200]
    return path if path.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)


def _line(scope: Scope, facts: Facts, status: int, seconds: float) -> dict[str, Any]:
    client = scope.get("client")
    line = {
        "id": facts.id,
        "trace": facts.trace,
        "method": scope["method"],
        "path": _path(scope),
        "status": status,
        "ms": round(seconds * 1000, 2),
        "client": client[0] if client else None,
        "model": facts.model,
        "inputs": facts.inputs,
        "tokens": facts.tokens,
        "truncated": facts.truncated,
        "queue_ms": facts.queue_ms,
        "engine_ms": facts.engine_ms,
        "batches": facts.batches,
    }
    return {key: value for key, value in line.items() if value is not None}
