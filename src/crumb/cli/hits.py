"""How passages that were found are shown, wherever they were found.

Enters: passages with their place. Leaves: text for a person, or plain JSON data. Knows nothing of searching.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crumb.text.structure import Unit

SHOWN_LINES = 8  # of a passage
SHOWN_CHARACTERS = 160  # of a line
_SIGNS = {"page": " p. ", "paragraph": " ¶ "}
# What a terminal would obey rather than show
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Found:
    """A passage: where it stands (`name` of a file or document, and from which line, page or paragraph to which), the
    headings above it, its text. `more` is what else JSON says of it.
    """

    score: float
    name: str
    unit: Unit
    start: int
    end: int
    heading: str
    text: str
    more: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; `unit` says what `start_line` and `end_line` count."""
        return {
            "score": self.score,
            "path": self.name,
            "start_line": self.start,
            "end_line": self.end,
            "unit": self.unit,
            "heading": self.heading,
            "text": self.text,
            **self.more,
        }

    @property
    def place(self) -> str:
        """`notes.md:3-9`, `paper.pdf p. 3-4`, `letter.docx ¶ 5`."""
        if self.unit == "line":
            return f"{self.name}:{self.start}-{self.end}"
        span = f"{self.start}" if self.start == self.end else f"{self.start}-{self.end}"
        return f"{self.name}{_SIGNS[self.unit]}{span}"


def show(found: Sequence[Found]) -> str:
    """All of it as a person reads it, in colour where stdout is a terminal that wants it."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return "\n\n".join(_shown(rank, hit, colour) for rank, hit in enumerate(found, 1))


def _shown(rank: int, hit: Found, colour: bool) -> str:
    """One line about it, and the first lines of the passage."""
    bold, dim, plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "")
    lines = hit.text.split("\n")
    head = f"{rank}. {hit.score:.3f}  {bold}{safe(hit.place)}{plain}"
    if hit.heading:
        head += f"  {dim}{safe(hit.heading)}{plain}"
    shown = [head, *(f"    {_clipped(safe(line))}".rstrip() for line in lines[:SHOWN_LINES])]
    more = len(lines) - SHOWN_LINES
    if more > 0:
        shown.append(f"    {dim}… {counted(more, 'more line')}{plain}")
    return "\n".join(shown)


def warn_unread(problems: Iterable[str]) -> None:
    """A line on stderr for each file that could not be read."""
    for problem in problems:
        print(f"crumb: warning: not read: {safe(problem)}", file=sys.stderr)


def counted(count: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def name_of(path: Path) -> str:
    """The path as text, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def safe(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROLS.sub("\ufffd", text)


def _clipped(line: str) -> str:
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
