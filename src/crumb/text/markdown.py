"""Markdown to sections: ATX and setext headings, fences, front matter; the rest by paragraphs.

Enters: lines. Leaves: blocks with their heading trails. Knows nothing of tokens, and of inline markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from crumb.text.structure import Block, Item, is_blank, sections

_ATX = re.compile(r" {0,3}(#{1,6})([ \t].*)?")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
# Fences stand at any depth, because those in list items are indented; the line that closes one is at least as long.
_FENCE = re.compile(r"\s*(?:[-*+]\s+|\d+[.)]\s+)*(`{3,}(?=[^`]*$)|~{3,})")
# A paragraph that starts so is no heading, even with a line of dashes below it.
_NO_TITLE = re.compile(r" {4}|\t|\s*(?:[-*+][ \t]|\d{1,9}[.)][ \t]|>|\|)")
_RULE = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*")


def markdown_blocks(lines: Sequence[str]) -> list[Block]:
    """One block for each heading, fence and paragraph."""
    return sections(_items(lines))


def _items(lines: Sequence[str]) -> Iterator[Item]:
    i = _front_matter(lines)
    if i:
        yield Item(0, i)
    begin: int | None = None  # first line of the paragraph that is open
    while i < len(lines):
        line = lines[i]
        heading = _ATX.fullmatch(line)
        fence = _FENCE.match(line)
        if is_blank(line) or heading or fence:
            if begin is not None:
                yield Item(begin, i)
                begin = None
            if heading:
                yield Item(i, i + 1, len(heading[1]), _title(heading[2] or ""))
            elif fence:
                end = _end_of_fence(lines, i + 1, fence[1])
                yield Item(i, end)
                i = end
                continue
        elif begin is None and _RULE.fullmatch(line):
            yield Item(i, i + 1)
        elif begin is None:
            begin = i
        elif (underline := _UNDERLINE.fullmatch(line)) and not _NO_TITLE.match(lines[begin]):
            yield Item(begin, i + 1, 1 if underline[1][0] == "=" else 2, " ".join(lines[begin:i]))
            begin = None
        i += 1
    if begin is not None:
        yield Item(begin, len(lines))


def _title(rest: str) -> str:
    """What stands behind the marks of an ATX heading, without those that may close it."""
    title = rest.strip()
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else title


def _front_matter(lines: Sequence[str]) -> int:
    """Lines of the YAML before the text; its closing dashes would otherwise make a heading of its last line."""
    if lines[0].rstrip() == "---":
        for i in range(1, len(lines)):
            if lines[i].rstrip() in ("---", "..."):
                return i + 1
            if is_blank(lines[i]):
                break
    return 0


def _end_of_fence(lines: Sequence[str], start: int, opening: str) -> int:
    for i in range(start, len(lines)):
        mark = lines[i].strip()
        if len(mark) >= len(opening) and set(mark) == {opening[0]}:
            return i + 1
    return len(lines)
