"""Files in a collection that follows them: by the library in this process, then as `crumb index` and
`crumb search --in` do it in processes of their own, `--watch` included.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import can_be_interrupted
from documents import encrypted, pdf, word
from docx.document import Document

import crumb
from crumb.search.index import FileIndex, IndexReport, index_files
from crumb.search.walk import PathError

pytest.importorskip("qdrant_edge")

from crumb.search.collection import Collection

Run = Callable[..., subprocess.CompletedProcess[str]]

TEXTS = {
    "docs/security.md": """# Operations

## Rotating API keys

Every access token is replaced once a quarter. Create the new one first, deploy it, and revoke the old one last.

## Backups

The database is dumped every night and the dump is copied to another building.
""",
    "docs/kitchen.html": """<html><head><title>Kitchen</title></head>
<body><h1>Bread</h1>
<p>Knead the dough for ten minutes and let it rest
overnight in the fridge.</p></body></html>
""",
    "src/geometry.py": '''import math


def circle_area(radius):
    """The surface that a disc covers."""
    return math.pi * radius**2
''',
    "notes.txt": "The cat sleeps on the warm windowsill all afternoon.\n",
    "ignored.log": "access token rotation\n",
    ".gitignore": "*.log\n",
}
TIDES = [["Tides", "The moon pulls the water of the sea up and down twice a day."], ["Glaciers", "Ice flows slowly."]]


def birds(document: Document) -> None:
    document.add_heading("Birds of the Fens", 0)
    document.add_paragraph("A survey of three winters.")
    document.add_heading("Owls", 1)
    document.add_paragraph("Barn owls hunt voles at dusk over the wet meadows.")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name, text in TEXTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "tides.pdf").write_bytes(pdf(TIDES))
    (root / "birds.docx").write_bytes(word(birds))
    return root


INDEXED = {
    *("docs/security.md", "docs/kitchen.html", "src/geometry.py", "notes.txt"),
    *("tides.pdf", "birds.docx"),
}


@pytest.fixture
def store(tmp_path: Path, default: crumb.Model) -> Iterator[Collection]:
    with Collection(tmp_path / "store", default, chunk_tokens=40) as collection:
        yield collection


def counts(report: IndexReport) -> tuple[int, int, int, int]:
    return (report.added, report.updated, report.removed, report.unchanged)


def names(collection: Collection, root: Path) -> set[str]:
    return {str(Path(str(name)).relative_to(root)) for name in collection.ids()}


# --- the library


def test_one_document_a_file(tree: Path, store: Collection) -> None:
    report = index_files(store, [tree])
    assert counts(report) == (6, 0, 0, 0)
    assert report.walk.skipped == {"hidden": 1, "ignored by git": 1}
    assert report.passages >= 7
    assert names(store, tree) == INDEXED
    (item,) = store.get([str(tree / "notes.txt")])
    status = (tree / "notes.txt").stat()
    modified = item.metadata.pop("modified")
    assert modified == pytest.approx(status.st_mtime, abs=1e-5, rel=0)
    assert item.metadata == {
        "path": str(tree / "notes.txt"),
        "kind": "text",
        "size": status.st_size,
        "sha256": hashlib.sha256(TEXTS["notes.txt"].encode()).hexdigest(),
    }
    assert item.text == TEXTS["notes.txt"]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, default: crumb.Model) -> Iterator[Collection]:
    root = tmp_path_factory.mktemp("indexed")
    for name, text in TEXTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "tides.pdf").write_bytes(pdf(TIDES))
    (root / "birds.docx").write_bytes(word(birds))
    with Collection(root / ".store", default, chunk_tokens=16) as collection:
        index_files(collection, [root])
        yield collection


@pytest.mark.parametrize(
    ("query", "path", "place"),
    [
        ("how do I change my access credentials?", "docs/security.md", 5),
        ("how long does the dough rest?", "docs/kitchen.html", 3),
        ("surface of a round shape", "src/geometry.py", 5),
        ("where is the cat?", "notes.txt", 1),
        ("ebb and flood of the ocean", "tides.pdf", 1),
        ("frozen rivers", "tides.pdf", 2),
        ("who eats small rodents?", "birds.docx", 4),
    ],
)
def test_the_right_place_is_found(indexed: Collection, query: str, path: str, place: int) -> None:
    hit = indexed.search(query, top_k=1)[0]
    assert str(hit.id).endswith(path)
    assert hit.start_line <= place <= hit.end_line


def test_a_second_run_reads_and_embeds_nothing(tree: Path, store: Collection) -> None:
    index_files(store, [tree])
    again = index_files(store, [tree])
    assert counts(again) == (0, 0, 0, 6)
    assert (again.passages, again.walk.files) == (0, 0)


def test_what_changes_and_what_goes(tree: Path, store: Collection) -> None:
    index_files(store, [tree])
    (tree / "notes.txt").write_text("Rye bread needs a sourdough starter.\n")
    (tree / "docs" / "kitchen.html").unlink()
    (tree / "new.md").write_text("# Harbour\n\nShips unload containers.\n")
    os.utime(tree / "src" / "geometry.py", (1e9, 1e9))  # touched, not changed
    report = index_files(store, [tree])
    assert counts(report) == (1, 1, 1, 4)
    assert report.passages == 2
    assert names(store, tree) == INDEXED - {"docs/kitchen.html"} | {"new.md"}
    assert [hit.text for hit in store.search("cat on the windowsill", mode="bm25")] == []
    assert store.search("sourdough", mode="bm25")[0].text == "Rye bread needs a sourdough starter."
    (geometry,) = store.get([str(tree / "src" / "geometry.py")])
    assert geometry.metadata["modified"] == 1e9
    assert counts(index_files(store, [tree])) == (0, 0, 0, 6)


def test_a_change_that_leaves_the_size_and_comes_at_once(tree: Path, store: Collection) -> None:
    for word_ in ("north", "south", "under"):
        (tree / "notes.txt").write_text(f"The way {word_}.\n")
        index_files(store, [tree / "notes.txt"])
        (item,) = store.get([str(tree / "notes.txt")])
        assert word_ in item.text


def test_renamed_and_moved(tree: Path, store: Collection) -> None:
    index_files(store, [tree])
    (tree / "docs").rename(tree / "papers")
    (tree / "notes.txt").rename(tree / "cat.txt")
    assert counts(index_files(store, [tree])) == (3, 0, 3, 3)
    assert names(store, tree) == {
        *("papers/security.md", "papers/kitchen.html", "src/geometry.py", "cat.txt", "tides.pdf", "birds.docx"),
    }


def test_names_of_a_folder_are_one(
    tree: Path, store: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_files(store, [tree])
    (tmp_path / "link").symlink_to(tree)
    monkeypatch.chdir(tree / "docs")
    for paths in ([Path("..")], [Path()], [tmp_path / "link"], [tree / "docs", tree], [Path("security.md")]):
        report = index_files(store, paths)
        assert (report.added, report.updated, report.removed) == (0, 0, 0)
    assert len(store) == 6


def test_only_what_came_from_these_paths_goes(tree: Path, store: Collection) -> None:
    index_files(store, [tree])
    mine = {"path": str(tree / "mine.txt"), "sha256": "0"}
    store.add(["a text of somebody else"], ids=[str(tree / "other.txt")])
    store.add(["another"], ids=["x"], metadata=[mine])
    (tree / "notes.txt").unlink()
    (tree / "docs" / "security.md").unlink()
    assert counts(index_files(store, [tree / "docs"])) == (0, 0, 1, 1)  # notes.txt is not below docs
    assert str(tree / "notes.txt") in store
    assert counts(index_files(store, [tree])) == (0, 0, 1, 4)
    assert {str(tree / "other.txt"), "x"} <= set(store.ids())


def test_what_is_ignored_by_now_goes_and_what_a_glob_leaves_out_stays(tree: Path, store: Collection) -> None:
    index_files(store, [tree], globs=["*.md"])
    assert names(store, tree) == {"docs/security.md"}
    assert counts(index_files(store, [tree], globs=["*.txt", "*.py"])) == (2, 0, 0, 0)
    assert names(store, tree) == {"docs/security.md", "notes.txt", "src/geometry.py"}
    (tree / "notes.txt").unlink()
    assert counts(index_files(store, [tree], globs=["*.md"])) == (0, 0, 1, 1)  # gone is gone
    (tree / ".gitignore").write_text("*.log\n*.py\n")
    report = index_files(store, [tree])
    assert report.removed == 1
    assert "src/geometry.py" not in names(store, tree)
    assert index_files(store, [tree], max_file_size=100).removed == 4  # too large by now; notes.txt went before
    assert names(store, tree) == set()


def test_what_cannot_be_read_is_named_and_the_rest_goes_in(tree: Path, store: Collection) -> None:
    (tree / "secret.pdf").write_bytes(encrypted(pdf(TIDES), "password"))
    (tree / "scan.pdf").write_bytes(pdf([[], []]))
    (tree / "broken.docx").write_bytes(b"PK\x03\x04 and no more")
    (tree / "image.bin").write_bytes(b"\0\1")
    (tree / "blank.txt").write_text(" \n")
    index = FileIndex([tree])
    report = index.run(store)
    assert report.added == 6
    assert report.walk.skipped == {"hidden": 1, "ignored by git": 1, "unreadable": 3, "not text": 1, "without text": 1}
    broken, scan, secret = sorted(report.walk.unreadable)
    assert broken.startswith(f"{tree}/broken.docx: it is no DOCX, or damaged (")
    assert scan.startswith(f"{tree}/scan.pdf: there is no text on its 2 pages")
    assert secret.startswith(f"{tree}/secret.pdf: it is encrypted and opens only with a password")
    # the same index says it again without trying again, until the file is another
    again = index.run(store)
    assert (again.walk.skipped, again.walk.unreadable) == (report.walk.skipped, report.walk.unreadable)
    (tree / "scan.pdf").write_bytes(pdf([["by now with text"]]))
    assert counts(index.run(store)) == (1, 0, 0, 6)
    # and a document that was good goes when its file is not any more: what it said is no longer there
    (tree / "tides.pdf").write_bytes(b"%PDF-1.4 torn")
    assert counts(index.run(store)) == (0, 0, 1, 6)
    assert store.search("moon", mode="bm25") == []


def test_without_the_extra_documents_are_passed_over(
    tree: Path, store: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pypdf", "pypdf.errors", "docx"):
        monkeypatch.setitem(sys.modules, module, None)  # how Python says that it is not installed
    report = index_files(store, [tree])
    assert report.added == 4
    assert report.walk.skipped['PDF or DOCX (pip install "crumb-embed[documents]" reads them)'] == 2
    monkeypatch.undo()
    assert counts(index_files(store, [tree])) == (2, 0, 0, 4)


def test_names_that_are_not_utf8(tree: Path, store: Collection) -> None:
    (tree / os.fsdecode(b"\xff.txt")).write_text("pirates")
    report = index_files(store, [tree])
    assert report.added == 6
    assert report.walk.unreadable == [
        f"{tree / os.fsdecode(bytes([255]) + b'.txt')}: its name is not UTF-8, and ids are"
    ]


def test_paths_that_are_not_there(tree: Path) -> None:
    with pytest.raises(PathError, match="nowhere does not exist"):
        FileIndex([tree, tree / "nowhere"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_is_closed_for_now_stays(tree: Path, store: Collection) -> None:
    index_files(store, [tree])
    (tree / "docs").chmod(0)
    (tree / "notes.txt").write_text("changed, and closed")
    (tree / "notes.txt").chmod(0)
    try:
        report = index_files(store, [tree])
    finally:
        (tree / "docs").chmod(0o700)
    assert counts(report) == (0, 0, 0, 3)
    assert names(store, tree) == INDEXED
    assert len(report.walk.unreadable) == 2


def test_one_vector_a_file_says_what_was_cut(tmp_path: Path, default: crumb.Model) -> None:
    (tmp_path / "long.txt").write_text("word " * 400)
    (tmp_path / "short.txt").write_text("word")
    with Collection(tmp_path / "store", default, strategy="one-vector") as collection:
        report = index_files(collection, [tmp_path], globs=["*.txt"])
    assert (report.added, report.passages) == (2, 2)
    assert (report.truncated_files, report.tokens_cut) == (1, 400 - 254)


# --- the command


@pytest.fixture
def home(tmp_path: Path, crumb_home: Path) -> Path:
    """A CRUMB_HOME with the models and no collections."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to((crumb_home / "models").resolve())
    return home


