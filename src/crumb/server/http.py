"""HTTP/1.1 below the application: time, size and number limits that uvicorn does not have, and an end without losses.

Enters: listening sockets, an ASGI application, `Settings`. Leaves: a `Listener` that accepts, answers and finishes.
Knows nothing of what is asked; the limits of a body, in bytes and in time, are the application's (it alone knows
when it has heard enough).

Each limit closes one way to hold a server: headers that never end (408, 431), a client that does not read its answer
(cut), more connections than there is memory for (503). The base is uvicorn's connection class for httptools; what is
overridden are its methods of asyncio.Protocol and of the parser.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import socket
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from crumb.server.service import Asgi, Receive, Scope, Send
from crumb.server.settings import Settings, flag

# A slow reader has to take this many bytes within `write_seconds`; what asyncio holds back before it asks to pause.
_PIECE = 64 * 1024
# How long a quiet connection stays open after SIGTERM: a request may be on its way on it.
_LAST_CALL = 0.3
# This many connections beyond the limit get an answer (503, or health); those beyond are closed without one.
_SPARE = 64
_ALWAYS = ("/health/", "/metrics")

Refused = Callable[[int, str], None]


def error_body(status: int, message: str, kind: str) -> bytes:
    """The JSON of an error as every client reads it."""
    error = {"message": message, "type": kind, "code": status, "param": None}
    return json.dumps({"error": error, "message": message}).encode()


def _answer(status: int, message: str, kind: str) -> bytes:
    """A whole HTTP answer that closes the connection."""
    body = error_body(status, message, kind)
    head = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _overloaded(app: Asgi, limit: int, refused: Refused) -> Asgi:
    """The application of a connection beyond the limit: 503, but health is told as ever."""
    body = error_body(
        503,
        f"the server has {limit:,} connections open, which is its limit ({flag('max_connections')}); try again in a "
        "moment, and use fewer connections for more requests each",
        "overloaded",
    )
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


class _Config(UvicornConfig):
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


class _State(ServerState):
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

    config: _Config
    server_state: _State

    def __init__(
        self,
        config: _Config,
        server_state: _State,
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
        self.transport.write(_answer(status, message, "invalid_request_error"))
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
        limit = f"{self.limits.header_bytes:,} bytes ({flag('header_bytes')})"
        self.refuse(431, f"the request's headers are larger than {limit}", "headers too large")

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing() or self._lingering:
            return
        if self.cycle is not None and not self.cycle.response_complete:  # an earlier request is being answered
            self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)
        elif self._in_head:
            limit = f"{self.limits.header_seconds:g} seconds ({flag('header_seconds')})"
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


class Listener:
    """Accepts connections on sockets and serves `app` on them, within the settings' limits."""

    def __init__(self, app: Asgi, settings: Settings, refused: Refused = lambda status, reason: None) -> None:
        """To be made inside a running event loop; `refused` hears of clients that the application never saw."""
        self._settings = settings
        self._config = _Config(app, settings, refused)
        self._state = _State()
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._state.connections)

    def _connection(self) -> Connection:
        return Connection(self._config, self._state, {})

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Accepts from these listening sockets, which belong to the listener from now on."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            server = await loop.create_server(self._connection, sock=sock, backlog=self._settings.backlog)
            self._servers.append(server)
            self._sockets.append(sock)

    async def close(self) -> None:
        """Accepts no more. Who has already connected, as far as the kernel knows, is served: nobody is reset."""
        self._config.draining = True
        loop = asyncio.get_running_loop()
        for server, sock in zip(self._servers, self._sockets, strict=True):
            with sock.dup() as last:  # keeps the kernel's queue alive while the loop lets go of it
                server.close()
                with contextlib.suppress(OSError):  # BlockingIOError when nobody waits any more
                    while True:
                        waiting, _ = last.accept()
                        waiting.setblocking(False)
                        await loop.connect_accepted_socket(self._connection, waiting)

    async def finish(self, seconds: float, at_once: asyncio.Event) -> int:
        """Waits for the answers in flight, closes what is quiet, and cuts what is left after `seconds`.

        Each connection's next answer is its last. A quiet one stays open for a moment, because its client may have
        sent a request that is not here yet.

        Args:
            at_once: when set, the waiting ends.

        Returns:
            How many connections were cut before their answer was complete.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        last_call = min(loop.time() + _LAST_CALL, end)
        connections = self._connections()
        for connection in connections:
            connection.finish()
        hurry = asyncio.create_task(at_once.wait())
        while (connections := self._connections()) and not at_once.is_set() and loop.time() < end:
            if loop.time() >= last_call:
                for connection in connections:
                    connection.close_if_quiet()
            self._config.changed.clear()
            changed = asyncio.create_task(self._config.changed.wait())
            until = end if loop.time() >= last_call else last_call
            await asyncio.wait({changed, hurry}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        hurry.cancel()
        cut = 0
        for connection in self._connections():
            cut += connection.busy
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=1)
        return cut

    def _connections(self) -> list[Connection]:
        return [connection for connection in self._state.connections if isinstance(connection, Connection)]
