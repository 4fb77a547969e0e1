"""What a recipe says of one data set.

Enters: a path and settings. Leaves: a `Source`, checked as far as it can be without reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crumb.training.data.files import DataError, data_name


@dataclass(frozen=True)
class Source:
    """A data set, as a recipe names it.

    Attributes:
        path: a file or folder (crumb.training.data.files).
        name: what it is called in batches, logs and messages; the path's own name where it is "".
        weight: its share of steps, in proportion to the others', is weight * batches ** alpha (`Mixture`).
        limit: read the first so many good rows only.
        columns: role to column, where the names do not tell (crumb.training.data.shapes).
        group: a column; at most one row of a group enters a batch.
        group_before: the group is what stands before the first of these strings in the query (": " for "Hotel Gold:
            Is there parking?"); rows without it have none.
        split: a column of strings; the rows of each of its values are a source of their own, called name/value.
        negatives: hard negatives an example, the first of each row; None for as many as there are.
        vectors: a teacher's vectors of the rows (crumb.training.data.vectors).
        center: subtract the vectors' means before they are scaled to unit length.
        sha256: what the data's digest has to be.
        max_bad: the share of bad rows that is let pass.
        max_characters: a longer text makes a row bad.
    """

    path: str | Path
    name: str = ""
    weight: float = 1.0
    limit: int | None = None
    columns: Mapping[str, str | Sequence[str]] | None = None
    group: str | None = None
    group_before: str | None = None
    split: str | None = None
    negatives: int | None = None
    vectors: str | Path | None = None
    center: bool = True
    sha256: str | None = None
    max_bad: float = 0.01
    max_characters: int = 2_000_000

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", data_name(Path(self.path)))
        if not 0 <= self.weight < float("inf"):
            raise DataError(f"{self.name}: weight must be a number of at least 0, got {self.weight!r}")
        if not 0 <= self.max_bad <= 1:
            raise DataError(f"{self.name}: max_bad is a share from 0 to 1, got {self.max_bad!r}")
        for what, value, least in (
            ("limit", self.limit, 1),
            ("negatives", self.negatives, 0),
            ("max_characters", self.max_characters, 1),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise DataError(f"{self.name}: {what} must be a whole number of at least {least}, got {value!r}")
        if self.group is not None and self.group_before is not None:
            raise DataError(f"{self.name}: group and group_before, but a row has one group; give one of them")
