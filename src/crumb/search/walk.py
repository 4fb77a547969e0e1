"""Paths to the files at and below them, and an account of what was passed over.

Enters: paths as a person names them. Leaves: files in an order that does not depend on the disk. Knows nothing of what
is in them. What is passed over:

- names that start with a dot, links, what git ignores, and folders made by tools: `__pycache__`, `node_modules`,
  virtual environments, caches that carry a CACHEDIR.TAG. A path that is named is taken all the same;
- what is too large. PDF and DOCX, most of which is pictures and fonts, may be ten times as large as other files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crumb.errors import CrumbError
from crumb.search.gitignore import Scope, parse, verdict
from crumb.text.structure import DOCUMENTS, kind_of

MAX_FILE_SIZE = 5_000_000  # bytes
MAX_DOCUMENT_SIZE = 50_000_000

GENERATED = {"__pycache__", "node_modules"}
_CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"


class PathError(CrumbError, FileNotFoundError):
    """A path that was named, and that is no file or folder."""


@dataclass
class WalkReport:
    """What a walk met. `files` were read, by `encodings` ("pdf" and "docx" among them); `skipped` counts the others by
    reason (a folder that is not entered counts once); `unreadable` says which could not be read (files, folders, pages
    of a PDF), and why; `closed` are the folders among them.
    """

    files: int = 0
    encodings: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)

    def add(self, other: WalkReport) -> None:
        """Counts what another report has."""
        self.files += other.files
        self.encodings += other.encodings
        self.skipped += other.skipped
        self.unreadable += other.unreadable
        self.closed += other.closed

    def fail(self, path: Path, error: OSError | str) -> None:
        """Counts a path that could not be read."""
        self.skipped["unreadable"] += 1
        self.unreadable.append(f"{path}: {error if isinstance(error, str) else error.strerror or error}")

    def reasons(self) -> str:
        """`2 hidden, 1 not text`; "" where nothing was passed over."""
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.skipped.items()))

    def take(self, encoding: str) -> None:
        """Counts a file that was read."""
        self.files += 1
        self.encodings[encoding] += 1


def walk(
    paths: Sequence[Path],
    report: WalkReport,
    *,
    ignore: bool = True,
    globs: Sequence[str] = (),
    max_file_size: int | None = None,
) -> list[Path]:
    """The files at and below `paths`: in the order of `paths`, below a folder by name, each file once.

    Args:
        report: takes the account of what is passed over.
        ignore: leave out what git ignores and folders made by tools.
        globs: patterns as in a .gitignore, here for what to keep: a file below a folder has to match one, the last that
            matches decides, and "!pattern" leaves out.
        max_file_size: bytes of the largest file to take; None for MAX_FILE_SIZE, of PDF and DOCX MAX_DOCUMENT_SIZE.

    Raises:
        PathError: one of `paths` is no file or folder.
    """
    walker = _Walker(report, Globs(globs), ignore, max_file_size)
    return [path for named in paths for path in walker.named(named)]


class Globs:
    """Patterns as in a .gitignore, here for what to keep: the last that matches decides, "!pattern" leaves out."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = parse("\n".join(patterns).encode())
        self._by_default = all(rule.negated for rule in self._rules)

    def match(self, path: Path, top: Path) -> bool:
        """Whether a file below the folder `top` is to be kept."""
        says = verdict(self._rules, os.fsencode(path.relative_to(top)), os.fsencode(path.name), is_folder=False)
        return self._by_default if says is None else says


class _Walker:
    def __init__(self, report: WalkReport, globs: Globs, ignore: bool, max_file_size: int | None) -> None:
        self._report = report
        self._globs = globs
        self._ignore = ignore
        self._max_file_size = max_file_size
        self._seen: set[tuple[int, int]] = set()

    def named(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            yield from self._folder(path, path, Scope.of(path) if self._ignore else None)
        elif path.is_file():
            yield from self._file(path, path.stat())
        else:
            wrong = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise PathError(f"{path} {wrong}; name files and folders to search")

    def _folder(self, top: Path, folder: Path, scope: Scope | None) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self._report.fail(folder, error)
            self._report.closed.append(folder)
            return
        for entry in entries:
            path = folder / entry.name
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
                reason = self._reason(entry, is_folder, scope) or (None if is_folder else self._unwanted(path, top))
                if reason:
                    self._report.skipped[reason] += 1
                elif is_folder:
                    yield from self._folder(top, path, scope.inside(entry.name) if scope else None)
                else:
                    yield from self._file(path, entry.stat(follow_symlinks=False))
            except OSError as error:
                self._report.fail(path, error)

    def _reason(self, entry: os.DirEntry[str], is_folder: bool, scope: Scope | None) -> str | None:
        """Why the entry is passed over; None if it is not."""
        if entry.name.startswith("."):
            return "hidden"
        if entry.is_symlink():
            return "links"
        if scope is not None and scope.ignores(entry.name, is_folder=is_folder):
            return "ignored by git"
        if is_folder:
            return "generated folders" if self._ignore and _is_generated(entry) else None
        return None if entry.is_file(follow_symlinks=False) else "special files"

    def _unwanted(self, path: Path, top: Path) -> str | None:
        return None if self._globs.match(path, top) else "not matched by --glob"

    def _file(self, path: Path, stat: os.stat_result) -> Iterator[Path]:
        identity = (stat.st_dev, stat.st_ino)
        if identity in self._seen:
            return
        self._seen.add(identity)
        limit = self._max_file_size
        if limit is None:
            limit = MAX_DOCUMENT_SIZE if kind_of(path) in DOCUMENTS else MAX_FILE_SIZE
        if stat.st_size > limit:
            self._report.skipped[f"larger than {limit / 1e6:g} MB"] += 1
        else:
            yield path


def _is_generated(folder: os.DirEntry[str]) -> bool:
    if folder.name in GENERATED or Path(folder, "pyvenv.cfg").is_file():
        return True
    tag = Path(folder, "CACHEDIR.TAG")
    return tag.is_file() and tag.read_bytes().startswith(_CACHE_TAG)
