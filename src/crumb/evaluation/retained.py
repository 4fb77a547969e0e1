"""What smaller forms keep of a model's figures, as plain data.

Enters: what was measured. Leaves: `Retention`, to and from JSON. Knows nothing of how it was measured or is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crumb.engine.precision import Precision
from crumb.evaluation.forms import Form
from crumb.evaluation.settings import Setting


@dataclass(frozen=True)
class Cell:
    """One form on all tasks.

    Attributes:
        form: precision, layers, dimensions, encoding.
        values: task to its main metric, 0..1. Tasks that the form does not apply to are absent: pairs of sentences
            have no candidates that could be scored again.
        shares: the same divided by the task's value at full size (`Retention.full`); a task that has 0 there is absent.
        tokens_per_second: what this precision with so many layers encodes here; None where that was not measured.
    """

    form: Form
    values: dict[str, float]
    shares: dict[str, float]
    tokens_per_second: float | None = None

    @property
    def mean(self) -> float:
        """The mean share."""
        return float(np.mean(list(self.shares.values()))) if self.shares else float("nan")

    @property
    def worst(self) -> tuple[str, float]:
        """The task of the least share, and that share.

        Raises:
            ValueError: there are no shares.
        """
        return min(self.shares.items(), key=lambda item: item[1])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, with `bytes`, `mean` and `worst` for who reads it elsewhere."""
        return {
            **asdict(self.form),
            "bytes": self.form.stored_bytes,
            "tokens_per_second": self.tokens_per_second,
            "mean": self.mean if self.shares else None,
            "worst": list(self.worst) if self.shares else None,
            "values": self.values,
            "shares": self.shares,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Cell:
        """The inverse of `as_dict`."""
        form = Form(found["precision"], found["layers"], found["dimensions"], found["encoding"])
        return cls(form, dict(found["values"]), dict(found["shares"]), found["tokens_per_second"])


@dataclass(frozen=True)
class Retention:
    """One model in all forms on all tasks.

    Attributes:
        model, fingerprint, isa, context: what was measured, and with which kernels.
        setting: what all forms share.
        tasks: task to its main metric.
        data: task to the SHA-256 of its files by name, or the parameters that made it.
        precisions, layers, dimensions, encodings: the axes; layers and dimensions fall from the model's own.
        cells: the forms (`forms_of`), the full size first.
    """

    model: str
    fingerprint: str
    isa: str
    context: int
    setting: Setting
    tasks: dict[str, str]
    data: dict[str, dict[str, Any]]
    precisions: list[str]
    layers: list[int]
    dimensions: list[int]
    encodings: list[str]
    cells: list[Cell]

    @property
    def full(self) -> Cell:
        """The full size of the first precision, which the shares are of."""
        return self.cells[0]

    def cell(
        self,
        *,
        precision: str | None = None,
        layers: int | None = None,
        dimensions: int | None = None,
        encoding: str = "float32",
    ) -> Cell:
        """One cell; what is not given is that of the full size.

        Raises:
            KeyError: that form was not measured.
        """
        full = self.full.form
        wanted = (precision or full.precision, layers or full.layers, dimensions or full.dimensions, encoding)
        for cell in self.cells:
            form = cell.form
            if (form.precision, form.layers, form.dimensions, form.encoding) == wanted:
                return cell
        raise KeyError(f"{wanted} was not measured")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("setting", "cells")},
            "setting": self.setting.as_dict(),
            "cells": [cell.as_dict() for cell in self.cells],
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Retention:
        """The inverse of `as_dict`.

        Raises:
            TypeError, KeyError: a field is missing or unknown.
        """
        cells = [Cell.from_dict(cell) for cell in found["cells"]]
        return cls(**{**found, "setting": Setting(**found["setting"]), "cells": cells})


def with_shares(
    forms: Iterable[Form],
    values: Mapping[Form, dict[str, float]],
    rates: Mapping[tuple[Precision, int], float],
) -> list[Cell]:
    """Cells of measured values: shares are of the first form's.

    Args:
        forms: the full size first.
        values: of each form, task to value.
        rates: tokens a second by (precision, layers).
    """
    ordered = list(forms)
    full = values[ordered[0]]
    return [
        Cell(
            form,
            values[form],
            {task: value / full[task] for task, value in values[form].items() if full[task] != 0},
            rates.get((form.precision, form.layers)),
        )
        for form in ordered
    ]
