"""`crumb serve` as others run it: real processes with a model, that can be stopped and killed.

Enters: flags and an environment. Leaves: a `Replica` that listens; `post` for one request. Knows nothing of
what is tested.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asking import PATIENCE, Answer, answer_of, wait_for
from conftest import can_be_interrupted


def ask(
    connection: http.client.HTTPConnection, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection; POST if there is a body."""
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("GET" if sent is None else "POST", path, sent, dict(headers or {}))
    return answer_of(connection.getresponse())


def post(port: int, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        return ask(connection, path, body, headers)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Replica:
    """A `crumb serve` process and its worker; `said` is what it wrote to stderr."""

    def __init__(self, *flags: str, env: Mapping[str, str], port: int = 0, cwd: Path | None = None) -> None:
        self._command = [sys.executable, "-m", "crumb.cli", "serve", "--log-format", "json", *flags]
        self._env = env
        self._cwd = cwd
        self.port = port
        self.said = ""
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again on the same port."""
        self._seen = len(self.said)
        self.process = subprocess.Popen(
            [*self._command, "--port", str(self.port)],
            stderr=subprocess.PIPE,
            text=True,
            env=self._env,
            cwd=self._cwd,
            preexec_fn=can_be_interrupted,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.said += line

    def ready(self) -> None:
        """Waits until its models are loaded."""
        wait_for(lambda: "ready after" in self.said[self._seen :] or self.process.poll() is not None)
        assert "ready after" in self.said[self._seen :], self.said
        if found := re.search(r"http://127.0.0.1:(\d+)", self.said):  # not where it listens on a Unix socket
            self.port = int(found[1])

    def requests(self) -> list[dict[str, Any]]:
        """What its log says of requests."""
        lines = [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == "request"]

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Waits for its end; its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        """SIGKILL to all of its processes at once, as when a container or a machine ends."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        self.ended()


@contextlib.contextmanager
def replica(*flags: str, env: Mapping[str, str], **more: Any) -> Iterator[Replica]:
    """A replica that is ready, and is gone afterwards."""
    running = Replica(*flags, env=env, **more)
    try:
        running.ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            try:
                running.ended()
            finally:
                running.process.kill()
