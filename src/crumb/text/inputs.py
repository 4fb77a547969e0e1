"""What a caller gives as texts, made safe to work through.

Enters: any object. Leaves: the texts, each checked to be one, a window at a time. Knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

# A window is what is tokenised and encoded at a time: enough to keep every thread busy, little enough to stay in
# memory.
_WINDOW_TEXTS = 1024
_WINDOW_CHARACTERS = 1 << 20


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


def windows(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in runs of about a thousand, or of a million characters."""
    window: list[str] = []
    characters = 0
    for text in texts:
        window.append(text)
        characters += len(text)
        if len(window) == _WINDOW_TEXTS or characters >= _WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def _check(index: int, text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"texts[{index}] must be a str, got {type(text).__name__}: {str(text)[:60]!r}")
    return text
