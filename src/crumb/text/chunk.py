"""Documents to passages of at most so many tokens, along their structure.

Enters: a text, its kind, and how the model's tokenizer counts. Leaves: passages with lines and headings, in order.
Nothing is lost: what is too large for one passage is split between paragraphs, else lines, sentences, words, tokens.
Knows nothing of files or models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from crumb.text.code import code_blocks, python_blocks
from crumb.text.docx import docx_document
from crumb.text.html import html_document
from crumb.text.markdown import markdown_blocks
from crumb.text.pdf import pdf_document
from crumb.text.structure import Block, Document, Kind, is_blank, leaves, paragraphs, split_lines

# Part of every cache key: raise it whenever the same document would give other passages.
CHUNKING_VERSION = 1
MIN_BUDGET = 8  # tokens; below, a heading and a word no longer fit together
SEPARATOR = " > "  # between the headings of a trail

Count = Callable[[Sequence[str]], list[int]]
Offsets = Callable[[str], list[tuple[int, int]]]

_RUN = 10_000  # characters; longer lines (minified code) are cut before they are counted, so that memory stays flat
_SENTENCE_END = re.compile(r"[.!?…][\"'»”’)\]]*\s+|[。！？]+")
_MOST_LINE_FEEDS = 3  # between two lines of a passage, however many blank ones there are
_MARKS = "#=* \t"  # around a heading in Markdown


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        text: as in the document (for HTML its visible text), without blank lines around it.
        start_line, end_line: lines of the source, from 1, both included; of a PDF its pages, of a DOCX its paragraphs.
            Where a line had to be split, one passage ends and the next starts on it.
        heading: what stands above it, outermost first, as "A > B"; "" for nothing.
    """

    text: str
    start_line: int
    end_line: int
    heading: str

    @property
    def embedding_text(self) -> str:
        """What is embedded: the headings that no line of the text starts with, and the text below them."""
        lines = [line.strip(_MARKS) for line in self.text.split("\n")]
        missing = [
            title
            for title in self.heading.split(SEPARATOR)
            if title and not any(line.startswith(title.removesuffix("…")) for line in lines)
        ]
        return f"{SEPARATOR.join(missing)}\n{self.text}" if missing else self.text


