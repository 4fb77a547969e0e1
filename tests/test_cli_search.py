"""`crumb search` as a person runs it: the real command and model over small trees, with a cache of the test's own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crumb
from crumb.search.cache import Cache
from crumb.search.files import search_files
from crumb.text.chunk import chunk

Run = Callable[..., subprocess.CompletedProcess[str]]

FILES = {
    "docs/security.md": """
# Operations

## Rotating API keys

Every access token is replaced once a quarter. Create the new one first, deploy it, and revoke the old one last.

## Backups

The database is dumped every night and the dump is copied to another building.
""",
    "docs/kitchen.html": """<html><head><title>Kitchen</title><script>var words = "access token";</script></head>
<body><h1>Bread</h1>
<p>Knead the dough for ten minutes and let it rest
overnight in the fridge.</p>
<h1>Coffee</h1><p>Grind the beans just before brewing.</p></body></html>
""",
    "src/geometry.py": '''
import math


def circle_area(radius):
    """The surface that a disc covers."""
    return math.pi * radius**2


class Parser:
    """Reads numbers from comma separated text."""

    def parse(self, line):
        return [float(word) for word in line.split(",")]
''',
    "notes.txt": """
The cat sleeps on the warm windowsill all afternoon.

Trains to the coast leave at ten past every hour.
""",
    "ignored.log": "access token rotation: how do I rotate keys?",
    ".gitignore": "*.log\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def search(run_crumb: Run, crumb_home: Path, tmp_path: Path) -> Run:
    """`crumb search` with a cache of the test's own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to((crumb_home / "models").resolve())

    def run(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_crumb("search", *args, env={"CRUMB_HOME": str(home)}, **options)

    return run


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("query", "path", "line", "heading"),
    [
        ("how do I change my access credentials?", "docs/security.md", 6, "Operations > Rotating API keys"),
        ("copy of the data in case of fire", "docs/security.md", 10, "Operations > Backups"),
        ("how long does the dough rest?", "docs/kitchen.html", 3, "Kitchen > Bread"),
        ("making espresso", "docs/kitchen.html", 5, "Kitchen > Coffee"),
        ("surface of a round shape", "src/geometry.py", 6, ""),
        ("when does the next train go?", "notes.txt", 4, ""),
    ],
)
def test_the_right_passage_comes_first(tree: Path, search: Run, query: str, path: str, line: int, heading: str) -> None:
    hit = answer(search("--json", "--chunk-tokens", "40", query, cwd=tree))["hits"][0]
    assert (hit["path"], hit["heading"]) == (path, heading)
    assert hit["start_line"] <= line <= hit["end_line"]
    # the lines are those of the file
    lines = (tree / path).read_text().split("\n")[hit["start_line"] - 1 : hit["end_line"]]
    assert path.endswith(".html") or "\n".join(lines) == hit["text"]


def test_scores_are_cosines_in_order(tree: Path, search: Run, default: crumb.Model) -> None:
    hits = answer(search("--json", "--top-k", "50", "baking bread", str(tree)))["hits"]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    question = default.encode("baking bread")
    for hit in hits:
        parts = [part for part in hit["heading"].split(" > ") if part and part not in hit["text"]]
        text = "\n".join([" > ".join(parts), hit["text"]]) if parts else hit["text"]
        assert hit["score"] == pytest.approx(float(default.encode(text) @ question), abs=1e-5)
    assert not any("ignored.log" in hit["path"] for hit in hits)


def test_only_what_changed_is_embedded_again(tree: Path, search: Run) -> None:
    first = answer(search("--json", "bread", str(tree)))
    total = first["report"]["passages"]
    assert (first["report"]["embedded"], first["report"]["cached"]) == (total, 0)
    assert first["report"]["files"] == 4
    assert first["report"]["skipped"] == {"hidden": 1, "ignored by git": 1}

    again = answer(search("--json", "bread", str(tree)))
    assert again["hits"] == first["hits"]
    assert (again["report"]["embedded"], again["report"]["cached"]) == (0, total)

    (tree / "notes.txt").write_text("Rye bread needs a sourdough starter.\n")
    os.utime(tree / "docs" / "security.md")  # touched, not changed
    third = answer(search("--json", "sourdough", str(tree)))
    assert (third["report"]["embedded"], third["report"]["cached"]) == (1, total - 1)
    assert third["hits"][0]["text"] == "Rye bread needs a sourdough starter."
    # another cut makes other passages; no cache makes them all
    assert answer(search("--json", "--chunk-tokens", "20", "bread", str(tree)))["report"]["embedded"] > 0
    assert answer(search("--json", "--no-cache", "bread", str(tree)))["report"]["cached"] == 0


