"""What the parsers of documents have in common: blocks of lines, the headings above them, paragraphs, sections.

Enters: lines. Leaves: blocks that belong together. Knows nothing of tokens, or of how any kind of document is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal, NamedTuple

Kind = Literal["markdown", "html", "python", "code", "text", "pdf", "docx"]

# Kinds whose files hold no text as such; it is taken out of them first, and then looks as `crumb.text.pdf` and
# `crumb.text.docx` say.
DOCUMENTS: frozenset[Kind] = frozenset(("pdf", "docx"))

Unit = Literal["line", "page", "paragraph"]

TITLE_CHARACTERS = 80  # a longer title is shortened where it stands above other text; the line itself stays whole

_CODE = """
bash c c++ cc clj cljs cmake cpp cs css cu cuh cxx d dart el erl ex exs f90 fs go gradle groovy h h++ hh hpp hs hxx java
jl js jsx kt kts less lisp lua m mjs ml mli mm nim php pl pm proto ps1 r rb rs s scala scm scss sh sol sql swift tcl tf
ts tsx v vb vhd vue zig zsh
"""
_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys(("md", "markdown", "mdx", "qmd", "rmd"), "markdown"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    **dict.fromkeys(("py", "pyi", "pyw"), "python"),
    **dict.fromkeys(_CODE.split(), "code"),
    "pdf": "pdf",
    "docx": "docx",
}


def kind_of(path: PurePath) -> Kind:
    """The kind that a file's suffix tells; "text" for what is not known."""
    return _SUFFIXES.get(path.suffix[1:].lower(), "text")


def unit_of(kind: str) -> Unit:
    """What the numbers of a passage's lines count in a text of this kind."""
    return "page" if kind == "pdf" else "paragraph" if kind == "docx" else "line"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines `start` to `end` (indices, `end` not included) that are kept together if they fit.

    `trail` holds the titles above it, outermost first; `title` is its own name (a function's, say), which its pieces
    carry if it has to be split. `parts`, if there are any, hold all of its non-blank lines in order.
    """

    start: int
    end: int
    trail: tuple[str, ...] = ()
    title: str = ""
    parts: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """Lines as they are read, the number (from 1) of the source line each one comes from, and all blocks in order.

    Where a source has no lines, the number is that of the page (PDF) or the paragraph (DOCX).
    """

    lines: list[str]
    numbers: list[int]
    blocks: list[Block]


class Item(NamedTuple):
    """A run of lines of a document with headings: a heading where `level` is not None, else what stands below one."""

    start: int
    end: int
    level: int | None = None
    title: str = ""


def split_lines(text: str) -> list[str]:
    """Lines without their ends, which are \\n, \\r\\n and \\r: what editors and Python's parser number as lines."""
    return re.split(r"\r\n|\r|\n", text)


def is_blank(line: str) -> bool:
    """Whether nothing but white space is in it."""
    return not line or line.isspace()


def paragraphs(lines: Sequence[str], start: int, end: int) -> list[tuple[int, int]]:
    """The runs of non-blank lines from `start` to `end`."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for i in range(start, end):
        if is_blank(lines[i]):
            if begin is not None:
                found.append((begin, i))
            begin = None
        elif begin is None:
            begin = i
    if begin is not None:
        found.append((begin, end))
    return found


def leaves(lines: Sequence[str], start: int, end: int, trail: tuple[str, ...] = ()) -> list[Block]:
    """One block for each paragraph."""
    return [Block(first, last, trail) for first, last in paragraphs(lines, start, end)]


def sections(items: Iterable[Item]) -> list[Block]:
    """Blocks whose trail is the headings above them, by level.

    A heading belongs to the section it opens; if that holds nothing but deeper headings, to the first of those.
    """
    above: list[tuple[int, str]] = []
    found: list[tuple[Block, bool]] = []
    for item in items:
        if item.level is not None:
            while above and above[-1][0] >= item.level:
                above.pop()
            if item.title:
                above.append((item.level, shorten(item.title)))
        found.append((Block(item.start, item.end, tuple(title for _, title in above)), item.level is not None))
    for i in reversed(range(len(found) - 1)):
        (block, is_heading), (below, below_is_heading) = found[i], found[i + 1]
        if is_heading and below_is_heading and below.trail[: len(block.trail)] == block.trail:
            found[i] = (replace(block, trail=below.trail), True)
    return [block for block, _ in found]


def shorten(title: str) -> str:
    """The title on one line, of at most TITLE_CHARACTERS characters."""
    title = " ".join(title.split())
    return title if len(title) <= TITLE_CHARACTERS else title[: TITLE_CHARACTERS - 1].rstrip() + "…"
