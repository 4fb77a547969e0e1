"""Who asks, where a proxy stands between.

Enters: an ASGI app, the addresses of proxies that are believed. Leaves: the same app, for which `scope["client"]` is
the client that the nearest of them saw. Knows nothing of requests.

X-Forwarded-For is read from its end, because each proxy appends whom it heard: believed proxies are passed over, and
the first that is none is the client. What stands before it anybody may have written. From a peer that is not believed
the header is not read at all. (uvicorn's own middleware does the same but cannot believe a Unix socket, which has no
address.)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from crumb.server.settings import SettingsError, flag

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_UNIX = "unix"


class Proxied:
    """Puts the client's address where the proxy's was.

    Args:
        app: what is served.
        trusted: addresses, networks such as 10.0.0.0/8, or "unix" for whoever connects to the Unix socket.

    Raises:
        SettingsError: one is none of these.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._unix = _UNIX in trusted
        self._networks = [_network(word) for word in trusted if word != _UNIX]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] == "http" and self._believes(scope.get("client")):
            client = self._client(b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for"))
            if client is not None:
                scope["client"] = (client, 0)  # the port is not told
        await self._app(scope, receive, send)

    def _believes(self, peer: tuple[str, int] | None) -> bool:
        if peer is None or not peer[0]:
            return self._unix
        address = _address(peer[0])
        return address is not None and self._is_proxy(address)

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _client(self, forwarded: bytes) -> str | None:
        """The last address that is no proxy's; the first if all are; None where there is none that can be read."""
        found: Address | None = None
        for word in reversed(forwarded.decode("latin-1").split(",")):
            address = _address(word.strip())
            if address is None:  # what a proxy cannot have written ends what is believed
                break
            found = address
            if not self._is_proxy(address):
                break
        return None if found is None else str(found)


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        raise SettingsError(
            f"{flag('trusted_proxy')} must be an address, a network such as 10.0.0.0/8, or unix, got {word!r} ({error})"
        ) from None


def _address(word: str) -> Address | None:
    """An address, with or without a port; an IPv4 one in IPv6's dress is itself."""
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