def test_for_people(tree: Path, search: Run) -> None:
    (tree / "long.txt").write_text("\n".join(f"a line about pirates {i}" for i in range(12)) + "\nx\x1b[31m\n")
    done = search("--top-k", "2", "pirates", "long.txt", "docs", cwd=tree)
    assert done.returncode == 0
    lines = done.stdout.split("\n")
    assert lines[0].startswith("1. 0.")
    assert lines[0].endswith("  long.txt:1-13")
    assert lines[1:9] == [f"    a line about pirates {i}" for i in range(8)]
    assert lines[9:11] == ["    … 5 more lines", ""]
    assert "  docs/" in lines[11]
    assert "\x1b" not in done.stdout
    (summary,) = done.stderr.splitlines()
    assert summary.startswith("crumb: 3 files; ")
    assert " embedded, 0 from cache); " in summary


def terminal(command: list[str], env: dict[str, str]) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            written += piece
        assert process.wait(timeout=120) == 0
    os.close(ours)
    return written.decode()


def test_colours_only_at_a_terminal_that_wants_them(tree: Path, crumb_env: dict[str, str]) -> None:
    (tree / "escape.txt").write_text("pirates \x1b]0;title\x07")
    command = [sys.executable, "-m", "crumb.cli", "search", "--no-cache", "pirates", str(tree / "escape.txt")]
    env = {**crumb_env, "TERM": "xterm"}
    env.pop("NO_COLOR", None)
    coloured = terminal(command, env)
    assert "\x1b[1m" in coloured
    assert "\x1b]" not in coloured  # what the file would have told the terminal
    assert "\x1b" not in terminal(command, {**env, "NO_COLOR": "1"})


def test_nothing_to_search(tmp_path: Path, search: Run) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.bin").write_bytes(b"\0\1")
    (tmp_path / "empty" / "b.txt").write_text("\n \n")
    (tmp_path / "empty" / ".c").write_text("text")
    for options in ([], ["--json"]):
        done = search(*options, "anything", str(tmp_path / "empty"))
        assert (done.returncode, done.stdout) == (1, "")
        assert "nothing to search" in done.stderr
        assert "1 file without any text" in done.stderr
        assert "1 hidden, 1 not text" in done.stderr


def test_wrong_use_and_wrong_paths(tree: Path, search: Run) -> None:
    done = search("anything", str(tree / "nowhere"))
    assert done.returncode == 1
    assert done.stderr == f"crumb search: {tree / 'nowhere'} does not exist; name files and folders to search\n"
    done = search(" ", str(tree))
    assert done.returncode == 1
    assert "the question is empty" in done.stderr
    for option, word in (("--top-k", "0"), ("--max-file-size", "much"), ("--chunk-tokens", "-1")):
        assert search(option, word, "anything", str(tree)).returncode == 2
    done = search("--chunk-tokens", "255", "anything", str(tree))
    assert done.returncode == 1
    assert "at most 254" in done.stderr
    done = search("--chunk-tokens", "3", "anything", str(tree))
    assert done.returncode == 1
    assert "at least 8 tokens, got 3" in done.stderr


def test_options_about_files(tree: Path, search: Run) -> None:
    def paths(*args: str) -> set[str]:
        hits = answer(search("--json", "--top-k", "50", *args, "rotate keys", cwd=tree))["hits"]
        return {hit["path"] for hit in hits}

    every = {"docs/security.md", "docs/kitchen.html", "src/geometry.py", "notes.txt"}
    assert paths() == every
    assert paths("--no-ignore") == {*every, "ignored.log"}
    assert paths("--glob", "*.md", "--glob", "*.txt") == {"docs/security.md", "notes.txt"}
    assert paths("--max-file-size", "0.2kB") == {"notes.txt"}


def test_a_question_longer_than_the_context_is_said(tree: Path, search: Run) -> None:
    done = search("--json", "key " * 300, str(tree))
    assert answer(done)["report"]["query_tokens_cut"] == 300 - 254
    assert "the question was longer than the context and lost 46 tokens" in done.stderr


