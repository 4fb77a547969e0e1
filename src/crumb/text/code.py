"""Source code to functions and classes: Python by its own parser, other languages by their indentation.

Enters: lines. Leaves: blocks named after what they define. Knows nothing of tokens, and of no language but Python.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

from crumb.text.structure import Block, is_blank, leaves, paragraphs, shorten

# A line that only closes what stands above it does not begin a block.
_CLOSER = re.compile(r"\s*(?:[)\]}]+[;,)]*|end|fi|done|esac)\s*;?\s*(?:(?://|/\*|#|--).*)?")
_COMMENT = re.compile(r"\s*(?://|#|/\*|\*|--|;|%|@)")
# A line that may begin a block, but does not name what is in it.
_NAMELESS = re.compile(
    r"\s*(?:[^\w(]|(?:case|catch|default|do|else|for|if|return|switch|try|while)\b|(?:private|protected|public)\s*:)"
    r"|.*;\s*$"
)
_DEPTH = 3  # of blocks in blocks: a namespace, its classes, their methods


def python_blocks(lines: Sequence[str]) -> list[Block]:
    """One block for each function and class, with decorators and the comment above it, and for each paragraph between
    them. What Python cannot parse (another version's, half a file) goes by its indentation.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the searched code's own escapes
            tree = ast.parse("\n".join(lines))
        return _definitions(lines, tree.body, 0, len(lines), ())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last three: NULs, and nesting too deep
        return code_blocks(lines)


def code_blocks(lines: Sequence[str]) -> list[Block]:
    """Blocks that start without indentation, after a blank line or a closing bracket; the same again inside them."""
    return _by_indentation(lines, 0, len(lines), (), -1, _DEPTH)


def _definitions(
    lines: Sequence[str], nodes: Sequence[ast.stmt], start: int, end: int, trail: tuple[str, ...]
) -> list[Block]:
    blocks: list[Block] = []
    at = start
    for node in nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        while first > at and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        stop = max(node.end_lineno or node.lineno, first + 1)
        title = f"{'class' if isinstance(node, ast.ClassDef) else 'def'} {node.name}"
        parts = _definitions(lines, node.body, first, stop, (*trail, title))
        named = any(part.title for part in parts)
        blocks += leaves(lines, at, first, trail)
        blocks.append(Block(first, stop, trail, title, tuple(parts) if named else ()))
        at = stop
    return blocks + leaves(lines, at, end, trail)


def _by_indentation(
    lines: Sequence[str], start: int, end: int, trail: tuple[str, ...], outer: int, depth: int
) -> list[Block]:
    """The blocks between `start` and `end` at the first indentation beyond `outer`; none if there is no such line."""
    depths = {i: _indentation(lines[i]) for i in range(start, end) if not is_blank(lines[i])}
    deeper = [d for i, d in depths.items() if d > outer and not _CLOSER.fullmatch(lines[i])]
    if not deeper:
        return leaves(lines, start, end, trail)
    level = min(deeper)
    starts = [
        i
        for i, d in depths.items()
        if d == level
        and not _CLOSER.fullmatch(lines[i])
        and (i == start or is_blank(lines[i - 1]) or (_CLOSER.fullmatch(lines[i - 1]) and depths[i - 1] == level))
    ]
    if not starts:
        return leaves(lines, start, end, trail)
    blocks = leaves(lines, start, starts[0], trail)
    for first, stop in zip(starts, [*starts[1:], end], strict=True):
        stop = paragraphs(lines, first, stop)[-1][1]
        named = next((i for i in range(first, stop) if not is_blank(lines[i]) and not _COMMENT.match(lines[i])), first)
        title = "" if _NAMELESS.match(lines[named]) else shorten(lines[named].rstrip(" \t{(:=[,"))
        below = (*trail, title) if title else trail
        parts: list[Block] = []
        if depth > 1 and stop - named > 2:
            inside = _by_indentation(lines, named + 1, stop, below, level, depth - 1)
            parts = leaves(lines, first, named + 1, below) + inside
        blocks.append(Block(first, stop, trail, title, tuple(parts)))
    return blocks


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
