"""What a report says, before it is HTML or Markdown.

Enters: nothing. Leaves: sections of paragraphs, tables, figures and commands, all plain text: whoever renders them
escapes. Knows nothing of measurements or of markup, so that both pages say the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "bad"]

# characters that turn the direction of what follows: a name that holds one could make a figure read backwards
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Cell:
    """`text` of a table's cell; `tone` colours what the text says already."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Attributes:
        caption: what it shows, in a sentence or less.
        columns: their titles.
        rows: as many cells each as there are columns.
        words: titles of the columns, besides the first, that hold words and not numbers.
        folded: whether it is shown only when asked for.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[str, ...] = ()
    folded: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.caption!r}: {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: of its file, without the ending, and in ids; letters, digits and hyphens.
        title: what it shows.
        description: what it says, for those who do not see it.
        svg: the drawing (crumb.evaluation.report.svg).
    """

    name: str
    title: str
    description: str
    svg: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Code:
    """A command or other text to be copied as it is."""

    text: str


Block = Paragraph | Code | Table | Figure


@dataclass(frozen=True)
class Section:
    """Blocks under a title; `name` is its place in links."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report: `lead` stands before the sections, `foot` behind them."""

    title: str
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]
    foot: str

    @property
    def figures(self) -> list[Figure]:
        """Every drawing, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    words: Sequence[str] = (),
    folded: bool = False,
) -> Table:
    """A `Table` whose cells may be given as str."""
    cells = tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    return Table(caption, tuple(columns), cells, tuple(words), folded)


def clean(text: str) -> str:
    """`text` with what cannot be shown (control, turning and lone surrogate characters) as Python writes it in a str.

    Names come from folders and files of others: none of it may change how the page around it reads.
    """
    return "".join(
        repr(c)[1:-1] if c in _TURNING or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text
    )
