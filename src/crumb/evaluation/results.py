"""Figures, with everything that is needed to check them, as plain data.

Enters: what was measured. Leaves: `Measured`, to and from JSON. Knows nothing of how it was measured or is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crumb.evaluation.embed import Cost
from crumb.evaluation.settings import Setting


@dataclass(frozen=True)
class Measured:
    """One model on one task in one setting.

    Attributes:
        task, model, fingerprint: what was measured (`Model.fingerprint`).
        setting: how.
        context, precision, isa: what the setting came to on this model and CPU.
        main: the metric that stands for the task.
        metrics: metric to its mean over queries, 0..1 (a correlation: -1..1).
        parts: of a task in parts, part to metric to value.
        per_query: part to query id to the main metric, in a fixed order (the only part of most tasks is ""); empty
            where it was not kept.
        relevant_tokens: part to query id to the tokens of the document that is relevant to it
            (crumb.evaluation.relevant); empty where they were not counted.
        gold: of an STS task the gold scores, in the order of `per_query`, which then holds the pairs' cosines.
        queries, documents: how many.
        query_cost, document_cost: tokens, cuts and seconds.
        search_seconds: of ranking.
        data: SHA-256 of the files by name, or the generator's parameters.
    """

    task: str
    model: str
    fingerprint: str
    setting: Setting
    context: int
    precision: str
    isa: str
    main: str
    metrics: dict[str, float]
    parts: dict[str, dict[str, float]]
    queries: int
    documents: int
    query_cost: Cost
    document_cost: Cost
    search_seconds: float
    data: Mapping[str, Any]
    per_query: dict[str, dict[str, float]] = field(default_factory=dict)
    relevant_tokens: dict[str, dict[str, float]] = field(default_factory=dict)
    gold: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The main metric, 0..1."""
        return self.metrics[self.main]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "setting": self.setting.as_dict(), "data": dict(self.data)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Measured:
        """The inverse of `as_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """
        costs = {name: Cost(**found[name]) for name in ("query_cost", "document_cost")}
        return cls(**{**found, **costs, "setting": Setting(**found["setting"])})
