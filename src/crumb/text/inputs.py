"""What a caller gives as texts, made safe to work through.

Enters: any object. Leaves: the texts, each checked to be one, a window at a time. Knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import TypeVar

# A window is what is tokenised and encoded at a time: enough to keep every thread busy, little enough to stay in
# memory.
WINDOW_TEXTS = 1024
WINDOW_CHARACTERS = 1 << 20

T = TypeVar("T")


def checked(texts: str | Iterable[str]) -> Iterator[str]:
    """The texts, a str being one; of a list or tuple all are checked before the first is used.

    Raises:
        TypeError: no ordered iterable of str; the message names the index of what is no str.
    """
    if isinstance(texts, str):
        return iter((texts,))
    if isinstance(texts, Mapping | Set | bytes | bytearray) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a str or an ordered iterable of str, got {type(texts).__name__}")
    if isinstance(texts, list | tuple):
        for index, text in enumerate(texts):
            _check(index, text)
        return iter(texts)
    return (_check(index, text) for index, text in enumerate(texts))


def windows(
    items: Iterable[T], length: Callable[[T], int], *, most: int = WINDOW_TEXTS, characters: int = WINDOW_CHARACTERS
) -> Iterator[list[T]]:
    """Runs of at most `most` items that end once `characters` are reached, so that memory stays flat.

    Where a window ends depends on the items alone: a second reading gives the same windows.
    """
    window: list[T] = []
    size = 0
    for item in items:
        window.append(item)
        size += length(item)
        if len(window) == most or size >= characters:
            yield window
            window, size = [], 0
    if window:
        yield window


def _check(index: int, text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"texts[{index}] must be a str, got {type(text).__name__}: {str(text)[:60]!r}")
    return text
