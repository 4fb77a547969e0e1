"""Plain data into typed dataclasses, strictly.

Enters: what a YAML file holds, and the dataclass that it should fill. Leaves: the dataclass, or an error that begins
with the path of the key (`stages[0].optimiser.rate`). Knows nothing of what the settings mean: a dataclass checks its
own values in `__post_init__` with `require`.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from crumb.errors import RecipeError

T = TypeVar("T")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class InvalidValueError(ValueError):
    """A dataclass refuses the value of one of its fields; `read` puts the path before it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key} {message}")
        self.key, self.message = key, message


def require(condition: bool, key: str, message: str) -> None:
    """For `__post_init__`: refuses the field `key` unless `condition` holds; `message` follows the field's path."""
    if not condition:
        raise InvalidValueError(key, message)


def read(kind: type[T], data: Any, where: str = "") -> T:
    """An instance of the dataclass `kind` from plain data.

    Every key must be a field's name and every value of the field's type: whole numbers are taken for numbers, lists
    become tuples, and nothing else is converted.

    Args:
        kind: a dataclass; its fields are bool, int, float, str, Any, Literal, dataclasses, tuples and dicts by name of
            these, each perhaps optional.
        data: what a YAML or JSON file holds.
        where: the path of `data`, for messages.

    Raises:
        RecipeError: a key is unknown or missing, or a value is of the wrong type or refused by the dataclass.
    """
    made: T = _dataclass(kind, data, where)
    return made


def path(where: str, key: str | int) -> str:
    """The path of a key or an index below `where`: `stages[0].loss`."""
    if isinstance(key, int):
        return f"{where}[{key}]"
    return f"{where}.{key}" if where else key


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise RecipeError(f"{where or 'the recipe'}: {_shown(data)}, expected keys and values")
    known = {field.name: field for field in fields(kind)}
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise RecipeError(f"{path(where, str(key))}: no such setting{hint}; there are {', '.join(known)}")
    values = {}
    for name, field in known.items():
        if name in data:
            values[name] = _value(_hints(kind)[name], data[name], path(where, name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RecipeError(f"{path(where, name)}: missing, expected {_expected(_hints(kind)[name])}")
    try:
        return kind(**values)
    except InvalidValueError as error:
        raise RecipeError(f"{path(where, error.key)}: {error.message}") from None


def _value(hint: Any, data: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return data
    if origin in (Union, types.UnionType):
        if data is None and type(None) in args:
            return None
        choices = [arg for arg in args if arg is not type(None)]
        fitting = [arg for arg in choices if _fits(arg, data)]
        if not fitting and len(choices) > 1:
            raise RecipeError(f"{where}: {_shown(data)}, expected {_expected(hint)}")
        return _value(fitting[0] if fitting else choices[0], data, where)
    if is_dataclass(hint):
        return _dataclass(hint, data, where)
    if not _fits(hint, data):
        raise RecipeError(f"{where}: {_shown(data)}, expected {_expected(hint)}")
    if origin is tuple:
        return tuple(_value(args[0], item, path(where, i)) for i, item in enumerate(data))
    if origin is dict:
        return {key: _value(args[1], item, path(where, str(key))) for key, item in data.items()}
    return float(data) if hint is float else data


def _fits(hint: Any, data: Any) -> bool:
    """Whether `data` is of the kind, without looking inside lists and mappings."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return any(data == choice and type(data) is type(choice) for choice in get_args(hint))
    if origin is tuple:
        return isinstance(data, list | tuple)
    if origin is dict:
        return isinstance(data, dict) and all(isinstance(key, str) for key in data)
    if is_dataclass(hint):
        return isinstance(data, dict)
    if hint is float:
        return isinstance(data, int | float) and not isinstance(data, bool) and math.isfinite(data)
    if hint is int:
        return isinstance(data, int) and not isinstance(data, bool)
    return isinstance(hint, type) and isinstance(data, hint)


def _expected(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_expected(arg) for arg in args if arg is not type(None))
    if origin is Literal:
        return " | ".join(map(str, args))
    if origin is tuple:
        return f"a list, each {_expected(args[0])}"
    if origin is dict:
        return f"names, each with {_expected(args[1])}"
    return "keys and values" if is_dataclass(hint) else _NAMES.get(hint, "a value")


def _shown(data: Any) -> str:
    text = repr(data)
    kind = {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(data))
    return f"is {kind}" if kind else f"is {text if len(text) < 60 else text[:57] + '...'}"
