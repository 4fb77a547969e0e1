"""When to stop: the best evaluation so far, and how long ago it was.

Enters: a score at a step. Leaves: whether it is the best, and whether patience is at an end. Plain data in and out, so
that a checkpoint can hold it. Knows nothing of what is scored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Stopping:
    """Keeps the best score.

    Attributes:
        patience: evaluations without a new best after which to stop; None never stops.
        margin: a new best must be better by more than this.
        best: the best score, None before the first.
        best_step: its step.
        since: evaluations after it.
    """

    patience: int | None = None
    margin: float = 0.0
    best: float | None = None
    best_step: int = 0
    since: int = 0

    def take(self, step: int, score: float) -> bool:
        """Takes the score of `step` in and says whether it is the best so far."""
        if self.best is None or score > self.best + self.margin:
            self.best, self.best_step, self.since = score, step, 0
            return True
        self.since += 1
        return False

    @property
    def over(self) -> bool:
        """Whether patience is at an end."""
        return self.patience is not None and self.since >= self.patience

    def state(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def of(cls, state: dict[str, Any]) -> Stopping:
        """From what `state` gave."""
        return cls(**state)
