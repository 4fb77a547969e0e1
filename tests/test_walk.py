"""What is searched: .gitignore against the real git, the rest of the walk and the encodings by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crumb.search.contents import decode, read
from crumb.search.gitignore import Scope, parse
from crumb.search.walk import PathError, WalkReport, walk

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git, the reference, is not installed")


def git(*args: str, cwd: Path, input: bytes = b"", ok: tuple[int, ...] = (0,)) -> bytes:
    # No configuration of this machine's user, whose global excludes are not our subject
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(cwd)}
    env = {key: value for key, value in env.items() if key not in ("XDG_CONFIG_HOME", "GIT_DIR", "GIT_WORK_TREE")}
    done = subprocess.run([str(GIT), *args], cwd=cwd, input=input, capture_output=True, env=env, check=False)
    assert done.returncode in ok, done.stderr.decode()
    return done.stdout


def make(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def found(root: Path, *names: str, **options: Any) -> tuple[list[str], Counter[str]]:
    report = WalkReport()
    paths = walk([root / name for name in names] or [root], report, **options)
    return [path.relative_to(root).as_posix() for path in paths], report.skipped


# --- .gitignore, against git itself

# Patterns made of what matters to the matcher, asked about every path of a dense set. There are many folders, each with
# patterns of its own, so that one call of git answers for many.
GLOBS = "* ** *** ? ?? a* *b a** **b a**b [ab] [!a] [^b] a[bc] *[a-b]* \\a [[:alpha:]] [/] [a/]b a[!c]b a b ab"
ODD_BRACKETS = "[[:punct:]-a] [[:digit:][:space:]] [[:nope:]] [[:alpha] [[:alpha [--!-b] [a a\\ [é] [!/]"
BRACKETS = st.one_of(
    st.text(st.sampled_from("ab-!^[]\\"), min_size=1, max_size=4).map("[{}]".format),
    st.sampled_from(ODD_BRACKETS.split(" ")),
)
SEGMENTS = st.one_of(st.sampled_from(GLOBS.split()), st.sampled_from(["**", "*", "a", "b"]))
PLAIN = st.sampled_from(["a", "b", "ab", "a*", "\\a", ""])
ENDS = st.sampled_from(["/", "//", " ", "\\ ", "\\\\ ", "\\ \\ ", "\\  ", "  ", "\t", "\r"])
SEVERAL = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
DENSE_LINES = st.one_of(
    SEVERAL,
    st.builds("{}{}".format, st.sampled_from(["/", "!", "!/"]), SEVERAL),
    st.builds("{}{}{}".format, PLAIN, st.sampled_from(["", "", "/", "/*/"]), BRACKETS),
    st.builds("{}{}".format, PLAIN, ENDS),
    st.builds("{}{}".format, st.sampled_from(["#", "\\#", "\\!", "!", "!!", "/", "//"]), PLAIN),
)
FOLDERS = 12
SINGLE = [*"ab-]![^\\# ", *("a\\", "\\ ", "b\\ ", "a\\ ", "a ", "a  ", "a\t")]
SINGLE += ["ab", "ba", "abc", "#a", "!a", "é", "a/]", "a/-", "a/["]
DENSE_PATHS = [
    *SINGLE,
    *("/".join(path) for path in product(["a", "b", "ab", "-"], repeat=2)),
    *("/".join(path) for path in product(["a", "b", "ab"], repeat=3)),
    *("a/b/a/b", "b/ab/a/a", "ab/a/b/ab", "a/a/a/a", "b/b/b/a"),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository").resolve()
    git("init", "-q", cwd=root)
    for i in range(FOLDERS):
        (root / str(i)).mkdir()
    return root


@needs_git
@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(DENSE_LINES, min_size=1, max_size=2), min_size=FOLDERS, max_size=FOLDERS))
def test_patterns_match_what_they_match_in_git(repository: Path, patterns: list[list[str]]) -> None:
    for i, lines in enumerate(patterns):
        (repository / str(i) / ".gitignore").write_bytes("\n".join(lines).encode())
    # The paths need not exist: what has something below it is a folder, to git and here.
    paths = [f"{i}/{path}" for i in range(FOLDERS) for path in DENSE_PATHS]
    asked = b"\0".join(os.fsencode(path) for path in paths)
    answer = git("check-ignore", "-z", "--stdin", cwd=repository, input=asked, ok=(0, 1))
    ignored = {os.fsdecode(path) for path in answer.split(b"\0") if path}
    for i, lines in enumerate(patterns):
        below = Scope.of(repository / str(i))
        ours = {path for path in DENSE_PATHS if is_ignored(repository / str(i), Path(path), below)}
        assert ours == {path for path in DENSE_PATHS if f"{i}/{path}" in ignored}, lines


NAMES = st.sampled_from(["a", "b", "ab", "a.c", "foo", "bar", "foo.log", "Ä", "[x]", "a b", "-", "x!", "*", "\\", "b "])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PIECES = st.one_of(NAMES, SEGMENTS, BRACKETS, st.sampled_from(["/", "//", "**/", "/**", "*.c", "foo*", "[é]"]))
PATTERNS = st.lists(PIECES, min_size=1, max_size=4).map("".join)
LINES = st.tuples(
    st.sampled_from(["", "", "", "!", "/", "!/"]), PATTERNS, st.sampled_from(["", "", "", "/", " ", "\\ ", "\r"])
)
IGNORES = st.lists(LINES.map("".join), max_size=5).map("\n".join)


@needs_git
@settings(max_examples=120, deadline=None)
@given(
    files=st.lists(PATHS, min_size=1, max_size=8),
    folders=st.lists(PATHS, max_size=3),
    ignores=st.dictionaries(st.one_of(st.just(""), PATHS), IGNORES, min_size=1, max_size=3),
    exclude=IGNORES,
)
def test_ignored_is_what_git_ignores(
    files: list[str], folders: list[str], ignores: dict[str, str], exclude: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        git("init", "-q", cwd=root)
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            path = root / file
            if not path.exists() and not any(above.is_file() for above in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        for folder, text in ignores.items():
            if (root / folder).is_dir():
                (root / folder / ".gitignore").write_bytes(text.encode())
        (root / ".git" / "info").mkdir(exist_ok=True)
        (root / ".git" / "info" / "exclude").write_bytes(exclude.encode())

        every = [
            path.relative_to(root) for path in sorted(root.rglob("*")) if path.relative_to(root).parts[0] != ".git"
        ]
        asked = b"\0".join(os.fsencode(path) for path in every)
        # 1 says that nothing is ignored
        answer = git("check-ignore", "-z", "--stdin", cwd=root, input=asked, ok=(0, 1))
        assert {os.fsdecode(path) for path in answer.split(b"\0") if path} == {
            str(path) for path in every if is_ignored(root, path, Scope.of(root))
        }


def is_ignored(root: Path, path: Path, scope: Scope) -> bool:
    for i, part in enumerate(path.parts):
        if scope.ignores(part, is_folder=i + 1 < len(path.parts) or (root / path).is_dir()):
            return True
        scope = scope.inside(part)
    return False


TREE: dict[str, str | bytes] = {
    ".gitignore": "\ufeff*.log\n!keep.log\n/build\nsecret/\n# comment\n\\#file\ntrailing \nnode*/**/x\n",
    "a.log": "x",
    "keep.log": "x",
    "build/out": "x",
    "src/build/out": "x",
    "src/secret/file": "x",
    "src/.gitignore": "*\n!*/\n!*.py\n",
    "src/a.py": "x",
    "src/a.txt": "x",
    "src/deep/er/b.py": "x",
    "secret/.gitignore": "!file\n",
    "secret/file": "x",
    "#file": "x",
    "trailing": "x",
    "nodes/x": "x",
    "nodes/y/z/x": "x",
    "excluded.txt": "x",
    "ü/ä.log": "x",
    "plain.txt": "x",
}


@needs_git
def test_the_walk_finds_what_git_would_add(tmp_path: Path) -> None:
    make(tmp_path, TREE)
    git("init", "-q", cwd=tmp_path)
    (tmp_path / ".git" / "info" / "exclude").write_text("excluded.txt\n")
    listed = git("ls-files", "-z", "--others", "--exclude-standard", cwd=tmp_path).decode().split("\0")
    visible = {name for name in listed if name and not any(part.startswith(".") for part in name.split("/"))}
    assert set(found(tmp_path)[0]) == visible
    assert {"keep.log", "src/a.py", "src/deep/er/b.py", "plain.txt"} <= visible
    # asked about a folder below, the rules above it hold as well
    assert set(found(tmp_path, "src")[0]) == {name for name in visible if name.startswith("src/")}


def test_without_git_a_gitignore_holds_too(tmp_path: Path) -> None:
    make(tmp_path, TREE)
    assert "excluded.txt" in found(tmp_path)[0]
    assert "a.log" not in found(tmp_path)[0]


def test_a_repository_inside_starts_anew(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "*.log\n", "sub/.git/HEAD": "", "sub/a.log": "x", "b.log": "x"})
    assert found(tmp_path)[0] == ["sub/a.log"]


def test_a_linked_gitignore_is_not_read(tmp_path: Path) -> None:
    # as in git since 2.32
    make(tmp_path, {"rules": "*.log\n", "a.log": "x"})
    (tmp_path / ".gitignore").symlink_to("rules")
    assert found(tmp_path)[0] == ["a.log", "rules"]


def test_rules_of_nothing() -> None:
    assert parse(b"\n   \n# comment\n\r\n") == []


# --- the walk


def test_order_does_not_depend_on_the_disk(tmp_path: Path) -> None:
    names = ["b", "a/z", "a/b/c", "a.txt", "Z", "ä", "a/b.txt"]
    make(tmp_path, dict.fromkeys(names, "x"))
    assert found(tmp_path)[0] == ["Z", "a/b/c", "a/b.txt", "a/z", "a.txt", "b", "ä"]
    assert found(tmp_path, "b", "a", "a/z")[0] == ["b", "a/b/c", "a/b.txt", "a/z"]  # a file counts once


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# see bford.info"
    make(
        tmp_path,
        {
            "a.txt": "x",
            ".env": "x",
            ".hidden/a": "x",
            ".git/config": "x",
            "node_modules/p/index.js": "x",
            "env/pyvenv.cfg": "x",
            "env/lib.py": "x",
            "cache/CACHEDIR.TAG": tag,
            "cache/a": "x",
            "big.txt": "x" * 101,
            "skip.log": "x",
            ".gitignore": "*.log",
        },
    )
    (tmp_path / "link").symlink_to("a.txt")
    (tmp_path / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")
    names, skipped = found(tmp_path, max_file_size=100)
    assert names == ["a.txt"]
    assert skipped == {
        "hidden": 4,
        "links": 2,
        "ignored by git": 1,
        "generated folders": 3,
        "larger than 0.0001 MB": 1,
        "special files": 1,
    }
    assert set(found(tmp_path, ignore=False)[0]) - {"a.txt", "big.txt"} == {
        *("cache/CACHEDIR.TAG", "cache/a", "env/lib.py", "env/pyvenv.cfg", "node_modules/p/index.js", "skip.log")
    }


def test_what_is_named_is_searched(tmp_path: Path) -> None:
    make(tmp_path, {".git/HEAD": "", ".gitignore": "*.log\nbuild/\n"})
    make(tmp_path, {"a.log": "x", "build/b": "x", "build/c.log": "x", ".hidden/d": "x"})
    (tmp_path / "link").symlink_to("build")
    assert found(tmp_path, "a.log", "build", ".hidden")[0] == ["a.log", "build/b", ".hidden/d"]
    assert found(tmp_path, "link")[0] == ["link/b"]
    assert found(tmp_path, "a.log", globs=["*.md"])[0] == ["a.log"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["*.md"], ["a.md", "d/b.md", "d/e/c.md"]),
        (["/*.md"], ["a.md"]),
        (["d/**"], ["d/b.md", "d/e/c.md", "d/e/c.py"]),
        (["!*.md"], ["d/e/c.py"]),
        (["*.md", "!d/e/"], ["a.md", "d/b.md", "d/e/c.md"]),  # patterns are asked about files alone
        (["*.md", "!b*"], ["a.md", "d/e/c.md"]),
        (["*.py", "*.md"], ["a.md", "d/b.md", "d/e/c.md", "d/e/c.py"]),
        (["*.txt"], []),
    ],
)
def test_globs(tmp_path: Path, globs: list[str], expected: list[str]) -> None:
    make(tmp_path, dict.fromkeys(["a.md", "d/b.md", "d/e/c.md", "d/e/c.py"], "x"))
    names, skipped = found(tmp_path, globs=globs)
    assert names == expected
    assert skipped["not matched by --glob"] == 4 - len(expected)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"nowhere does not exist"):
        walk([tmp_path, tmp_path / "nowhere"], WalkReport())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PathError, match=r"pipe is neither a file nor a folder"):
        walk([tmp_path / "pipe"], WalkReport())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_is_reported(tmp_path: Path) -> None:
    make(tmp_path, {"a": "x", "b": "x", "c/d": "x"})
    (tmp_path / "b").chmod(0)
    (tmp_path / "c").chmod(0)
    report = WalkReport()
    try:
        read_names = [path.name for path in walk([tmp_path], report) if read(path, report) is not None]
    finally:
        (tmp_path / "c").chmod(0o700)
    assert read_names == ["a"]
    assert report.skipped == {"unreadable": 2}
    assert len(report.unreadable) == 2


def test_a_file_that_goes_away_is_reported(tmp_path: Path) -> None:
    make(tmp_path, {"a": "x"})
    report = WalkReport()
    (path,) = walk([tmp_path], report)
    path.unlink()
    assert read(path, report) is None
    assert report.unreadable == [f"{path}: No such file or directory"]


# --- encodings


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("naïve 日本語".encode(), ("naïve 日本語", "utf-8")),
        ("naïve".encode("utf-8-sig"), ("naïve", "utf-8")),
        ("naïve 日本語".encode("utf-16"), ("naïve 日本語", "utf-16")),
        (b"\xfe\xff" + "naïve".encode("utf-16-be"), ("naïve", "utf-16")),
        ("naïve".encode("utf-32"), ("naïve", "utf-32")),
        ("naïve façade".encode("latin-1"), ("naïve façade", "windows-1252")),
        ("the “quoted” – text".encode("cp1252"), ("the “quoted” – text", "windows-1252")),
        (b"", ("", "utf-8")),
        (b"a\0b", None),
        ("naïve".encode("utf-16-le"), None),  # no mark to tell it by
        (b"\x89PNG\r\n\x1a\n\x00\x00", None),
        (b"\x1f\x8b\x08\xff\xfe", None),
        (bytes(range(128, 256)), None),
        ("только русский".encode("cp1251"), None),  # mostly beyond ASCII: no guess is better than a wrong one
        (b"\xff\xfea", None),
        (b"x" * 9000 + b"\0", ("x" * 9000 + "\0", "utf-8")),
    ],
)
def test_encodings(data: bytes, expected: tuple[str, str] | None) -> None:
    assert decode(data) == expected


@given(st.text(st.characters(codec="utf-8")))
def test_utf8_is_always_read(text: str) -> None:
    data = text.encode()
    if b"\0" not in data[:8192] and not data.startswith(b"\xef\xbb\xbf"):
        assert decode(data) == (text, "utf-8")


def test_files_are_counted_by_encoding(tmp_path: Path) -> None:
    make(tmp_path, {"a": "ä", "b": "ä".encode("utf-16"), "c": b"na\xefve text", "d": b"\0"})
    report = WalkReport()
    texts = [read(path, report) for path in walk([tmp_path], report)]
    assert [text is None for text in texts] == [False, False, False, True]
    assert (report.files, report.encodings) == (3, {"utf-8": 1, "utf-16": 1, "windows-1252": 1})
    assert report.skipped == {"not text": 1}
