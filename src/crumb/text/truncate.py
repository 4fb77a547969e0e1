"""The one place where a text is cut to the context.

Enters: a ragged batch of token ids without special tokens, and the room there is. Leaves: a ragged batch with special
tokens around every text, and how much was cut. Knows nothing of tokenizers or warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Side = Literal["start", "end"]


class Ragged(NamedTuple):
    """Texts one behind the other: `ids` int32 [tokens], `offsets` int64 [texts + 1], `cut` tokens lost of each text."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    cut: list[int]


def fit(
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    *,
    context: int,
    side: Side,
    prefix: Sequence[int],
    suffix: Sequence[int],
    keep: int = 0,
) -> Ragged:
    """Puts `prefix` and `suffix` around every text and cuts what does not fit `context` tokens.

    Args:
        ids: int32 [tokens], texts one behind the other, without special tokens.
        offsets: int64 [texts + 1], where each text begins and the last ends.
        context: longest input in tokens, special tokens included.
        side: "end" loses the last tokens, "start" the first.
        keep: leading tokens that are never lost (a prompt), with side "start", as far as there is room for them.
    """
    room = context - len(prefix) - len(suffix)
    lengths = offsets[1:] - offsets[:-1]  # np.diff takes five times as long for few texts
    over = np.maximum(lengths - room, 0)
    if over.any():
        place = np.arange(len(ids)) - np.repeat(offsets[:-1], lengths)  # of each token in its text
        first = room if side == "end" else min(keep, room)
        ids = ids[(place < first) | (place >= first + np.repeat(over, lengths))]
        lengths -= over
    ends = np.zeros_like(offsets)
    np.cumsum(lengths + (len(prefix) + len(suffix)), out=ends[1:])
    whole = np.empty(ends[-1], dtype=np.int32)
    text = np.ones(len(whole), dtype=bool)
    for places, token in (
        *((ends[:-1] + i, token) for i, token in enumerate(prefix)),
        *((ends[1:] - len(suffix) + i, token) for i, token in enumerate(suffix)),
    ):
        whole[places] = token
        text[places] = False
    whole[text] = ids
    return Ragged(whole, ends, over.tolist())
