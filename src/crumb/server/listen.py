"""What the parent and its workers share: the address that is listened on, exit codes, and the words of a worker.

Enters: `Settings`. Leaves: listening sockets, or a `ListenError` that says why there are none. Imports the standard
library alone.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from enum import StrEnum
from pathlib import Path

from crumb.errors import CrumbError
from crumb.server.settings import Settings, flag

# a worker's exit codes
DONE = 0
FAILED = 1
CUT = 3  # the grace period was over before every answer was


class News(StrEnum):
    """The first words of the lines that a worker writes to its parent."""

    UP = "up"  # it accepts connections
    READY = "ready"  # its models are loaded
    FAILED = "failed"  # and why
    CUT = "cut"  # and how many answers


class ListenError(CrumbError, OSError):
    """An address that cannot be listened on; the message says why and what to do."""


def listen(settings: Settings) -> list[socket.socket]:
    """Listening sockets: one for each address of the host, all on the same port, or one Unix socket.

    Raises:
        ListenError: the port is taken or not allowed, the host has no such address, the path is no socket.
    """
    if settings.uds:
        return [_listen_path(settings.uds, settings.backlog)]
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(
            f"{flag('host')} {host!r} is no address of this machine ({error}); 127.0.0.1 serves this machine alone, "
            "0.0.0.0 everybody who reaches it"
        ) from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # "::" alone means both families, as everywhere
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
            sock.bind((address[0], port, *address[2:]))
            port = sock.getsockname()[1]  # 0 was any: the next address gets the same
            sock.listen(settings.backlog)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _explained(error, settings) from None
    return sockets


def _listen_path(path: str, backlog: int) -> socket.socket:
    """A Unix socket at `path`; one that nobody listens on any more is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise ListenError(f"{flag('uds')} {path} exists and is no socket; name another path, or remove it")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            else:
                raise ListenError(f"another program listens on {path}; stop it, or choose another ({flag('uds')})")
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {flag('uds')} {path}: {error.strerror or error}") from None
    return sock


def _explained(error: OSError, settings: Settings) -> ListenError:
    where = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        what = f"{where} is taken by another program; stop it, or choose another port ({flag('port')})"
    elif error.errno in (errno.EACCES, errno.EPERM):
        what = f"{where} is not allowed to this user; choose one above 1023 ({flag('port')})"
    elif error.errno == errno.EADDRNOTAVAIL:
        what = f"{flag('host')} {settings.host} is no address of this machine"
    else:
        what = f"cannot listen on {where}: {error.strerror or error}"
    return ListenError(what)


def url_of(sock: socket.socket) -> str:
    """Where clients reach it: http://127.0.0.1:8000, or unix:/path."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if sock.family == socket.AF_INET6 else f"http://{host}:{port}"
