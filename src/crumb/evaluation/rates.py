"""What fewer layers and other precisions bring: tokens a second, all on the same texts, in turn.

Enters: models that differ in precision only, and texts. Leaves: a median for each precision and number of layers. Knows
nothing of quality. Tokenising is left out; it is a few thousandths of the time (docs/performance.md).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence

from crumb.engine.precision import Precision
from crumb.model import Model

CHARACTERS = 40_000
"""Of the sample: some 10,000 tokens of English, a second or two in float32 on two cores."""


def sample(collections: Iterable[Sequence[str]], characters: int = CHARACTERS) -> list[str]:
    """Texts of all collections in turn, those of each evenly spaced, until there are enough characters."""
    spaced = []
    for texts in collections:
        step = max(1, len(texts) // 100)
        spaced.append(list(texts[::step]))
    found: list[str] = []
    left = characters
    for i in range(max(map(len, spaced), default=0)):
        for texts in spaced:
            if i < len(texts) and left > 0:
                found.append(texts[i])
                left -= len(texts[i])
    return found


def tokens_per_second(
    models: Mapping[Precision, Model], texts: Sequence[str], layers: Sequence[int], rounds: int = 3
) -> dict[tuple[Precision, int], float]:
    """Tokens a second by (precision, layers): medians of `rounds`, in each of which every pair has its turn.

    Args:
        models: by precision.
        texts: as `sample` finds them; cut at each model's context.
        layers: how many are run.
        rounds: at least 1.
    """
    batches = {precision: model.prepare(texts) for precision, model in models.items()}
    seconds: dict[tuple[Precision, int], list[float]] = {(p, depth): [] for p in models for depth in layers}
    for precision, model in models.items():  # pages are touched and clocks are up before anything counts
        model.pooled(batches[precision], layers=min(layers))
    for _ in range(rounds):
        for (precision, depth), times in seconds.items():
            started = time.perf_counter()
            models[precision].pooled(batches[precision], layers=depth)
            times.append(time.perf_counter() - started)
    return {key: len(batches[key[0]].ids) / statistics.median(times) for key, times in seconds.items()}
