"""Losses by name, as recipes write them.

Enters: settings as YAML or JSON gives them. Leaves: a loss, or what is wrong with the settings. Knows every loss's
name and nothing of what it computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from crumb.training.losses.angle import AnglE
from crumb.training.losses.angle_total import PRESETS, AngleTotal
from crumb.training.losses.contrastive import Contrastive
from crumb.training.losses.cosent import CoSENT
from crumb.training.losses.espresso import Espresso
from crumb.training.losses.filtered import Filtered
from crumb.training.losses.fixed_pairs import FixedPairs
from crumb.training.losses.in_batch import InBatch
from crumb.training.losses.layerwise import LastLayer, Layerwise
from crumb.training.losses.loss import LayerwiseLoss, Loss
from crumb.training.losses.matryoshka import Matryoshka
from crumb.training.losses.relational import RelationalDistillation
from crumb.training.losses.score_distillation import ScoreDistillation
from crumb.training.losses.total import LayerwiseTotal, Term, Total

LOSSES: dict[str, type] = {
    "angle": AnglE,
    "angle-total": AngleTotal,
    "contrastive": Contrastive,
    "cosent": CoSENT,
    "espresso": Espresso,
    "filtered": Filtered,
    "fixed-pairs": FixedPairs,
    "in-batch": InBatch,
    "last-layer": LastLayer,
    "layerwise": Layerwise,
    "matryoshka": Matryoshka,
    "relational": RelationalDistillation,
    "scores": ScoreDistillation,
}

Settings = str | Mapping[str, Any] | Sequence[Any]


def make(settings: Settings) -> Loss | LayerwiseLoss:
    """The loss that settings describe.

    A string is a name with all defaults, a mapping a name with settings, a list the sum of its losses. In a sum, an
    item may have a `weight` (1) and an `as`, its name in the log (its own name). `loss`, the loss inside another
    one, is given in the same three ways. The names of published objectives, "angle-0.4.12" and "angle-0.6", are
    those of their settings, which may be changed.

    Raises:
        ValueError: an unknown name or setting, one that is missing, or a value that the loss refuses. The message
        says where.

    Example:
        >>> from crumb.training.losses import make
        >>> make({"name": "contrastive", "scale": 50})
        Contrastive(scale=50, symmetric=False, in_batch_positives=True, in_batch_negatives=True)
        >>> both = ["angle-0.6", {"name": "scores", "weight": 2}]
        >>> make({"name": "layerwise", "layers": [3, 6], "loss": both}).wants(6)
        (3, 6)
    """
    return _make(settings, "loss")


def _make(settings: Settings, place: str) -> Loss | LayerwiseLoss:
    if isinstance(settings, str):
        settings = {"name": settings}
    if isinstance(settings, Mapping):
        return _one(settings, place)
    if isinstance(settings, Sequence):
        return _sum(settings, place)
    raise ValueError(f"{place}: expected a loss's name, its settings or a list of losses, got {settings!r}")


def _one(settings: Mapping[str, Any], place: str) -> Loss | LayerwiseLoss:
    name = settings.get("name")
    if not isinstance(name, str) or (name not in LOSSES and name not in PRESETS):
        names = ", ".join(sorted((*LOSSES, *PRESETS)))
        raise ValueError(f"{place}: unknown loss {name!r}: expected a name, one of {names}")
    kind = LOSSES["angle-total"] if name in PRESETS else LOSSES[name]
    given = {**PRESETS.get(name, {}), **{key: _frozen(value) for key, value in settings.items() if key != "name"}}
    known = {field.name: field.default is MISSING for field in fields(kind)}
    for key in given:
        if key not in known:
            raise ValueError(f"{place}: {name} has no setting {key!r}: it has {', '.join(known) or 'none'}")
    missing = [key for key, required in known.items() if required and key not in given]
    if missing:
        raise ValueError(f"{place}: {name} needs {' and '.join(missing)}")
    if "loss" in given:
        given["loss"] = _make(settings["loss"], f"{place}.loss")
    try:
        made: Loss | LayerwiseLoss = kind(**given)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return made


def _sum(items: Sequence[Any], place: str) -> Loss | LayerwiseLoss:
    terms = []
    for index, item in enumerate(items):
        here = f"{place}[{index}]"
        own = dict(item) if isinstance(item, Mapping) else {"name": item}
        weight, label = own.pop("weight", 1.0), own.pop("as", own.get("name"))
        terms.append(Term(label, _one(own, here), weight))
    kind = LayerwiseTotal if any(isinstance(term.loss, LayerwiseLoss) for term in terms) else Total
    try:
        return kind(tuple(terms))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _frozen(value: Any) -> Any:
    """Lists as tuples: settings of a frozen loss do not change either."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
