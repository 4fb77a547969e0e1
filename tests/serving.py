"""A real `crumb serve`, a process of its own on loopback, for the length of a `with`.

Enters: flags as on the command line, and environment variables. Leaves: a `Server` that accepts requests, with its
process, so that a test can also stop or kill it. Knows nothing of the API but what the server says when it is up.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from crumb.server.settings import FIELDS, variable

START_SECONDS = 120.0  # of a loaded machine; a server that dies earlier is noticed at once
STOP_SECONDS = 45.0  # the server's own grace period is 30
_UP = re.compile(r"listening on http://[^\s\"]+:(\d+)\b")


@dataclass
class Server:
    """A running server.

    Attributes:
        process: the one that was started; those that it starts itself are in its process group.
        port: where it listens on 127.0.0.1.
    """

    process: subprocess.Popen[str]
    port: int = 0
    _lines: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return "".join(self._lines)

    def ready(self) -> bool:
        """Whether /health/ready says so."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Returns when it is; raises AssertionError, with its stderr, when it ends or is not in time."""
        self._wait(self.ready, "ready", seconds)

    def stop(self) -> int:
        """Sends SIGTERM and gives the exit code; raises subprocess.TimeoutExpired where it does not end."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        if self._reader:
            self._reader.join(STOP_SECONDS)
        return code

    def _wait(self, happened: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, f"crumb serve ended with {self.process.returncode}:\n{self.stderr}"
            assert time.monotonic() < end, f"crumb serve was not {what} in {seconds:g} s:\n{self.stderr}"
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)

    def _listens(self) -> bool:
        if said := _UP.search(self.stderr):
            self.port = int(said[1])
        return said is not None


def plain_environment() -> dict[str, str]:
    """This process's, without what somebody has set for servers of his own."""
    theirs = {"CRUMB_CONFIG", *map(variable, FIELDS)}
    return {name: value for name, value in os.environ.items() if name not in theirs}


@contextmanager
def crumb_server(*args: str, env: Mapping[str, str] | None = None, ready: bool = True) -> Iterator[Server]:
    """Starts `crumb serve ARGS…` and gives the `Server`; ends it, whatever happened, when the `with` is left.

    Args:
        args: flags; without `--port` among them, a port that is free.
        env: put over `plain_environment`.
        ready: wait for /health/ready too, and not only for the line that says where it listens.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "crumb.cli", "serve", "--port", "0", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**plain_environment(), **(env or {})},
        start_new_session=True,  # a group of its own: nothing that it started outlives the `with`
    )
    server = Server(process)
    server._reader = threading.Thread(target=server._read, daemon=True)
    server._reader.start()
    try:
        server._wait(server._listens, "listening", START_SECONDS)
        if ready:
            server.wait_until_ready()
        yield server
    finally:
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                server.stop()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        server._reader.join(STOP_SECONDS)
