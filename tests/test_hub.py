"""Pulling from the Hugging Face Hub: the real huggingface_hub against a small Hub of our own on loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from loopback import Silent, serving

pytest.importorskip("huggingface_hub")

REPO = "some-org/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WANTED = {
    "config.json": b'{"hidden_size": 4}',
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "README.md": "# küçük".encode(),
    "model.safetensors": bytes(range(256)) * 400,
}
UNWANTED = {
    "pytorch_model.bin": b"a pickle",
    "onnx/model.onnx": b"onnx",
    "onnx/config.json": b"{}",
    "openvino/openvino_model.xml": b"xml",
    "gguf/model.gguf": b"gguf",
    ".gitattributes": b"*",
}


@dataclass
class Hub:
    """One repository at one commit. `files` is what is stated, `served` (where it differs) what is sent."""

    files: dict[str, bytes] = field(default_factory=lambda: {**WANTED, **UNWANTED})
    served: dict[str, bytes | None] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    requests: int = 0
    url: str = ""

    def listing(self) -> list[dict[str, object]]:
        """Every file under both spellings that the Hub's two endpoints use."""
        rows = []
        for path, data in self.files.items():
            row: dict[str, object] = {"type": "file", "path": path, "rfilename": path, "size": len(data)}
            row["oid"] = row["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if path.endswith(".safetensors"):
                digest = hashlib.sha256(data).hexdigest()
                row["lfs"] = {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 130}
            rows.append(row)
        return rows


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(Silent, http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            path = self.path.partition("?")[0]
            if path == f"/api/models/{REPO}/revision/{COMMIT}":
                self.answer(json.dumps({"id": REPO, "sha": COMMIT, "siblings": state.listing()}).encode())
            elif path == f"/api/models/{REPO}/tree/{COMMIT}":
                self.answer(json.dumps(state.listing()).encode())
            else:
                name = path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")
                self.answer(state.served.get(name, state.files.get(name)))
                if self.command == "GET":
                    state.sent.append(name)

        do_HEAD = do_GET  # noqa: N815 -- http.server prescribes the name

        def answer(self, body: bytes | None) -> None:
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    with serving(Handler) as state.url:
        yield state


def crumb_pull(hub: Hub, tmp_path: Path, name: str = f"{REPO}@{COMMIT}") -> subprocess.CompletedProcess[str]:
    """`crumb pull` in a process of its own: huggingface_hub reads its endpoint when it is imported."""
    ours = {
        "CRUMB_HOME": str(tmp_path / "home"),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "crumb.cli", "pull", name]
    return subprocess.run(command, env={**os.environ, **ours}, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def models(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "home" / "models").iterdir())


def test_only_what_crumb_reads_is_brought(hub: Hub, tmp_path: Path) -> None:
    done = crumb_pull(hub, tmp_path)
    folder = tmp_path / "home" / "models" / f"some-org--tiny@{COMMIT}"
    assert (done.returncode, done.stdout) == (0, f"{folder}\n"), done.stderr
    found = contents(folder)
    record = json.loads(found.pop("crumb-source.json"))
    assert found == WANTED
    assert sorted(hub.sent[-len(WANTED) :]) == sorted(WANTED)
    assert not set(hub.sent) & set(UNWANTED)
    assert (record["source"], record["repo"], record["revision"]) == ("hub", REPO, COMMIT)
    assert record["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in WANTED.items()}
    before = hub.requests
    assert crumb_pull(hub, tmp_path).stdout == done.stdout
    assert hub.requests == before


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_a_changed_file_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    changed = bytearray(WANTED[name])
    changed[3] ^= 1
    hub.served[name] = bytes(changed)
    failed = crumb_pull(hub, tmp_path)
    assert failed.returncode == 1
    assert f"{name} has the digest" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert models(tmp_path) == []
    assert contents(tmp_path / "home" / "downloads") == {}
    hub.served.clear()
    assert crumb_pull(hub, tmp_path).returncode == 0


def test_half_a_model_is_never_taken_for_one(hub: Hub, tmp_path: Path) -> None:
    hub.served["model.safetensors"] = None
    failed = crumb_pull(hub, tmp_path)
    assert failed.returncode == 1
    assert "could not be downloaded" in failed.stderr
    assert models(tmp_path) == []
    # The files that did arrive lie there; with no Hub to ask they must not pass for the model.
    arrived = contents(tmp_path / "home" / "downloads")
    assert any(path.endswith("/config.json") for path in arrived)
    unreachable = Hub(url="http://127.0.0.1:9")
    failed = crumb_pull(unreachable, tmp_path)
    assert failed.returncode == 1
    assert "could not be downloaded" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert models(tmp_path) == []
    hub.served.clear()
    hub.sent.clear()
    assert crumb_pull(hub, tmp_path).returncode == 0
    assert "config.json" not in hub.sent  # it had arrived before


def test_a_repository_of_pickles_is_refused(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    failed = crumb_pull(hub, tmp_path)
    assert failed.returncode == 1
    assert "expected a config.json and weights as .safetensors" in failed.stderr
    assert models(tmp_path) == []


def test_an_unknown_commit_is_an_error(hub: Hub, tmp_path: Path) -> None:
    failed = crumb_pull(hub, tmp_path, f"{REPO}@{'f' * 40}")
    assert failed.returncode == 1
    assert "could not be downloaded" in failed.stderr
    assert "404" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_branch_is_refused_before_anything_is_asked(hub: Hub, tmp_path: Path) -> None:
    failed = crumb_pull(hub, tmp_path, f"{REPO}@main")
    assert failed.returncode == 1
    assert "'main'" in failed.stderr
    assert "A branch or a tag moves" in failed.stderr
    assert hub.requests == 0


def test_a_model_that_does_not_run_says_so(hub: Hub, tmp_path: Path) -> None:
    failed = crumb_pull(hub, tmp_path, "mxbai-colbert-large-v1")
    assert failed.returncode == 1
    assert "crumb does not run mxbai-colbert-large-v1 yet" in failed.stderr
    assert "crumb pull mxbai-colbert-large-v1@REVISION" in failed.stderr
    assert hub.requests == 0
