"""The cache of searches: looked at with sqlite3 itself, used by two real processes, damaged by hand."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crumb.search.cache import FILE_NAME, KEEP_DAYS, Cache, CacheError
from crumb.text.chunk import Passage

TODAY = int(time.time() // 86_400)
PASSAGES = [Passage("one\n\ntwo", 1, 3, "A > B"), Passage("naïve \ud800 日本", 4, 4, "")]


def key(i: int) -> bytes:
    return i.to_bytes(32, "big")


def vector(i: int) -> np.ndarray:
    return np.random.default_rng(i).standard_normal(4).astype(np.float32)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    many = {key(i): vector(i) for i in range(1_300)}  # more than SQLite takes in one query
    with Cache(tmp_path / "not" / "there") as cache:
        cache.add_vectors(many)
        cache.add_documents({key(1): PASSAGES, key(2): []})
        cache.add_vectors({key(7): vector(8)})  # the last one stays
    with Cache(tmp_path / "not" / "there") as cache:
        back = cache.vectors([*many, key(9_999)], 4)
        assert set(back) == set(many)
        for k, v in many.items():
            assert np.array_equal(back[k], vector(8) if k == key(7) else v)
            assert back[k].dtype == np.float32
        assert cache.documents([key(1), key(2), key(3)]) == {key(1): PASSAGES, key(2): []}
        assert cache.vectors([], 4) == {}


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.add_documents({key(1): PASSAGES})
        files = [path for path in tmp_path.iterdir() if path.name.startswith(FILE_NAME)]
        assert len(files) == 3  # the file, its log and its index
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_is_not_used_goes(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.add_vectors({key(i): vector(i) for i in range(3)})
        cache.add_documents({key(i): PASSAGES for i in range(3)})
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        for table in ("vectors", "documents"):
            for i, age in enumerate((KEEP_DAYS - 1, KEEP_DAYS, KEEP_DAYS + 1)):
                database.execute(f"UPDATE {table} SET used = ? WHERE key = ?", (TODAY - age, key(i)))
    database.close()
    with Cache(tmp_path) as cache:
        assert set(cache.vectors([key(0), key(2)], 4)) == {key(0)}
    # key 0 was used now; key 1 was not, and is still there
    database = sqlite3.connect(tmp_path / FILE_NAME)
    assert dict(database.execute("SELECT key, used FROM vectors")) == {key(0): TODAY, key(1): TODAY - KEEP_DAYS}
    assert [k for (k,) in database.execute("SELECT key FROM documents ORDER BY key")] == [key(0), key(1)]
    database.close()


def test_another_schema_is_begun_anew(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.executescript("CREATE TABLE vectors (something); INSERT INTO vectors VALUES (1); PRAGMA user_version = 99")
    database.close()
    with Cache(tmp_path) as cache:
        cache.add_vectors({key(1): vector(1)})
        assert set(cache.vectors([key(1)], 4)) == {key(1)}


@pytest.mark.parametrize("damage", [b"this is no database " * 100, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    with Cache(tmp_path) as cache:
        cache.add_vectors({key(1): vector(1)})
        assert set(cache.vectors([key(1)], 4)) == {key(1)}
    assert (tmp_path / f"{FILE_NAME}.damaged").read_bytes() == damage
    said = capsys.readouterr().err
    assert str(tmp_path / FILE_NAME) in said
    assert "set aside" in said


def test_damage_in_the_middle_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with Cache(tmp_path) as cache:
        cache.add_vectors({key(i): vector(i) for i in range(3_000)})
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 2))
    with Cache(tmp_path) as cache, pytest.raises(CacheError, match="is damaged") as caught:
        cache.vectors([key(i) for i in range(3_000)], 4)
    assert str(path) in str(caught.value)
    assert "Delete it" in str(caught.value)
    assert "--no-cache" in str(caught.value)


def test_a_vector_of_another_size_is_an_error(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.add_vectors({key(1): vector(1)})
        with pytest.raises(CacheError, match="4 components instead of 8"):
            cache.vectors([key(1)], 8)


def test_a_place_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be used.*CRUMB_HOME"):
        Cache(tmp_path / "file" / "cache")
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(CacheError, match="cannot be used.*CRUMB_HOME"):
        Cache(tmp_path)


WORKER = """
import sys
import numpy as np
from pathlib import Path
from crumb.search.cache import Cache
from crumb.text.chunk import Passage

folder, worker = Path(sys.argv[1]), int(sys.argv[2])
sys.stdin.readline()  # all begin at once
key = lambda i: i.to_bytes(32, "big")
for round in range(40):
    with Cache(folder) as cache:
        # keys of its own, and keys that the others write too
        own = {key(1000 * worker + round * 10 + i): np.full(4, worker, np.float32) for i in range(10)}
        cache.add_vectors(own | {key(i): np.full(4, i, np.float32) for i in range(10)})
        cache.add_documents({key(worker): [Passage("text", 1, 1, "")]})
        assert set(own) <= set(cache.vectors(list(own), 4))
"""


def test_processes_at_once(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [
        subprocess.Popen([*command, str(i)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
        for i in (1, 2, 3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.communicate(timeout=120)[1] == ""
        assert worker.returncode == 0
    with Cache(tmp_path) as cache:
        for i in (1, 2, 3):
            own = cache.vectors([key(1000 * i + j) for j in range(400)], 4)
            assert len(own) == 400
            assert all((v == i).all() for v in own.values())
        assert [v[0] for _, v in sorted(cache.vectors([key(i) for i in range(10)], 4).items())] == list(range(10))
        assert len(cache.documents([key(i) for i in (1, 2, 3)])) == 3
    database = sqlite3.connect(tmp_path / FILE_NAME)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