def test_a_longer_context(tree: Path, search: Run) -> None:
    (tree / "long.txt").write_text("word " * 400)
    done = search("--json", "--context", "512", "--chunk-tokens", "400", "words", str(tree / "long.txt"))
    assert answer(done)["report"]["passages"] == 1


def test_a_name_that_is_not_utf8(tree: Path, search: Run) -> None:
    (tree / os.fsdecode(b"\xff.txt")).write_text("pirates")
    assert answer(search("--json", "pirates", str(tree)))["hits"][0]["path"] == f"{tree}/\ufffd.txt"


def test_a_damaged_cache_is_set_aside(tree: Path, search: Run, tmp_path: Path) -> None:
    cache = tmp_path / "home" / "cache" / "search.sqlite3"
    cache.parent.mkdir()
    cache.write_bytes(b"no database" * 1000)
    done = search("--json", "bread", str(tree))
    assert answer(done)["report"]["cached"] == 0
    assert f"{cache} was damaged" in done.stderr
    assert answer(search("--json", "bread", str(tree)))["report"]["embedded"] == 0


def test_two_at_once_answer_alike(tree: Path, crumb_env: dict[str, str], tmp_path: Path, crumb_home: Path) -> None:
    for i in range(40):
        (tree / f"more{i}.txt").write_text(f"Paragraph about the number {i}.\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to((crumb_home / "models").resolve())
    command = [sys.executable, "-m", "crumb.cli", "search", "--json", "--top-k", "20", "number seven", str(tree)]
    env = {**crumb_env, "CRUMB_HOME": str(home)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    first, second = (json.loads(out)["hits"] for out, _ in outputs)
    assert len(first) == 20
    assert first == second


# --- the library's own entrance


def test_windows_do_not_change_the_answer(tmp_path: Path, default: crumb.Model) -> None:
    # more files than a window holds, and several with the same text: ties stay in order of the files
    for i in range(300):
        (tmp_path / f"{i:03}.txt").write_text(f"note number {i % 7}")
    result = search_files(default, "number 3", [tmp_path], top_k=60)
    question = default.encode("number 3")
    scores = default.encode([f"note number {i % 7}" for i in range(300)]) @ question
    expected = sorted(range(300), key=lambda i: (-scores[i], i))[:60]
    assert [hit.path.name for hit in result.hits] == [f"{i:03}.txt" for i in expected]
    assert (result.report.passages, result.report.embedded) == (300, 35)  # seven texts in each of five windows


def test_prompts_of_the_contract_are_used(tmp_path: Path, model_folder: Path, default: crumb.Model) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in model_folder.iterdir():
        (folder / path.name).symlink_to(path)
    settings = folder / "config_sentence_transformers.json"
    settings.unlink(missing_ok=True)
    settings.write_text(json.dumps({"prompts": {"query": "question: ", "passage": "text: "}}))
    with_prompts = crumb.load(folder)
    (tmp_path / "a.txt").write_text("Knead the dough.")
    with Cache(tmp_path / "cache") as cache:
        (hit,) = search_files(with_prompts, "bread", [tmp_path / "a.txt"], cache=cache).hits
        # another prompt, another vector: the same cache does not mix them up
        (plain,) = search_files(default, "bread", [tmp_path / "a.txt"], cache=cache).hits
    with_text, without = default.encode(["text: Knead the dough.", "Knead the dough."])
    assert hit.score == pytest.approx(float(default.encode("question: bread") @ with_text), abs=1e-5)
    assert plain.score == pytest.approx(float(default.encode("bread") @ without), abs=1e-5)
    assert hit.score != plain.score


def test_passages_of_real_texts_fit_the_context(default: crumb.Model, texts: list[str]) -> None:
    for text in texts[::5]:
        passages = chunk(text, "text", budget=254, count=default.tokenizer.count, offsets=default.tokenizer.offsets)
        assert "".join("".join(p.text.split()) for p in passages) == "".join(text.split())
        if passages:
            _, report = default.encode([p.embedding_text for p in passages[:1]], truncation="error", return_report=True)
            assert report.tokens <= 256
        counts = default.tokenizer.count([p.embedding_text for p in passages])
        assert np.max(counts, initial=0) <= 254
