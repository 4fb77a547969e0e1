"""How many tokens texts have, for batches by length.

Enters: texts. Leaves: counts. A count is a tokenizer's, or a guess from the number of bytes that needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from crumb.text.tokenizer import Tokenizer

Ints = npt.NDArray[np.int64]
Lengths = Callable[[Sequence[str]], Ints]
BYTES_PER_TOKEN = 4.0  # English prose has 4.4 with BERT's vocabulary, program code 3.2


def tokens_of(tokenizer: Tokenizer, context: int, *, threads: int = 1) -> Lengths:
    """Counts as the encoder will see texts: special tokens included, at most `context`."""
    room = context - tokenizer.n_special

    def lengths(texts: Sequence[str]) -> Ints:
        _, offsets = tokenizer.ragged(texts, threads=threads, enough=room)
        return np.minimum(np.diff(offsets), room) + tokenizer.n_special

    return lengths


def estimate(context: int) -> Lengths:
    """Guesses: a quarter of the bytes, two special tokens, at most `context`."""

    def lengths(texts: Sequence[str]) -> Ints:
        sizes = np.array([len(text.encode("utf-8")) for text in texts], dtype=np.float64)
        return np.minimum(np.ceil(sizes / BYTES_PER_TOKEN).astype(np.int64) + 2, context)

    return lengths
