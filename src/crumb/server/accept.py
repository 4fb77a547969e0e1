"""Connections come in and, at the end, are finished: nobody who has connected goes without an answer.

Enters: listening sockets, an ASGI application, `Settings`. Leaves: a `Listener`. Knows nothing of HTTP beyond whether a
connection is busy.

Accepting is done here and not by the event loop's server, which lets go of its socket in its own time: whoever
connected between its last look and then would be reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from crumb.server.http import Config, Connection, Refused, State
from crumb.server.service import Asgi
from crumb.server.settings import Settings

# How long a quiet connection stays open after SIGTERM: a request may be on its way on it.
_LAST_CALL = 0.3
# How long to wait when there is no descriptor or memory for a connection.
_SHORT_OF = 0.1


class Listener:
    """Accepts connections on sockets and serves `app` on them, within the settings' limits."""

    def __init__(self, app: Asgi, settings: Settings, refused: Refused = lambda status, reason: None) -> None:
        """To be made inside a running event loop; `refused` hears of clients that the application never saw."""
        self._config = Config(app, settings, refused)
        self._state = State()
        self._sockets: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._state.connections)

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Accepts from these listening sockets, which belong to the listener from now on."""
        for sock in sockets:
            sock.setblocking(False)
            self._sockets.append(sock)
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Accepts no more. Who has already connected, as far as the kernel knows, is served: nobody is reset."""
        self._config.draining = True
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            while self._accept(sock):
                pass
            sock.close()
        self._sockets.clear()

    def _accept(self, sock: socket.socket) -> bool:
        """Takes in one connection; whether there was one."""
        try:
            connected, _ = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # a sibling was first, or it is gone
            return False
        except OSError:
            self._config.refused(0, "no descriptor or memory for a connection")
            self._loop.remove_reader(sock)
            self._loop.call_later(_SHORT_OF, self._accept_again, sock)
            return False
        task = self._loop.create_task(self._connect(connected))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    def _accept_again(self, sock: socket.socket) -> None:
        if sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    async def _connect(self, connected: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is gone already
            connected.setblocking(False)
            if connected.family != socket.AF_UNIX:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(lambda: Connection(self._config, self._state, {}), connected)

    async def finish(self, seconds: float, at_once: asyncio.Event) -> int:
        """Waits for the answers in flight, closes what is quiet, and cuts what is left after `seconds`.

        Each connection's next answer is its last. A quiet one stays open for a moment, because its client may have
        sent a request that is not here yet.

        Args:
            at_once: when set, the waiting ends.

        Returns:
            How many connections were cut before their answer was complete.
        """
        loop = self._loop
        if self._opening:
            await asyncio.wait(self._opening)
        end = loop.time() + seconds
        last_call = min(loop.time() + _LAST_CALL, end)
        for connection in self._connections():
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
