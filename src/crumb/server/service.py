"""What a worker needs of the application it runs, and no more.

Enters: nothing. Leaves: `Service`, which `crumb.server.app.build(settings)` gives. Knows nothing of routes, models or
processes: the worker calls these methods, in this order, from the thread of its event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

# ASGI's own names (asgi.readthedocs.io); no server's types, so that the application needs none of them
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Service(Protocol):
    """An application with a beginning and an end."""

    @property
    def asgi(self) -> Asgi:
        """The application; it is called as soon as `start` has returned, whether the models are loaded or not."""
        ...

    async def start(self) -> None:
        """Begins to load the models in the background and returns at once."""
        ...

    async def loaded(self) -> None:
        """Returns when requests for vectors can be served; raises what prevents it for good, which ends the worker."""
        ...

    def reload(self) -> None:
        """SIGHUP: reads again what may change while it runs (keys)."""
        ...

    def drain(self) -> None:
        """SIGTERM: from now on not ready, and new requests get 503; those that are being answered go on."""
        ...

    async def stop(self) -> None:
        """After the last answer: ends threads and lets go of the models."""
        ...

    def refused(self, status: int, reason: str) -> None:
        """A client was turned away before the application saw a request; `status` 0 means without an answer."""
        ...
