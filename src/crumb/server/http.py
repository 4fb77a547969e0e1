"""HTTP/1.1 below the application: limits of time, size and number that uvicorn does not have.

Enters: an ASGI application, `Settings`, what comes over a connection. Leaves: answers, the application's or ours.
Knows nothing of what is asked; the limits of a body, in bytes and in time, are the application's (it alone knows
when it has heard enough). `server/accept.py` brings connections here and ends them.

Each limit closes one way to hold a server: headers that never end (408, 431), a client that does not read its answer
(cut), more connections than there is memory for (503). The base is uvicorn's connection class for httptools; what is
overridden are its methods of asyncio.Protocol and of the parser.
"""

from __future__ import annotations

import asyncio
import http
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from crumb.server.errors import ApiError
from crumb.server.service import Asgi, Receive, Scope, Send
from crumb.server.settings import Settings, flag

# A slow reader has to take this many bytes within `write_seconds`; what asyncio holds back before it asks to pause.
_PIECE = 64 * 1024
# This many connections beyond the limit get an answer (503, or health); those beyond are closed without one.
_SPARE = 64
_ALWAYS = ("/health/", "/metrics")

Refused = Callable[[int, str], None]


def _answer(status: int, message: str) -> bytes:
    """A whole HTTP answer that closes the connection."""
    body = ApiError(status, message).body()
    head = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _overloaded(app: Asgi, limit: int, refused: Refused) -> Asgi:
    """The application of a connection beyond the limit: 503, but health is told as ever."""
    body = ApiError(
        503,
        f"{limit:,} connections are open, which is the limit (the server's {flag('max_connections')}); try again in a "
        "moment, and use fewer connections for more requests each",
    ).body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(_ALWAYS):
            await app(scope, receive, send)
            return
        refused(503, "too many connections")
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


class Config(UvicornConfig):
    """What all connections of a listener share; uvicorn hands it to each."""

    def __init__(self, app: Asgi, settings: Settings, refused: Refused) -> None:
        super().__init__(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",  # what it warns of is told to `refused`
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=settings.backlog,
            timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type]  # goes to call_later as it is
        )
        self.limits = settings
        self.refused = refused
        self.overloaded = _overloaded(app, settings.max_connections, refused)
        self.draining = False
        self.changed = asyncio.Event()  # a connection has closed
        self.load()


class State(ServerState):
    """uvicorn's register of connections, with a date that is made once a second and not by a timer."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0

    def refresh_date(self) -> None:
        """Makes the `date` header of the answers to come."""
        if (now := int(time.time())) != self._second:
            self._second = now
            self.default_headers = [(b"date", formatdate(now, usegmt=True).encode())]


class _Transport:
    """What a request's answer writes to: closing waits for the rest of the request."""

    def __init__(self, connection: Connection) -> None:
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing
        self.close = connection.hang_up


class Connection(HttpToolsProtocol):
    """One client's connection."""

    config: Config
    server_state: State

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = config.limits
        self._in_head = False  # some of a request's headers have come, not all
        self._in_message = False  # the same of the whole request
        self._head_bytes = 0  # bytes that may belong to the headers being read
        self._chunk = 0  # bytes of the chunk being parsed that may belong to headers
        self._too_large = False
        self._lingering = False  # answered for good; what still comes is thrown away
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    @property
    def busy(self) -> bool:
        """A request is being answered, or its answer is still being taken in."""
        if self._lingering:
            return False
        answering = self.cycle is not None and not self.cycle.response_complete
        return answering or self.transport.get_write_buffer_size() > 0

    # -- connections come and go ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        beyond = len(self.connections) - self.limits.max_connections
        if beyond > _SPARE:
            self.config.refused(0, "too many connections")
            transport.abort()
            return
        if beyond > 0:
            self.app = self.config.overloaded
        self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._head_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self.pipeline.clear()
        self.config.changed.set()

    def hang_up(self) -> None:
        """Closes once everything is sent; if a request is still coming in, after it has come.

        A socket that is closed with unread bytes resets its connection, and the client may lose the answer that says
        why. So the end is announced, and what comes is read and thrown away until the client closes too, or until
        the time of a request's headers is over.
        """
        if self.transport.is_closing() or self._lingering:
            return
        if self._in_message:
            self._lingering = True
            self.flow.resume_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._linger_timer = self.loop.call_later(self.limits.header_seconds, self.transport.abort)
        else:
            self.transport.close()
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._watch_writing()

    def finish(self) -> None:
        """SIGTERM: what is being answered is the last, unless the client was already told that it is not."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def close_if_quiet(self) -> None:
        """Closes, unless a request is being answered."""
        if self._lingering:
            self.transport.abort()
        elif not self.busy:
            self.transport.close()

    def refuse(self, status: int, message: str, reason: str) -> None:
        """Answers without the application and closes."""
        self.config.refused(status, reason)
        self.pipeline.clear()
        started = False
        if self.cycle is not None and not self.cycle.response_complete:
            started = self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if started:  # in the middle of an answer another would be taken for its rest
            self.transport.abort()
            return
        self._in_message = True  # whatever it was, it has not been read to its end
        self.transport.write(_answer(status, message))
        self.hang_up()

    # -- what comes in -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self._chunk = len(data)
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._lingering or self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > self.limits.header_bytes:
            self._refuse_large_head()
        elif self._in_head or self.cycle is None or self.cycle.response_complete:
            # Until headers are complete their time runs. An answered request's body is on the same clock.
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_message_begin(self) -> None:
        self.server_state.refresh_date()
        self._in_head = self._in_message = True
        self._head_bytes = self._chunk
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_bytes > self.limits.header_bytes:  # an upper bound: a body may have come along
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.limits.header_bytes:
                self._too_large = True
                raise ValueError("headers too large")  # the parser ends, and `send_400_response` is called
        super().on_headers_complete()
        self.cycle.transport = _Transport(self)  # type: ignore[assignment]  # the three methods that it calls
        if self.config.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_message = False
        self._chunk = 0  # how much of it the next request has is not known: count from the next chunk on
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser has given up."""
        if self.transport.is_closing():
            return
        if self._too_large:
            self._refuse_large_head()
        else:
            self.refuse(400, "what was sent is not HTTP/1.1; the connection is closed", "not HTTP")

    def _refuse_large_head(self) -> None:
        limit = f"{self.limits.header_bytes:,} bytes (the server's {flag('header_bytes')})"
        self.refuse(431, f"the request's headers are larger than {limit}", "headers too large")

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing() or self._lingering:
            return
        if self.cycle is not None and not self.cycle.response_complete:  # an earlier request is being answered
            self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)
        elif self._in_head:
            limit = f"{self.limits.header_seconds:g} seconds (the server's {flag('header_seconds')})"
            self.refuse(408, f"the request's headers did not arrive within {limit}", "headers too slow")
        else:
            if self.cycle is None:
                self.config.refused(0, "nothing sent")
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        self._in_message = False  # were its rest still coming, then for too long
        self.hang_up()

    # -- what goes out -------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None and not self.transport.is_closing():
            self._write_timer.cancel()
            self._write_timer = None

    def _watch_writing(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.limits.write_seconds, self._check_writing)

    def _check_writing(self) -> None:
        self._write_timer = None
        left = self.transport.get_write_buffer_size()
        if left and left > self._unsent - _PIECE:
            self.config.refused(0, "answer not read")
            self.transport.abort()
        elif left:
            self._watch_writing()
