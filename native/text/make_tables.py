"""Writes unicode_tables.h: what the tokenizers library makes of every code point under BERT's normaliser.

    python native/text/make_tables.py > native/text/unicode_tables.h

Enters: the tokenizers library, asked about each code point on its own (its Unicode tables count, not Python's). Leaves:
a C++ header on stdout. Knows nothing of vocabularies. tests/test_wordpiece.py asks the same questions of the compiled
tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import tokenizers
from tokenizers import normalizers, pre_tokenizers

_CASED = normalizers.BertNormalizer(True, True, strip_accents=False, lowercase=False)
_UNCASED = normalizers.BertNormalizer(True, True, strip_accents=True, lowercase=True)
_NFD = normalizers.NFD()
_SPLIT = pre_tokenizers.BertPreTokenizer()
_HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic
_PER_LINE = 12


@dataclass(frozen=True)
class Point:
    """One code point: its class as it stands, and what the uncased normaliser makes of it."""

    code: int
    kind: str
    folded: str

    @property
    def fold(self) -> str:
        """How `folded` follows from the code point."""
        if self.kind in ("removed", "space"):
            return "same"
        if any(_reorders(c) for c in self.folded):
            return "library"
        if self.folded == chr(self.code):
            return "same"
        if self.code in _HANGUL:
            return "hangul"
        return ("drop", "one")[len(self.folded)] if len(self.folded) < 2 else "several"


def _reorders(c: str) -> bool:
    """Whether a character that is kept may change places with its neighbours under NFD."""
    before, after = f"a{c}\u0334", f"a\u0345{c}"  # combining classes 1 and 240, the lowest and the highest
    return _NFD.normalize_str(before) != before or _NFD.normalize_str(after) != after


def _point(code: int) -> Point:
    c = chr(code)
    if 0xD800 <= code < 0xE000:  # crumb reads a lone surrogate as U+FFFD, which the normaliser removes
        return Point(code, "removed", "")
    cased, folded = (n.normalize_str(f"a{c}b")[1:-1] for n in (_CASED, _UNCASED))
    if cased in ("", " "):
        if folded != cased:
            raise SystemExit(f"U+{code:04X} is {cased!r} cased and {folded!r} uncased")
        return Point(code, "space" if cased else "removed", folded)
    if cased == f" {c} ":
        return Point(code, "cjk", folded.strip(" "))
    if cased != c:
        raise SystemExit(f"U+{code:04X} becomes {cased!r}, which the tables cannot say")
    pieces = len(_SPLIT.pre_tokenize_str(f"a{c}b"))
    return Point(code, {1: "word", 3: "punctuation"}[pieces], folded)


def _runs(points: list[Point]) -> Iterator[list[Point]]:
    """Neighbours of one class and one way of folding; letters that fold to one other are kept apart by distance."""
    for _, group in itertools.groupby(points, key=lambda p: (p.kind, p.fold)):
        same = list(group)
        if same[0].fold == "several":
            yield from ([p] for p in same)
        elif same[0].fold == "one":
            for _, run in itertools.groupby(same, key=lambda p: ord(p.folded) - p.code):
                yield list(run)
        else:
            yield same


def main() -> None:
    points = [_point(code) for code in range(0x110000)]
    outputs: list[int] = []
    rows: list[str] = []

    def row(first: int, last: int, kind: str, fold: str, value: int = 0) -> None:
        rows.append(f"{{0x{first:X}, 0x{last:X}, Kind::{kind}, Fold::{fold}, {value}}},")

    pending: list[Point] = []  # short runs, one behind the other, whose images are listed one by one

    def flush() -> None:
        if pending:
            row(pending[0].code, pending[-1].code, pending[0].kind, "table", len(outputs))
            outputs.extend(ord(p.folded) for p in pending)
            pending.clear()

    for run in _runs(points):
        first, last, kind, fold = run[0].code, run[-1].code, run[0].kind, run[0].fold
        # a letter that stays, between letters that change, costs less as an entry than as a run of its own
        listed = len(run) < 8 and (fold == "one" or (fold == "same" and kind != "removed" and kind != "space"))
        if pending and (not listed or kind != pending[0].kind):
            flush()
        if listed and (fold == "one" or pending):
            pending.extend(run)
        elif fold == "one":
            row(first, last, kind, "shift", ord(run[0].folded) - first)
        elif fold == "several":
            row(first, last, kind, fold, len(outputs))
            outputs.extend([*map(ord, run[0].folded), 0])
        elif (kind, fold) != ("word", "same"):
            row(first, last, kind, fold)
    flush()

    print(f"// Written by make_tables.py from tokenizers {tokenizers.__version__}. Do not edit.")
    print('#pragma once\n\n#include "unicode.h"\n\nnamespace crumb {\n\n// clang-format off')
    print("// Sorted; what lies between the runs is {Kind::word, Fold::same}.\nconstexpr Run kRuns[] = {")
    for start in range(0, len(rows), 2):
        print(" ", " ".join(rows[start : start + 2]))
    print("};\n\nconstexpr char32_t kOutputs[] = {")
    for start in range(0, len(outputs), _PER_LINE):
        print(" ", ", ".join(f"0x{c:X}" for c in outputs[start : start + _PER_LINE]) + ",")
    print("};\n// clang-format on\n\n}  // namespace crumb")


if __name__ == "__main__":
    main()
