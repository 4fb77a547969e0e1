"""What a collection in a folder survives: other processes, SIGKILL, a full disk. All of them real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_collection import run

import crumb
from crumb.search.collection import CollectionInUseError, DiskFullError
from crumb.search.collection.space import LEAST

pytest.importorskip("qdrant_edge")

LONG = "\n".join(f"line {i} of the first text, with some words more" for i in range(12))
LONGER = "\n".join(f"another text, its line {i}, and other words" for i in range(20))
SHORT = "a few words"


def python(code: str, *args: object, **kwargs: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


# --- two processes

HOLD = """
import sys, time, crumb
with crumb.Collection(sys.argv[1]) as c:
    print(len(c), flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_have_one_folder(tmp_path: Path, model: crumb.Model) -> None:
    with crumb.Collection(tmp_path, model) as c:
        c.add(["one"])
        with pytest.raises(CollectionInUseError, match=rf"in process {os.getpid()} \(this process\) on "):
            crumb.Collection(tmp_path, model)
        refused = python(HOLD, tmp_path)
        _, errors = refused.communicate(timeout=60)
        assert refused.returncode == 1
        assert f"is open in process {os.getpid()} on " in errors
        assert "pytest" in errors  # the holder's command
    holder = python(HOLD, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "1\n"
    with pytest.raises(CollectionInUseError, match=rf"in process {holder.pid} on .* since 20..-.*: python.* -c"):
        crumb.Collection(tmp_path, model)
    holder.kill()
    holder.wait()
    with crumb.Collection(tmp_path, model) as c:  # the lock of a dead process is no obstacle
        assert len(c) == 1


def test_a_folder_whose_making_was_cut_off_is_made_anew(tmp_path: Path, model: crumb.Model) -> None:
    with crumb.Collection(tmp_path / "c", model) as c:
        c.add(["one"])
    (tmp_path / "c" / "crumb-collection.json").unlink()  # it is written last
    with crumb.Collection(tmp_path / "c", model) as c:
        assert len(c) == 0
        c.add(["two"])
        assert len(c) == 1


# --- killed

KILLED_AT = """
import os, signal, sys, crumb
from crumb.search.collection.edge import Edge
folder, text, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
with crumb.Collection(folder) as c:
    update, calls = Edge._update, []
    def dying(self, operation):
        calls.append(operation)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        update(self, operation)
    Edge._update = dying
    c.upsert([text], ids=["long"], metadata=[{"new": True}])
print("survived", flush=True)
"""


@pytest.mark.parametrize("text", [SHORT, LONGER], ids=["shorter", "longer"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_replaced_document_is_the_old_one_or_the_new_one(
    tmp_path: Path, model: crumb.Model, text: str, at: int
) -> None:
    """Killed before the new passages are written, before those that are too many are removed, and not at all."""
    with crumb.Collection(tmp_path, model, chunk_tokens=16) as c:
        c.add([LONG, "beside it"], ids=["long", "other"], metadata=[{"new": False}, {}])
        (old,) = c.get(["long"])
    process = python(KILLED_AT, tmp_path, text, at)
    _, errors = process.communicate(timeout=60)
    updates = 2 if text == SHORT else 1  # nothing has to be removed after a longer text
    assert process.returncode == (-signal.SIGKILL if at <= updates else 0), errors
    with crumb.Collection(tmp_path, model) as c:
        (item,) = c.get(["long"])
        written = at > 1
        assert (item.text, item.metadata) == ((text, {"new": True}) if written else (LONG, {"new": False}))
        assert item.chunks == old.chunks if not written else item.chunks != old.chunks
        assert c._backend.count(None) == item.chunks + 1
        found = c.search("a few words more of the text", per="chunk", top_k=100)
        passages = [hit for hit in found if hit.id == "long"]
        assert sorted(hit.chunk for hit in passages) == list(range(item.chunks))
        assert all(hit.text in item.text for hit in passages)


def test_killed_at_random_moments(tmp_path: Path, model_folder: Path) -> None:
    """A few rounds of tests/crash_collection.py, which does a hundred."""
    cut_off = run(tmp_path, kills=5, seed=int(time.time()))
    assert sum(cut_off.values()) >= 5


# --- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 104 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=104m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


FILL = """
import random, sys, warnings, crumb
from crumb.search.collection import DiskFullError
warnings.simplefilter("ignore")  # that the context holds no megabyte
with crumb.Collection(sys.argv[1], strategy="one-vector") as c:
    i = 0
    while True:
        noise = random.Random(i).randbytes(500_000).hex(" ", 4)  # which cannot be compressed
        try:
            c.add([f"text {i} {noise}"], ids=[i])
        except DiskFullError as error:
            print("full", error, flush=True)
            break
        i += 1
        print(i, flush=True)
"""


def test_a_full_disk(small_disk: Path, model: crumb.Model) -> None:
    folder = small_disk / "c"
    process = python(FILL, folder)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    *counts, last = out.splitlines()
    assert last.startswith("full no room for ")
    assert "MB are free" in last
    assert "make room and run it again" in last
    added = int(counts[-1])
    assert added >= 5
    with crumb.Collection(folder) as c:  # while the disk is as full as it was
        assert len(c) == added
        assert set(c.ids()) == set(range(added))
        for i in (0, added // 2, added - 1):
            (item,) = c.get([i])
            assert item.text.startswith(f"text {i} ")
            assert len(item.text) > 1_000_000
            assert i in {hit.id for hit in c.search(f"text {i}", mode="bm25", top_k=100)}
        with pytest.raises(DiskFullError):
            c.optimize()
        # removing makes room, in the end
        assert c.delete(range(added - 2)) == added - 2
        assert len(c) == 2
    # not one byte left: what is there can still be opened and read, or is refused without harm
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        stat = os.statvfs(small_disk)
        free = stat.f_bavail * stat.f_frsize
        file.write(b"x" * (free - LEAST // 2))
    with pytest.raises(DiskFullError, match="opening the collection"):
        crumb.Collection(folder)
    filler.unlink()
    with crumb.Collection(folder) as c:
        assert len(c) == 2
