"""Texts of different lengths, one behind the other, and how attention walks over them.

Enters: token ids and lengths. Leaves: a `TokenBatch`, and a `Plan`: the texts by length, in groups that attention may
pad to one rectangle at little waste. Knows nothing of weights. Everything but attention runs on the tokens alone,
without padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Whole = npt.NDArray[np.int64]

# A group ends where its shortest text would be padded by more than a sixth, unless it is so small that another
# round of calls would cost more than the padding.
_SHORTEST = 0.85
_SMALL = 256  # tokens
_CELLS = 1 << 18  # query-key pairs of a group and head


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Tokenised texts, special tokens included.

    Attributes:
        ids: int64 [tokens], the texts one behind the other.
        lengths: int64 [texts], at least 1 each, on the CPU; they add up to `tokens`.
        positions: int64 [tokens], the position row of each token; None: every text counts from 0.
        first_pooled: int64 [texts], the first token of each text that pooling takes in; None: all take part.
        cut: tokens that the texts lost to the context, for whoever reports them; `select` does not know of which text.
    """

    ids: Tensor
    lengths: Tensor
    positions: Tensor | None = None
    first_pooled: Tensor | None = None
    cut: int = 0

    def __post_init__(self) -> None:
        for name in ("ids", "lengths", "positions", "first_pooled"):
            tensor = getattr(self, name)
            if tensor is not None and (tensor.dtype != torch.int64 or tensor.dim() != 1):
                raise ValueError(f"{name} must be int64 with one dimension, got {tensor.dtype} {tuple(tensor.shape)}")
        if len(self.lengths) and int(self.lengths.min()) < 1:
            raise ValueError(f"text {int(self.lengths.argmin())} has no token; special tokens count, and are needed")
        if int(self.lengths.sum()) != len(self.ids):
            raise ValueError(f"the lengths add up to {int(self.lengths.sum())} tokens, but there are {len(self.ids)}")
        if self.positions is not None and len(self.positions) != len(self.ids):
            raise ValueError(f"there are {len(self.positions)} positions for {len(self.ids)} tokens")
        if self.first_pooled is not None and (
            self.first_pooled.shape != self.lengths.shape
            or bool((self.first_pooled < 0).any() | (self.first_pooled >= self.lengths).any())
        ):
            raise ValueError("first_pooled must name a token of each text")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return len(self.ids)

    @classmethod
    def of(
        cls,
        ids: npt.NDArray[np.integer],
        offsets: npt.NDArray[np.integer],
        first_pooled: npt.NDArray[np.integer] | None = None,
    ) -> TokenBatch:
        """From what crumb's tokenizer gives: ids [tokens], offsets [texts + 1] and, with a prompt, first_pooled."""
        return cls(
            torch.from_numpy(ids.astype(np.int64)),
            torch.from_numpy(np.diff(offsets.astype(np.int64))),
            first_pooled=None if first_pooled is None else torch.from_numpy(first_pooled.astype(np.int64)),
        )

    def select(self, texts: Sequence[int]) -> TokenBatch:
        """The texts of these numbers, in this order."""
        lengths = self.lengths.numpy()
        chosen = np.asarray(texts, dtype=np.int64)
        rows = torch.from_numpy(_rows(_starts(lengths)[chosen], lengths[chosen]))
        picked = torch.from_numpy(chosen)
        return TokenBatch(
            self.ids[rows],
            self.lengths[picked],
            None if self.positions is None else self.positions[rows],
            None if self.first_pooled is None else self.first_pooled[picked],
        )


class Group(NamedTuple):
    """Texts of about one length that attention takes together.

    Attributes:
        begin, end: their rows among the sorted tokens.
        texts, longest: how many, and the longest's tokens.
        pad: int64 [texts * longest], for each cell of the rectangle its row, counted from `begin` (of padding, any row
            of the text); None where all are equally long.
        unpad: int64 [end - begin], the inverse: for each row its cell.
        mask: bool [texts, 1, 1, longest], True where a key is a token.
    """

    begin: int
    end: int
    texts: int
    longest: int
    pad: Tensor | None
    unpad: Tensor | None
    mask: Tensor | None


class Plan(NamedTuple):
    """A batch's texts by length.

    Attributes:
        rows: int64 [tokens], for each sorted token its place in the batch.
        lengths: int64 [texts], of the texts in sorted order.
        places: int64 [tokens], of each sorted token in its text.
        back: int64 [texts], for each text of the batch its place in sorted order.
        order: int64 [texts], the inverse of `back`.
        groups: the rows in groups, from the first to the last.
    """

    rows: Tensor
    lengths: Tensor
    places: Tensor
    back: Tensor
    order: Tensor
    groups: tuple[Group, ...]


def plan(lengths: Tensor, device: torch.device) -> Plan:
    """Sorts texts by length and groups them; index tensors go to `device`."""
    unsorted: Whole = lengths.numpy()
    order = np.argsort(unsorted, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    ordered = unsorted[order]
    starts = _starts(ordered)

    def there(array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    groups = []
    for first, last in _bounds(ordered):
        group, longest = ordered[first:last], int(ordered[last - 1])
        begin, end = int(starts[first]), int(starts[first] + group.sum())
        if int(group[0]) == longest:
            groups.append(Group(begin, end, last - first, longest, None, None, None))
            continue
        places = np.arange(longest)
        valid = places < group[:, None]
        pad = (starts[first:last] - begin)[:, None] + np.minimum(places, group[:, None] - 1)
        groups.append(
            Group(
                begin,
                end,
                last - first,
                longest,
                there(pad.reshape(-1)),
                there(np.flatnonzero(valid)),
                there(valid[:, None, None, :]),
            )
        )
    return Plan(
        rows=there(_rows(_starts(unsorted)[order], ordered)),
        lengths=there(ordered),
        places=there(_rows(np.zeros_like(ordered), ordered)),
        back=there(back),
        order=there(order),
        groups=tuple(groups),
    )


def _bounds(ordered: Whole) -> list[tuple[int, int]]:
    """First and last text (exclusive) of each group; `ordered` rises. From the longest down, as that one sets width."""
    bounds = []
    last = len(ordered)
    while last > 0:
        longest = int(ordered[last - 1])
        first = last - 1
        tokens = longest
        while first > 0:
            length = int(ordered[first - 1])
            if (last - first + 1) * longest * longest > _CELLS:
                break
            if length < _SHORTEST * longest and tokens >= _SMALL:
                break
            tokens += length
            first -= 1
        bounds.append((first, last))
        last = first
    return bounds[::-1]


def _starts(lengths: Whole) -> Whole:
    return np.cumsum(lengths) - lengths


def _rows(starts: Whole, lengths: Whole) -> Whole:
    """Each start counted up for its length: [s0, s0 + 1, …, s1, s1 + 1, …]."""
    ends = np.cumsum(lengths)
    rows: Whole = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return rows