def chunk(text: str, kind: Kind, *, budget: int, count: Count, offsets: Offsets, overlap: int = 0) -> list[Passage]:
    """The passages of a document.

    Args:
        budget: most tokens of a passage's `embedding_text`, special tokens not counted. Only a passage of one single
            character can exceed it, if the tokenizer makes so many tokens of that.
        count: tokens of each text of a batch (a model's `tokenizer.count`).
        offsets: characters of each token of a text (a model's `tokenizer.offsets`).
        overlap: most tokens that a passage repeats from the end of the one before it, if that stands under the same
            headings: whole lines, or of a line that is longer its last words. They are part of `budget`.

    Returns:
        Passages in order. Their lines cover all that are not blank, and their texts hold every character that is no
        white space (of HTML: that is visible).

    Raises:
        ValueError: `budget` is below MIN_BUDGET, or `overlap` is more than half of it or leaves less than that.
    """
    if budget < MIN_BUDGET:
        raise ValueError(f"a passage needs a budget of at least {MIN_BUDGET} tokens, got {budget}")
    most = max(0, min(budget // 2, budget - MIN_BUDGET))
    if not 0 <= overlap <= most:
        raise ValueError(f"passages of {budget} tokens can overlap by 0 to {most} tokens, got {overlap}")
    document = _parse(text, kind)
    if not document.blocks:
        return []
    return _Chunker(document, budget - overlap, count, offsets).passages(overlap)


def _parse(text: str, kind: Kind) -> Document:
    if kind == "html":
        return html_document(text)
    if kind == "pdf":
        return pdf_document(text)
    if kind == "docx":
        return docx_document(text)
    lines = split_lines(text)
    if kind == "markdown":
        blocks = markdown_blocks(lines)
    elif kind == "python":
        blocks = python_blocks(lines)
    elif kind == "code":
        blocks = code_blocks(lines)
    else:
        blocks = leaves(lines, 0, len(lines))
    return Document(lines, list(range(1, len(lines) + 1)), blocks)


class _Atom(NamedTuple):
    """A line, or a piece of a long one; `line` is its index."""

    line: int
    text: str
    tokens: int


class _Unit(NamedTuple):
    """Atoms that lie side by side, on their way to be a passage."""

    trail: tuple[str, ...]
    atoms: list[_Atom]

    @property
    def tokens(self) -> int:
        return sum(atom.tokens for atom in self.atoms)


class _Chunker:
    def __init__(self, document: Document, budget: int, count: Count, offsets: Offsets) -> None:
        self._lines = document.lines
        self._numbers = document.numbers
        self._blocks = document.blocks
        self._budget = budget
        self._count = count
        self._offsets = offsets
        # A quarter for the headings at most; the rest is room for text whatever stands above it.
        self._headings = _headings(set(_trails(document.blocks)), budget // 4, count)
        self._atoms = _atoms(document.lines, budget - budget // 4, count, offsets)

    def passages(self, overlap: int = 0) -> list[Passage]:
        """The passages; with `overlap` they may have so many tokens more than the budget."""
        units = self._pack([unit for block in self._blocks for unit in self._split(block)])
        while True:
            passages = [self._passage(unit) for unit in units]
            counts = self._count([passage.embedding_text for passage in passages])
            # The counts of lines need not add up to that of their sum: what is over after all is halved until it fits.
            halved = [
                half
                for unit, tokens in zip(units, counts, strict=True)
                for half in (_halves(unit) if tokens > self._budget else [unit])
            ]
            if len(halved) == len(units):
                return self._overlapping(units, passages, overlap) if overlap else passages
            units = halved

    def _overlapping(self, units: list[_Unit], passages: list[Passage], overlap: int) -> list[Passage]:
        """Each passage with the end of the one before it, where both stand under the same headings."""
        longer = list(passages)
        for i, (above, unit) in enumerate(pairwise(units), start=1):
            if above.trail == unit.trail:
                tail = _tail(above.atoms, overlap, self._offsets)
                longer[i] = self._passage(_Unit(unit.trail, [*tail, *unit.atoms]))
        # As above, counts need not add up; a passage that came out too long goes without.
        counts = self._count([passage.embedding_text for passage in longer])
        return [
            long if tokens <= self._budget + overlap else short
            for long, short, tokens in zip(longer, passages, counts, strict=True)
        ]

    def _split(self, block: Block) -> list[_Unit]:
        """The block as one unit if it fits, else as few as its structure allows."""
        atoms = [atom for i in range(block.start, block.end) for atom in self._atoms.get(i, ())]
        whole = _Unit(block.trail, atoms)
        if whole.tokens <= self._room(block.trail):
            return [whole]
        trail = (*block.trail, block.title) if block.title else block.trail
        if block.parts:
            return self._pack([unit for part in block.parts for unit in self._split(part)])
        runs = paragraphs(self._lines, block.start, block.end)
        if len(runs) > 1:
            return self._pack([unit for run in runs for unit in self._split(Block(*run, trail))])
        pieces = [_Unit(trail, [atom]) for atom in atoms]
        packed = self._pack(pieces)
        # Pieces of about one size: the last one would otherwise be whatever is left, a closing bracket at worst.
        even = self._pack(pieces, room=whole.tokens * 11 // (len(packed) * 10))
        return even if len(even) == len(packed) else packed

    def _pack(self, units: Iterable[_Unit], room: int | None = None) -> list[_Unit]:
        """Neighbours under the same headings put together, as many as fit."""
        packed: list[_Unit] = []
        filled = 0
        for unit in units:
            tokens = unit.tokens
            limit = self._room(unit.trail) if room is None else room
            if packed and packed[-1].trail == unit.trail and filled + tokens <= limit:
                packed[-1].atoms.extend(unit.atoms)
                filled += tokens
            else:
                packed.append(_Unit(unit.trail, list(unit.atoms)))
                filled = tokens
        return packed

    def _room(self, trail: tuple[str, ...]) -> int:
        return self._budget - self._headings[trail][1]

    def _passage(self, unit: _Unit) -> Passage:
        first, last = unit.atoms[0], unit.atoms[-1]
        parts = [first.text]
        for above, atom in pairwise(unit.atoms):
            parts += ["\n" * min(atom.line - above.line, _MOST_LINE_FEEDS), atom.text]
        text = "".join(parts).rstrip()
        return Passage(text, self._numbers[first.line], self._numbers[last.line], self._headings[unit.trail][0])


def _tail(atoms: Sequence[_Atom], limit: int, offsets: Offsets) -> list[_Atom]:
    """The last atoms, together at most `limit` tokens; of one that is larger, its last words."""
    tail: list[_Atom] = []
    for atom in reversed(atoms):
        limit -= atom.tokens
        if limit < 0:
            break
        tail.insert(0, atom)
    if tail:
        return tail
    line, text, _ = atoms[-1]
    starts = [start for start, _ in offsets(text)]
    first = max(1, limit + atoms[-1].tokens)
    words = (start for start in starts[-first:] if start and text[start - 1].isspace())
    at = next(words, None)
    return [] if at is None else [_Atom(line, text[at:], len([start for start in starts if start >= at]))]


def _halves(unit: _Unit) -> list[_Unit]:
    """Two units with half the atoms each, or half the characters of the only one; the unit itself if it has one."""
    if len(unit.atoms) > 1:
        middle = len(unit.atoms) // 2
        return [_Unit(unit.trail, unit.atoms[:middle]), _Unit(unit.trail, unit.atoms[middle:])]
    line, text, tokens = unit.atoms[0]
    text = text.strip()
    if len(text) < 2:
        return [unit]
    middle = len(text) // 2
    cut = text.rfind(" ", 1, middle + 1)
    cut = middle if cut < 0 else cut
    return [_Unit(unit.trail, [_Atom(line, half, tokens)]) for half in (text[:cut], text[cut:].lstrip())]


def _trails(blocks: Iterable[Block]) -> Iterator[tuple[str, ...]]:
    for block in blocks:
        yield block.trail
        if block.title:
            yield (*block.trail, block.title)
        yield from _trails(block.parts)


def _headings(trails: set[tuple[str, ...]], limit: int, count: Count) -> dict[tuple[str, ...], tuple[str, int]]:
    """For each trail as many of its headings as `limit` tokens hold, innermost first, and how many tokens they are."""
    texts = sorted({SEPARATOR.join(trail[i:]) for trail in trails for i in range(len(trail))})
    tokens = dict(zip(texts, count(texts), strict=True)) if texts else {}
    fitting = {}
    for trail in trails:
        choices = (SEPARATOR.join(trail[i:]) for i in range(len(trail)))
        heading = next((choice for choice in choices if tokens[choice] <= limit), "")
        fitting[trail] = (heading, tokens.get(heading, 0))
    return fitting


def _atoms(lines: Sequence[str], limit: int, count: Count, offsets: Offsets) -> dict[int, list[_Atom]]:
    """The atoms of each line that is not blank; only one that cannot be split has more than `limit` tokens."""

    def counted(pieces: list[tuple[int, str]]) -> list[_Atom]:
        tokens = count([text for _, text in pieces])
        return [_Atom(line, text, n) for (line, text), n in zip(pieces, tokens, strict=True)]

    atoms = counted([(i, run) for i, line in enumerate(lines) if not is_blank(line) for run in _runs(line)])
    if any(atom.tokens > limit for atom in atoms):
        atoms = counted(
            [(a.line, text) for a in atoms for text in (_sentences(a.text) if a.tokens > limit else [a.text])]
        )
    by_line: dict[int, list[_Atom]] = {}
    for atom in atoms:
        pieces = _windows(atom, limit, offsets) if atom.tokens > limit else [atom]
        by_line.setdefault(atom.line, []).extend(pieces)
    return by_line


def _runs(line: str) -> Iterator[str]:
    at = 0
    while len(line) - at > _RUN:
        cut = line.rfind(" ", at + _RUN // 2, at + _RUN)
        cut = at + _RUN if cut < 0 else cut
        yield line[at:cut]
        at = cut
    yield line[at:]


def _sentences(text: str) -> list[str]:
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if b > a]


def _windows(atom: _Atom, limit: int, offsets: Offsets) -> Iterator[_Atom]:
    """Pieces of at most `limit` tokens, cut before a word if one starts in the second half, else before a token."""
    line, text, _ = atom
    starts = [start for start, _ in offsets(text)]
    first = at = 0
    while len(starts) - first > limit:
        word = range(first + limit, first + limit // 2, -1)
        following = next((i for i in word if text[starts[i] - 1].isspace()), first + limit)
        cut = max(starts[following], at + 1)
        yield _Atom(line, text[at:cut], following - first)
        first, at = following, cut
    if at < len(text):
        yield _Atom(line, text[at:], len(starts) - first)