@pytest.fixture
def crumb_(run_crumb: Run, home: Path) -> Run:
    def run(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_crumb(*args, env={"CRUMB_HOME": str(home)}, **options)

    return run


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_index_search_and_list(tree: Path, crumb_: Run) -> None:
    (tree / "scan.pdf").write_bytes(pdf([[]]))
    done = crumb_("index", ".", "--into", "notes", "--chunk-tokens", "40", cwd=tree)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("notes: 6 added, 0 updated, 0 removed, 0 unchanged; ")
    assert "passed over: 1 hidden, 1 ignored by git, 1 unreadable; " in done.stdout
    assert "not read: " in done.stderr
    assert "/scan.pdf: there is no text on its only page" in done.stderr
    report = answer(crumb_("index", str(tree), "--into", "notes", "--json"))
    assert [report[key] for key in ("added", "updated", "removed", "unchanged", "passages")] == [0, 0, 0, 6, 0]

    found = answer(crumb_("search", "--in", "notes", "--json", "what makes ebb and flood?", cwd=tree))
    hit = found["hits"][0]
    assert (hit["path"], hit["unit"], hit["start_line"], hit["metadata"]["kind"]) == ("tides.pdf", "page", 1, "pdf")
    assert found["report"]["documents"] == 6
    assert len({hit["path"] for hit in found["hits"]}) == len(found["hits"]) == 5

    done = crumb_("search", "--in", "notes", "--top-k", "1", "--filter", "kind=docx", "voles", cwd=tree / "docs")
    first, *lines = done.stdout.splitlines()
    assert first.endswith(f"  {tree}/birds.docx ¶ 3-4  Birds of the Fens > Owls")
    assert lines == ["    ## Owls", "", "    Barn owls hunt voles at dusk over the wet meadows."]
    assert done.stderr.startswith("crumb: notes: 6 documents; ")
    words = answer(crumb_("search", "--in", "notes", "--json", "--mode", "bm25", "--per", "chunk", "dumped quarter"))
    assert [hit["start_line"] <= 9 and hit["path"].endswith("security.md") for hit in words["hits"]] == [True, True]
    size = '{"size": {"<": 1}}'
    assert answer(crumb_("search", "--in", "notes", "--json", "--filter", size, "voles"))["hits"] == []

    (fact,) = answer(crumb_("collections", "--json"))
    assert (fact["name"], fact["documents"], fact["encoding"]) == ("notes", 6, "float32")
    assert crumb_("collections").stdout.splitlines()[1].split()[:3] == ["notes", "all-MiniLM-L6-v2", fact["precision"]]


def test_plain_search_reads_documents_too(tree: Path, crumb_: Run) -> None:
    done = crumb_("search", "--top-k", "1", "moon and sea", "tides.pdf", cwd=tree)
    assert done.stdout.splitlines()[0].endswith("  tides.pdf p. 1-2")
    first = answer(crumb_("search", "--json", "moon and sea", ".", cwd=tree))
    assert first["report"]["encodings"] == {"utf-8": 4, "pdf": 1, "docx": 1}
    again = answer(crumb_("search", "--json", "moon and sea", ".", cwd=tree))
    assert (again["report"]["embedded"], again["report"]["encodings"]) == (0, first["report"]["encodings"])
    assert again["hits"] == first["hits"]


def test_wrong_use(tree: Path, crumb_: Run) -> None:
    for words, message in [
        (["search", "x", "docs", "--in", "notes"], "search docs or --in notes, not both"),
        (["search", "x", "--in", "notes", "--glob", "*.md"], "--glob is for files and not for --in"),
        (["search", "x", "--mode", "bm25"], "--mode is for collections; name one with --in"),
        (["search", "x", "--in", "notes", "--filter", "kind"], "no KEY=VALUE"),
        (["search", "x", "--in", "notes", "--filter", "a=1", "--filter", "a=2"], "names 'a' twice"),
        (["search", "x", "--in", "notes", "--wait", "-1"], "'-1' is not a number of seconds"),
        (["index", "."], "required: --into"),
        (["index", "--into", "notes"], "required: PATH"),
    ]:
        done = crumb_(*words, cwd=tree)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert message in done.stderr.splitlines()[-1]
    for words, message in [
        (["search", "x", "--in", "notes"], "there is no collection notes (there are none yet); crumb index"),
        (["index", "nowhere", "--into", "notes"], "nowhere does not exist; name files and folders to index"),
        (["index", ".", "--into", "no name"], "'no name' is no name of a collection"),
    ]:
        done = crumb_(*words, cwd=tree)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr
    assert not (tree / "nowhere").exists()


def test_settings_and_holders_are_named(tree: Path, crumb_: Run, home: Path) -> None:
    assert crumb_("index", "docs", "--into", "notes", cwd=tree).returncode == 0
    done = crumb_("index", "docs", "--into", "notes", "--encoding", "int8", cwd=tree)
    assert done.returncode == 1
    assert "was made with encoding='float32', not 'int8'" in done.stderr
    done = crumb_("search", "x", "--in", "other")
    assert "there is no collection other (there are notes)" in done.stderr
    done = crumb_("search", "x", "--in", "notes", "--context", "128")
    assert done.returncode == 1
    assert "do not compare" in done.stderr
    with Collection(home / "collections" / "notes", create=False):
        done = crumb_("search", "x", "--in", "notes", "--wait", "0")
        assert done.returncode == 1
        assert f"is open in process {os.getpid()}" in done.stderr
        assert crumb_("collections").stdout.splitlines()[1].split()[-4:-2] == ["in", "use"]


def wait_for(what: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def blocks(folder: Path) -> int:
    """How much of the disk the files of a folder hold."""
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def test_an_interrupted_run_goes_on(tmp_path: Path, crumb_env: dict[str, str], home: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i:03}.txt").write_text(f"Note {i}. " + "The quick brown fox jumps over the lazy dog. " * 5)
    command = [sys.executable, "-m", "crumb.cli", "index", str(folder), "--into", "many", "--json"]
    env = {**crumb_env, "CRUMB_HOME": str(home), "CRUMB_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=env, preexec_fn=can_be_interrupted) as process:
        place = home / "collections" / "many"
        assert wait_for((place / "crumb-collection.json").is_file)
        empty = blocks(place)
        assert wait_for(lambda: blocks(place) > empty)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"what is done stays; the same command goes on from there" in err
    assert b"Traceback" not in err
    with Collection(home / "collections" / "many", create=False) as collection:
        done = len(collection)
    assert 0 < done < 300
    rest = subprocess.run(command, capture_output=True, env={**env, "CRUMB_THREADS": "2"}, timeout=300, check=True)
    report = json.loads(rest.stdout)
    assert (report["added"], report["unchanged"]) == (300 - done, done)


# --- watching


class Watcher:
    """`crumb index --watch --json` at work."""

    def __init__(self, paths: list[Path], place: str, env: dict[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "crumb.cli", "index", *map(str, paths), "--into", place, "--watch", "--json"]
        self.out = log.with_suffix(".out")
        self.err = log.with_suffix(".err")
        files = {"stdout": self.out.open("wb"), "stderr": self.err.open("wb")}
        self.process = subprocess.Popen(command, **files, env=env, preexec_fn=can_be_interrupted)

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def totals(self) -> tuple[int, int, int]:
        """Files added, updated and removed so far."""
        reports = self.reports()
        added, updated, removed = (sum(r[key] for r in reports) for key in ("added", "updated", "removed"))
        return added, updated, removed

    def reaches(self, *totals: int) -> bool:
        return wait_for(lambda: self.totals() == totals or self.process.poll() is not None) and self.totals() == totals

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=60) == 130
        err = self.err.read_text()
        assert "Traceback" not in err
        return err


@pytest.fixture
def watch(tmp_path: Path, crumb_env: dict[str, str], home: Path) -> Iterator[Callable[..., Watcher]]:
    pytest.importorskip("watchfiles")
    started: list[Watcher] = []

    def start(*paths: Path) -> Watcher:
        env = {**crumb_env, "CRUMB_HOME": str(home)}
        started.append(Watcher(list(paths), "notes", env, tmp_path / f"watch{len(started)}"))
        return started[-1]

    yield start
    for watcher in started:
        if watcher.process.poll() is None:
            watcher.process.kill()
            watcher.process.wait()


def test_watching_a_folder(tree: Path, watch: Callable[..., Watcher], crumb_: Run, home: Path) -> None:
    watcher = watch(tree)
    assert watcher.reaches(6, 0, 0), watcher.err.read_text()
    assert wait_for(lambda: "Ctrl-C ends it" in watcher.err.read_text())

    (tree / "notes.txt").write_text("Rye bread needs a sourdough starter.\n")
    assert watcher.reaches(6, 1, 0)
    # an editor saves into a file beside it, and puts that in its place: one change, not a file gone and one come
    beside = tree / "notes.txt.tmp"
    beside.write_text("Wheat bread needs yeast.\n")
    beside.replace(tree / "notes.txt")
    assert watcher.reaches(6, 2, 0)
    # meanwhile anybody may search: the watcher has the collection open only while it writes
    found = answer(crumb_("search", "--in", "notes", "--json", "yeast", "--mode", "bm25"))
    assert [Path(hit["path"]).name for hit in found["hits"]] == ["notes.txt"]

    (tree / "docs" / "kitchen.html").unlink()
    assert watcher.reaches(6, 2, 1)
    (tree / "birds.docx").rename(tree / "docs" / "owls.docx")
    assert watcher.reaches(7, 2, 2)
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "new.md").write_text("# Harbour\n\nShips unload containers.\n")
    assert watcher.reaches(8, 2, 2)
    # what git ignores, what is hidden and what is only touched is no occasion
    before = len(watcher.reports())
    (tree / "more.log").write_text("no")
    (tree / ".hidden").write_text("no")
    (tree / "deep" / "last.md").write_text("Lighthouse.\n")
    assert watcher.reaches(9, 2, 2)
    assert len(watcher.reports()) == before + 1
    (tree / ".gitignore").write_text("*.log\n*.md\n")
    assert watcher.reaches(9, 2, 5)
    assert watcher.stop().splitlines()[-1] == "crumb: interrupted"
    with Collection(home / "collections" / "notes", create=False) as collection:
        assert names(collection, tree) == {"notes.txt", "src/geometry.py", "tides.pdf", "docs/owls.docx"}


def test_watching_a_file_and_waiting_for_another_process(tree: Path, watch: Callable[..., Watcher], home: Path) -> None:
    watcher = watch(tree / "notes.txt")
    assert watcher.reaches(1, 0, 0), watcher.err.read_text()
    with Collection(home / "collections" / "notes", create=False):
        beside = tree / "draft"
        beside.write_text("Wheat bread needs yeast.\n")
        beside.replace(tree / "notes.txt")
        time.sleep(3)
        assert watcher.totals() == (1, 0, 0)
    assert watcher.reaches(1, 1, 0)
    (tree / "notes.txt").unlink()
    assert watcher.reaches(1, 1, 1)
    (tree / "notes.txt").write_text("Back again.\n")
    assert watcher.reaches(2, 1, 1)
    watcher.stop()
