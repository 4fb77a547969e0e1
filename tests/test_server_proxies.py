"""Who the client is, behind proxies: tables, and uvicorn's own middleware as the second opinion."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from asking import wait_for
from replicas import replica
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from crumb.server.proxies import Proxied
from crumb.server.settings import SettingsError

TRUSTED = ["10.0.0.0/8", "192.0.2.1", "fd00::/8"]


def client(trusted: list[str], peer: str | None, *forwarded: str, middleware: Any = Proxied) -> str | None:
    """Whom the application sees."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1234) if peer is not None else None, "headers": headers, "scheme": "http"}
    asyncio.run(middleware(app, trusted)(scope, None, None))
    return seen[0] and str(seen[0][0])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.1.1.1", ["203.0.113.9"], "203.0.113.9"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not believed
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # what stands before the last stranger is hearsay
        ("10.1.1.1", ["203.0.113.9, 10.2.2.2, 192.0.2.1"], "203.0.113.9"),
        ("10.1.1.1", ["1.1.1.1, 203.0.113.9", "10.2.2.2"], "203.0.113.9"),  # two headers are one list
        ("10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.1.1.1", ["203.0.113.9:5555"], "203.0.113.9"),
        ("10.1.1.1", ["[2001:db8::1]:5555"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.1.1.1", ["203.0.113.9"], "203.0.113.9"),  # IPv4 at a socket for both
        ("10.1.1.1", ["unknown"], "10.1.1.1"),
        ("10.1.1.1", ["203.0.113.9, <script>, 10.2.2.2"], "10.2.2.2"),
        ("10.1.1.1", [", ,"], "10.1.1.1"),
        (None, ["203.0.113.9"], None),  # a Unix socket is believed by name only
    ],
)
def test_the_client(peer: str | None, forwarded: list[str], expected: str | None) -> None:
    assert client(TRUSTED, peer, *forwarded) == expected


def test_a_unix_socket_is_believed_by_name() -> None:
    assert client(["unix"], None, "203.0.113.9") == "203.0.113.9"
    assert client(["unix"], None, "10.0.0.1, 203.0.113.9") == "203.0.113.9"
    assert client(["unix"], "10.1.1.1", "203.0.113.9") == "10.1.1.1"


ADDRESSES = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None),
    st.ip_addresses(network="10.0.0.0/8"),
    st.just(ipaddress.ip_address("192.0.2.1")),
    st.ip_addresses(network="fd00::/8"),
).map(str)


@given(ADDRESSES, st.lists(ADDRESSES, min_size=1, max_size=5))
def test_as_uvicorn_sees_it(peer: str, forwarded: list[str]) -> None:
    header = ", ".join(forwarded)
    assert client(TRUSTED, peer, header) == client(TRUSTED, peer, header, middleware=ProxyHeadersMiddleware)


@pytest.mark.parametrize("word", ["nginx", "10.0.0.1/8", "300.1.1.1", "*"])
def test_what_is_no_proxy(word: str) -> None:
    with pytest.raises(SettingsError, match=r"--trusted-proxy must be an address, a network such as 10\.0\.0\.0/8, or"):
        client([word], "10.1.1.1")


def test_the_log_tells_the_client_of_a_unix_socket(crumb_env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "s"
    with replica("--uds", str(path), "--trusted-proxy", "unix", env=crumb_env) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.9\r\nconnection: close\r\n\r\n")
            assert b"200 OK" in sock.recv(4096)
        wait_for(lambda: bool(server.requests()))
    assert server.requests()[0]["client"] == "203.0.113.9"
