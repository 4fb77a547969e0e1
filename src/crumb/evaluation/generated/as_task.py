"""A generated set as a task.

Enters: a generator and its recipe. Leaves: a `RetrievalTask`, a part a length, scored by the best document alone. Knows
nothing of what is hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from crumb.evaluation.generated.hide import Count, Hidden, Recipe
from crumb.evaluation.tasks import RetrievalTask

Generate = Callable[[Recipe, Count], dict[str, Hidden]]


def as_task(name: str, generate: Generate, recipe: Recipe, count: Count, counted: str) -> RetrievalTask:
    """The task; `counted` says what `count` counts, for the record."""
    return RetrievalTask(
        name=name,
        read=lambda: {length: hidden.data for length, hidden in generate(recipe, count).items()},
        main="nDCG@1",
        recipe={"generator": name, "version": 1, **asdict(recipe), "tokens": counted},
        licence="generated: CC0 1.0",
        long=True,
    )
