"""Contexts longer than those the checkpoint was trained with: which position rows a text of training meets.

Enters: lengths of texts, a context, a seeded generator. Leaves: positions for a `TokenBatch`, and a penalty that holds
rows where they were. Knows nothing of encoders. New rows are made by crumb.checkpoint.positions
(`Encoder.from_folder(context=…, positions=…)`) and trained alone or with the others (`freeze`); rows that the
checkpoint had are a parameter of their own, so that what short texts see can be left as it is, bit for bit.

Long texts are rare and dear. PoSE (positional skip-wise training, arXiv 2309.10400) trains far rows on short ones: a
text is placed somewhere in the long context, whole or in two chunks with a gap between them, so that far rows and far
distances both occur.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Skips = Literal["none", "offset", "chunks"]


def skipped_positions(
    lengths: Tensor,
    context: int,
    generator: np.random.Generator,
    *,
    skips: Skips = "offset",
    share: float = 1.0,
    kept: int = 0,
) -> Tensor:
    """Positions of the tokens of a batch, drawn anew for each text.

    Args:
        lengths: int64 [texts], tokens of each text, none above `context`.
        context: position rows there are.
        generator: decides; the same seed and lengths give the same positions.
        skips: "none": every text counts from 0. "offset": a text counts from a start between 0 and context - length,
            each as likely (LongEmbed, arXiv 2404.12096). "chunks": besides, the text is cut in two at a random token
            and the second chunk moved on by a random gap (PoSE, arXiv 2309.10400, with two chunks).
        share: of texts that are moved; the others count from 0, so that short positions stay in training.
        kept: first tokens of each text that stay at 0, 1, … ([CLS], which stands there whenever the model is used).

    Returns:
        int64 [tokens], rising within each text, below `context`.

    Raises:
        ValueError: a text is longer than the context, or an argument is out of range.
    """
    if skips not in get_args(Skips):
        raise ValueError(f"unknown skips {skips!r}; choose {', '.join(get_args(Skips))}")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    if kept < 0:
        raise ValueError(f"kept must be at least 0 tokens, got {kept}")
    counts: npt.NDArray[np.int64] = lengths.numpy()
    if len(counts) and int(counts.max()) > context:
        raise ValueError(f"a text has {int(counts.max())} tokens, but the context is {context}; cut it first")
    starts = np.cumsum(counts) - counts
    places = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    if skips == "none":
        return torch.from_numpy(places)
    # Always the same draws, whatever `share` and `skips` say: runs that differ in one of them can be compared.
    texts = len(counts)
    moved = generator.random(texts) < share
    room = np.where(moved, context - counts, 0)
    draws = generator.integers(0, room[:, None] + 1, size=(texts, 2))
    cut = generator.integers(1, np.maximum(counts, 2))  # never before the first token: both chunks hold something
    first, second = (draws[:, 0], draws[:, 0]) if skips == "offset" else np.sort(draws, axis=1).T
    shift = np.where(places < np.repeat(cut, counts), np.repeat(first, counts), np.repeat(second, counts))
    return torch.from_numpy(np.where(places < kept, places, places + shift))


class Anchor:
    """A pull of rows back to where they are now: an L2 penalty, for what should move little and not at all.

    Args:
        parameter: any parameter; its values are copied.
        strength: the penalty is strength times the sum of squared differences. Its gradient, 2 strength times the
            difference, is to be seen beside that of the loss.
    """

    def __init__(self, parameter: nn.Parameter, strength: float) -> None:
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self._parameter = parameter
        self._start = parameter.detach().clone()
        self._strength = strength

    def __call__(self) -> Tensor:
        """The penalty, a scalar with gradients."""
        return self._strength * (self._parameter - self._start).square().sum()
