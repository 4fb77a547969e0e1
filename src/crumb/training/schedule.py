"""How the learning rate moves over a stage.

Enters: a step's number. Leaves: the factor that every group's rate is multiplied by. Has no state, so a resumed run has
nothing to restore. Knows nothing of optimisers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from crumb.training.settings import require


@dataclass(frozen=True)
class Schedule:
    """A rise from 0 and a fall.

    Attributes:
        kind: "constant" stays at 1 after the rise; "linear" and "cosine" (Loshchilov and Hutter, arXiv 1608.03983,
            without restarts) fall to `end` at the stage's last step.
        warmup: steps of the linear rise; a number below 1 is a share of the stage.
        end: the factor at the end, as a share of the full rate.
    """

    kind: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = 0.1
    end: float = 0.0

    def __post_init__(self) -> None:
        whole = self.warmup < 1 or self.warmup == int(self.warmup)
        require(self.warmup >= 0 and whole, "warmup", f"is {self.warmup}, expected steps or a share below 1")
        require(0 <= self.end <= 1, "end", f"is {self.end}, expected a share from 0 to 1")

    def rise(self, steps: int) -> int:
        """Steps of the rise in a stage of `steps`."""
        return round(self.warmup * steps) if self.warmup < 1 else int(self.warmup)

    def factor(self, step: int, steps: int) -> float:
        """The factor for `step`, counted from 0, of `steps`.

        The rise is (step + 1) / (rise + 1), so that no step is spent at a rate of 0; the step after the stage's last
        would have the factor `end`.
        """
        rise = self.rise(steps)
        if step < rise:
            return (step + 1) / (rise + 1)
        if self.kind == "constant":
            return 1.0
        done = min(1.0, (step - rise) / max(1, steps - rise))
        falling = 1 - done if self.kind == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.end + (1 - self.end) * falling
