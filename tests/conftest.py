"""What several tests stand on: the genuine base model, its independent twin, real texts, and the command."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crumb
from crumb import store
from crumb.engine.precision import kernels

DATA = Path(__file__).parent / "data"
# every kernel table this machine runs, by name, and those that compute in float32
PRECISIONS = {kernel.name: kernel.precision for kernel in kernels() if kernel.runs}
FLOAT32 = [name for name, precision in PRECISIONS.items() if precision == "float32"]


def can_be_interrupted() -> None:
    """For a child that a test sends SIGINT to: a shell that started pytest in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The default model's folder, brought to this machine if it is not here yet."""
    return store.resolve(None, fetch=True)


@pytest.fixture(scope="session")
def model(model_folder: Path) -> crumb.Model:
    """In float32, which is what transformers computes in."""
    return crumb.load(precision="float32")


@pytest.fixture(scope="session")
def default(model_folder: Path) -> crumb.Model:
    """As the command line loads it."""
    return crumb.load()


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """200 real texts of 2 to 4,096 tokens, "" included (tests/data/README.md)."""
    with gzip.open(DATA / "texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="session")
def crumb_home(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CRUMB_HOME of the tests' own that has the model and nothing else."""
    home = tmp_path_factory.mktemp("crumb-home")
    (home / "models").symlink_to(store.models_dir())
    return home


@pytest.fixture(scope="session")
def crumb_env(crumb_home: Path) -> dict[str, str]:
    return {**os.environ, "CRUMB_HOME": str(crumb_home), "PYTHONUTF8": "1"}


@pytest.fixture(scope="session")
def run_crumb(crumb_env: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command in a process of its own: run_crumb("embed", "hello", input=None, env={}, cwd=None)."""

    def run(
        *args: str, input: str | None = None, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "crumb.cli", *args],
            input=input,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**crumb_env, **(env or {})},
            cwd=cwd,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def reference(model_folder: Path) -> Any:
    """The same checkpoint in sentence-transformers, on the CPU in float32: our independent twin."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model_folder), device="cpu", local_files_only=True)
