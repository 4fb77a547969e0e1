"""From a plain dict to a tree of conditions that both engines can be given.

Enters: a filter as users write it. Leaves: a tree of a few kinds of nodes, over keys of the payload, and which keys an
index would help. Knows nothing of either engine.

    {"lang": "en", "year": {">=": 2020, "<": 2025}, "tag": {"in": ["a", "b"]}, "or": [{…}, {…}], "not": {…}}

What stands side by side must hold together. "author.name" looks into nested dicts. A value that is a list meets a
condition if one of its elements does. Numbers compare by value, so that 1 and 1.0 are equal; True is no number. None
stands for null. "exists" means that there is something other than null or an empty list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crumb.search.collection.errors import FilterError

METADATA = "meta"  # the payload's key that users' metadata lies under, where it cannot meet ours
# Qdrant Edge's Python binding reads True as the number 1 and so cannot ask for it. The paths of what is true and of
# what is false are therefore kept beside the metadata, as strings.
FLAGS = {True: "true", False: "false"}

OPERATORS = ("<", "<=", ">", ">=", "in", "not in", "exists")
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_EXACT = 2**53  # integers beyond are not all float64 values, and ranges are float64


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these strings, or of these integers, stands at `key`."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """A number stands at `key` that is within all of these bounds."""

    key: str
    lt: float | None = None
    lte: float | None = None
    gt: float | None = None
    gte: float | None = None


@dataclass(frozen=True, slots=True)
class Null:
    """null stands at `key`."""

    key: str


@dataclass(frozen=True, slots=True)
class Empty:
    """At `key` there is nothing, null or an empty list."""

    key: str


@dataclass(frozen=True, slots=True)
class HasId:
    """The point is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class All:
    """All of these hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of these holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    part: Condition


Condition = AnyOf | Within | Null | Empty | HasId | All | Either | Not
Filter = Mapping[str, Any]


@dataclass
class Parsed:
    """The condition, and for each key what kind of index would help it: "keyword" or "float"."""

    condition: Condition | None = None
    indexes: dict[str, str] = field(default_factory=dict)


def parse(where: Filter | None) -> Parsed:
    """Reads a filter; None and {} hold for everything.

    Raises:
        FilterError: it is no such dict; the message names the part that is wrong.
    """
    parsed = Parsed()
    if where is not None:
        parts = _parts(where, parsed.indexes)
        parsed.condition = parts[0] if len(parts) == 1 else All(tuple(parts)) if parts else None
    return parsed


def both(*conditions: Condition | None) -> Condition | None:
    """All of those that are not None."""
    parts = tuple(condition for condition in conditions if condition is not None)
    return parts[0] if len(parts) == 1 else All(parts) if parts else None


def json_path(parts: Sequence[str]) -> str:
    """Qdrant's spelling of a path into the payload."""
    return ".".join((METADATA, *(f'"{part}"' for part in parts)))


def flags(metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    """Where in the metadata True stands, and where False: what goes into the payload under FLAGS."""
    found: dict[str, list[str]] = {name: [] for name in FLAGS.values()}
    for path, value in _leaves(metadata, ()):
        for element in value if isinstance(value, list) else [value]:
            if isinstance(element, bool):
                found[FLAGS[element]].append(json_path(path))
    return found


def _leaves(value: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key), inner


def _parts(where: object, indexes: dict[str, str]) -> list[Condition]:
    if not isinstance(where, Mapping):
        raise FilterError(f"a filter must be a dict, got {type(where).__name__}: {where!r}")
    parts: list[Condition] = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise FilterError(f"a filter's keys must be str, got {type(key).__name__}: {key!r}")
        if key == "or":
            parts.append(_either(value, indexes))
        elif key == "not":
            parts.append(Not(All(tuple(_parts(value, indexes)))))
        else:
            parts += _field(key, value, indexes)
    return parts


def _either(value: object, indexes: dict[str, str]) -> Condition:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise FilterError(f'"or" must be a list of at least one filter, got {value!r}')
    return Either(tuple(All(tuple(_parts(part, indexes))) for part in value))


def _field(name: str, value: object, indexes: dict[str, str]) -> list[Condition]:
    path = name.split(".")
    if not all(path) or any(c in name for c in '"\\'):
        raise FilterError(f"cannot filter on {name!r}: a key is names with dots between, no quotes, no backslashes")
    key = json_path(path)
    if not isinstance(value, Mapping):
        return [_equal(name, key, value, indexes)]
    unknown = next((operator for operator in value if operator not in OPERATORS), None)
    if unknown is not None or not value:
        what = f"unknown operator {unknown!r}" if value else "no operator"
        raise FilterError(f"{what} for {name!r}; choose from {', '.join(OPERATORS)}")
    parts: list[Condition] = []
    bounds = {_BOUNDS[op]: _number(name, op, operand) for op, operand in value.items() if op in _BOUNDS}
    if bounds:
        indexes.setdefault(key, "float")
        parts.append(Within(key, **bounds))
    if "in" in value:
        parts.append(_among(name, key, value["in"], indexes))
    if "not in" in value:
        parts.append(Not(_among(name, key, value["not in"], indexes)))
    if "exists" in value:
        if not isinstance(value["exists"], bool):
            raise FilterError(f'"exists" of {name!r} must be True or False, got {value["exists"]!r}')
        parts.append(Not(Empty(key)) if value["exists"] else Empty(key))
    return parts


def _equal(name: str, key: str, value: object, indexes: dict[str, str]) -> Condition:
    if value is None:
        return Null(key)
    if isinstance(value, bool):
        return AnyOf(FLAGS[value], (key,))
    if isinstance(value, str):
        indexes.setdefault(key, "keyword")
        return AnyOf(key, (value,))
    if isinstance(value, int) and abs(value) > _EXACT:
        return AnyOf(key, (value,))
    if isinstance(value, int | float) and math.isfinite(value):
        indexes.setdefault(key, "float")
        return Within(key, lte=float(value), gte=float(value))
    hint = '; for one of several say {"in": […]}' if isinstance(value, list | tuple | set) else ""
    raise FilterError(f"{name!r} cannot equal {value!r}: expected a str, a finite number, True, False or None{hint}")


def _among(name: str, key: str, values: object, indexes: dict[str, str]) -> Condition:
    if isinstance(values, str) or not isinstance(values, Sequence | set | frozenset):
        raise FilterError(f'"in" and "not in" of {name!r} need a list, got {values!r}')
    words = tuple(value for value in values if isinstance(value, str))
    rest = [_equal(name, key, value, indexes) for value in values if not isinstance(value, str)]
    if words:
        indexes.setdefault(key, "keyword")
    return Either((AnyOf(key, words), *rest))


def _number(name: str, operator: str, operand: object) -> float:
    if isinstance(operand, bool) or not isinstance(operand, int | float) or math.isnan(operand):
        raise FilterError(f"{operator!r} of {name!r} needs a number, got {operand!r}")
    return float(operand)
