"""Servers to measure, each a process on loopback, given its best settings for two cores.

Enters: a name, and the model's folder. Leaves: a `Running` server that answers one text with a vector, its memory and
how long it took to be ready. Knows nothing of loads.

`infinity` is looked for on the PATH or as $INFINITY (it pins other versions of what crumb's environment holds, so it
wants one of its own); `plain` needs sentence-transformers, FastAPI and uvicorn.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_START_SECONDS = 120
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
}


@dataclass
class Running:
    """A server that answers.

    Attributes:
        path: where embeddings are asked for.
        model: what its answers call the model.
        start_seconds: from the command to the first vector.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str
    model: str
    start_seconds: float

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    def body(self, texts: str | list[str]) -> bytes:
        """A request for vectors, as the official client sends it by default."""
        return json.dumps({"model": self.model, "input": texts, "encoding_format": "base64"}).encode()

    def embed(self, text: str) -> np.ndarray:
        """The vector of one text."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}", self.body(text), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            found = json.loads(answer.read())["data"][0]["embedding"]
        return np.frombuffer(base64.b64decode(found), "<f4") if isinstance(found, str) else np.asarray(found, "f4")

    def resident_megabytes(self) -> float:
        """Memory of all its processes that is shared with nobody else, and its part of what is (PSS)."""
        return self._megabytes("Pss")

    def anonymous_megabytes(self) -> float:
        """The part of it that is no file's: what grows by a leak, whoever else maps the model's file."""
        return self._megabytes("Pss_Anon")

    def _megabytes(self, line: str) -> float:
        return sum(_rollup(pid, line) for pid in [self.process.pid, *children(self.process.pid)])


def _crumb(*flags: str) -> Callable[[Path, int], tuple[list[str], str, str]]:
    def command(folder: Path, port: int) -> tuple[list[str], str, str]:
        words = [sys.executable, "-m", "crumb.cli", "serve", "--port", str(port), "--model", str(folder)]
        return [*words, "--log-level", "warning", *flags], "/v1/embeddings", "crumb"

    return command


def _infinity(folder: Path, port: int) -> tuple[list[str], str, str]:
    program = os.environ.get("INFINITY") or shutil.which("infinity_emb")
    if not program:
        raise SystemExit("infinity needs infinity_emb on the PATH, or its place in INFINITY")
    # its own torch engine, without the dynamic-shape compilation that made it slower here, and without its caches
    words = [program, "v2", "--model-id", str(folder), "--served-model-name", "m", "--port", str(port)]
    words += ["--host", "127.0.0.1", "--engine", "torch", "--device", "cpu", "--no-compile", "--no-bettertransformer"]
    return [*words, "--batch-size", "64", "--log-level", "error"], "/embeddings", "m"


def _plain(folder: Path, port: int) -> tuple[list[str], str, str]:
    return [sys.executable, "-m", "benchmarks.serving.plain", str(folder), str(port)], "/v1/embeddings", "m"


SERVERS: dict[str, Callable[[Path, int], tuple[list[str], str, str]]] = {
    "crumb": _crumb(),
    "crumb-float32": _crumb("--precision", "float32"),
    "crumb-int8": _crumb("--precision", "int8"),
    "infinity": _infinity,
    "plain": _plain,
}


@contextmanager
def running(name: str, folder: Path) -> Iterator[Running]:
    """Starts a server, waits for its first vector, and ends it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words, path, model = SERVERS[name](folder, port)
    began = time.perf_counter()
    with subprocess.Popen(words, env={**os.environ, **_OFFLINE}, stdout=subprocess.DEVNULL) as process:
        try:
            server = Running(name, process, port, path, model, 0.0)
            _wait(server)
            server.start_seconds = time.perf_counter() - began
            yield server
        finally:
            process.terminate()


def _wait(server: Running) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.embed("ready?")
            return
        except OSError as error:
            if server.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{server.name} did not answer: {error}") from None
            time.sleep(0.01)


def children(pid: int) -> list[int]:
    """All processes below one."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    direct = [int(word) for word in found.stdout.split()]
    return direct + [below for child in direct for below in children(child)]


def _rollup(pid: int, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
