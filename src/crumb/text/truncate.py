"""The one place where a text is cut to the context.

Enters: token ids without special tokens, and the room there is. Leaves: a ragged batch with special tokens around every
text, and how much was cut. Knows nothing of tokenizers or warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt

Side = Literal["start", "end"]


@dataclass(frozen=True)
class Ragged:
    """Texts one behind the other: `ids` int32 [tokens], `offsets` int64 [texts + 1], `cut` tokens lost of each text."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    cut: list[int]


def fit(
    texts: Sequence[Sequence[int]],
    *,
    context: int,
    side: Side,
    prefix: Sequence[int],
    suffix: Sequence[int],
    keep: int = 0,
) -> Ragged:
    """Puts `prefix` and `suffix` around every text and cuts what does not fit `context` tokens.

    Args:
        texts: token ids of each text, without special tokens.
        context: longest input in tokens, special tokens included.
        side: "end" loses the last tokens, "start" the first.
        keep: leading tokens that are never lost (a prompt), with side "start".
    """
    room = context - len(prefix) - len(suffix)
    pieces: list[Sequence[int]] = []
    lengths = np.zeros(len(texts) + 1, dtype=np.int64)
    cut = []
    for i, ids in enumerate(texts):
        over = max(len(ids) - room, 0)
        if over and side == "end":
            ids = ids[:room]
        elif over:
            ids = [*ids[:keep], *ids[keep + over :]]
        cut.append(over)
        pieces += (prefix, ids, suffix)
        lengths[i + 1] = len(prefix) + len(ids) + len(suffix)
    offsets = np.cumsum(lengths)
    joined = np.fromiter(chain.from_iterable(pieces), dtype=np.int32, count=int(offsets[-1]))
    return Ragged(joined, offsets, cut)
