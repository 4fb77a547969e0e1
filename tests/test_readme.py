"""What the README shows runs as it stands there, and prints what it says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, PRECISIONS
from serving import crumb_server

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: Any) -> None:
    block, _, _ = blocks("python")
    if "bf16" not in PRECISIONS.values():
        block = block.replace('crumb.load(precision="bf16")', "pass")
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text(
        "Bread rises overnight.\nKeys are rotated every month.\nTea is ready.\n", encoding="utf-8"
    )
    names: dict[str, Any] = {}
    exec(block, names)
    assert (names["vectors"].shape, names["vectors"].dtype) == ((2, 384), np.float32)
    shown = float(re.search(r"crumb\.similarity\(.*\[\[(0\.\d+)…\]\]", block)[1])
    expected = float(reference.similarity(*reference.encode(names["texts"])[:, None]))
    assert 0 <= expected - shown < 0.01
    assert names["report"].texts == 2
    found = names["crumb"].semantic_search(names["model"].encode("rotating keys"), names["docs"], top_k=1)
    assert found[0][0]["corpus_id"] == 1
    assert (names["bits"].array.shape, names["bits"].array.dtype) == ((3, 48), np.uint8)


def test_collection(crumb_home: Path, monkeypatch: pytest.MonkeyPatch, reference: Any) -> None:
    _, block, _ = blocks("python")
    monkeypatch.setenv("CRUMB_HOME", str(crumb_home))
    names: dict[str, Any] = {}
    exec(block, names)
    (hit,) = names["hits"]
    shown = re.search(r"# \('(.*)', (0\.\d+)…\)", block)
    assert shown is not None
    assert hit.id == shown[1]
    expected = float(reference.similarity(*reference.encode(["who changes the keys?", hit.text])[:, None]))
    assert hit.score == pytest.approx(expected, abs=0.005)
    assert 0 <= expected - float(shown[2]) < 0.01


def test_client(reference: Any) -> None:
    """The snippet itself runs against port 8000 in tests/clients/test_snippet.py; here against any port."""
    pytest.importorskip("mixedbread", reason='mixedbread is not installed: pip install ".[clients]"')
    _, _, block = blocks("python")
    names: dict[str, Any] = {}
    with crumb_server("--precision", "float32") as server:
        exec(block.replace('environment="local"', f'base_url="{server.url}"'), names)
    vector = names["res"].data[0].embedding
    np.testing.assert_allclose(vector, reference.encode(names["docs"][0]), atol=1e-5)
    shown = re.search(r"# \(\[(0\.\d+)…, (0\.\d+)…\], (\d+)\)", block)
    assert shown is not None
    for value, digits in zip(vector, shown.groups()[:2], strict=False):
        assert 0 <= value - float(digits) < 0.001
    assert names["res"].usage.total_tokens == int(shown[3])


def test_commands(tmp_path: Path, run_crumb: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Every crumb command of the README but `pull`, which needs the network, `serve`, which does not end, and `train`
    and `soup`, whose data are not part of the project (tests/test_train_run.py has some)."""
    (tmp_path / "src").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "src" / "secrets.py").write_text("def read_secrets(path):\n    return open(path).read()\n")
    (tmp_path / "articles.jsonl").write_text('{"body": "one"}\n{"body": "two"}\n')
    (tmp_path / "pairs.jsonl").write_text('{"query": "one", "positive": "1"}\n{"query": "two", "positive": "2"}\n')
    shutil.copytree(DATA / "eval" / "mbpp", tmp_path / "sets" / "scifact")
    (tmp_path / "README.md").write_text("# How a long text is cut\n\nAt its end.\n")
    lines = [line for block in blocks("sh") for line in block.splitlines() if "crumb " in line]
    commands = [shlex.split(line.rpartition("&&")[2], comments=True) for line in lines]
    assert {command[1] for command in commands} >= {"search", "embed", "similarity", "models", "pull", "doctor"}
    for _, *words in commands:
        if words[0] not in ("pull", "serve", "train", "soup"):
            done = run_crumb(*words, cwd=tmp_path)
            assert done.returncode == 0, (words, done.stderr)
            assert done.stdout or "-o" in words
