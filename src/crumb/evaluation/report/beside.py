"""Our figures beside published ones.

Enters: what was measured. Leaves: `Beside`, one for each published figure of its tasks. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crumb.evaluation.published import PUBLISHED, Published, repeated_by
from crumb.evaluation.results import Measured


@dataclass(frozen=True)
class Beside:
    """A published figure, and ours if we measured the same.

    Attributes:
        task, model: of both.
        context: tokens of a text that the published figure was made with; None where that is not known.
        split: of a task in parts, the part.
        published, tolerance: the figure (times 100), and how far ours may be from it.
        ours: times 100; None where the same was not measured.
        source: where the published figure stands.
    """

    task: str
    model: str
    context: int | None
    split: str | None
    published: float
    tolerance: float
    ours: float | None
    source: str

    @property
    def difference(self) -> float | None:
        """Ours less the published one."""
        return None if self.ours is None else self.ours - self.published

    @property
    def reproduced(self) -> bool | None:
        """Whether ours is within the tolerance; None where there is none."""
        # figures are printed with two decimals: a difference of just the tolerance is within it
        return None if self.difference is None else round(abs(self.difference), 6) <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "difference": self.difference, "reproduced": self.reproduced}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Beside:
        """The inverse of `as_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**{key: value for key, value in found.items() if key not in ("difference", "reproduced")})


def beside(measured: Sequence[Measured]) -> list[Beside]:
    """Every published figure of the tasks that were measured, by task; what we measured too stands first."""
    ours: dict[tuple[str, Published], float] = {}
    for m in measured:
        for row in repeated_by(m):
            value = m.value if row.split is None else m.parts[row.split][m.main]
            ours.setdefault((m.task, row), 100 * value)
    rows = [(task, row) for task in dict.fromkeys(m.task for m in measured) for row in PUBLISHED.get(task, ())]
    rows.sort(key=lambda found: found not in ours)
    return [
        Beside(task, row.model, row.context, row.split, row.value, row.tolerance, ours.get((task, row)), row.source)
        for task, row in rows
    ]
