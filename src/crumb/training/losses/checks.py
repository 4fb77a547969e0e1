"""Settings of losses, refused at construction.

Enters: a loss under construction, the name of a setting. Leaves: nothing, or a ValueError that names the loss, the
setting and its value.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from crumb.training.losses.loss import LayerwiseLoss


def _refuse(loss: object, name: str, expected: str) -> None:
    raise ValueError(f"{type(loss).__name__}: {name} must be {expected}, got {getattr(loss, name)!r}")


def is_number(value: object) -> bool:
    """Finite, and not True or False."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def above_zero(loss: object, *names: str) -> None:
    """Each is a finite number above 0."""
    for name in names:
        value: Any = getattr(loss, name)
        if not is_number(value) or value <= 0:
            _refuse(loss, name, "a number above 0")


def not_negative(loss: object, *names: str) -> None:
    """Each is a finite number, 0 or above."""
    for name in names:
        value: Any = getattr(loss, name)
        if not is_number(value) or value < 0:
            _refuse(loss, name, "a number, 0 or above")


def number(loss: object, *names: str) -> None:
    """Each is a finite number."""
    for name in names:
        if not is_number(getattr(loss, name)):
            _refuse(loss, name, "a number")


def flag(loss: object, *names: str) -> None:
    """Each is True or False."""
    for name in names:
        if not isinstance(getattr(loss, name), bool):
            _refuse(loss, name, "true or false")


def one_of(loss: object, name: str, known: Collection[str | None]) -> None:
    """It is one of `known`."""
    if getattr(loss, name) not in known:
        _refuse(loss, name, f"one of {', '.join(repr(value) for value in known)}")


def count(loss: object, name: str) -> None:
    """It is a whole number from 1."""
    if not is_count(getattr(loss, name)):
        _refuse(loss, name, "a whole number from 1")


def counts(loss: object, name: str) -> None:
    """It is a tuple of different whole numbers from 1, not empty."""
    values: Any = getattr(loss, name)
    if not isinstance(values, tuple) or not values or not all(map(is_count, values)) or len(set(values)) < len(values):
        _refuse(loss, name, "different whole numbers from 1")


def weights(loss: object, name: str, beside: str) -> None:
    """It is None, or a tuple of numbers from 0, one for each of the tuple `beside`, not all 0."""
    values: Any = getattr(loss, name)
    wanted = len(getattr(loss, beside))
    if values is not None and (
        not isinstance(values, tuple)
        or len(values) != wanted
        or not all(is_number(value) and value >= 0 for value in values)
        or not any(values)
    ):
        _refuse(loss, name, f"{wanted} numbers, 0 or above and not all 0, one for each of {beside}")


def plain(loss: object, name: str) -> None:
    """It is a loss over one layer."""
    value: Any = getattr(loss, name)
    if isinstance(value, LayerwiseLoss):
        _refuse(loss, name, "a loss over one layer (it sees one layer at a time, or one at all)")
    if not callable(value):
        _refuse(loss, name, "a loss")


def is_count(value: object) -> bool:
    """A whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
