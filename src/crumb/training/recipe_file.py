"""Recipes as YAML: read strictly, with settings from the command line; written in full; compared.

Enters: a file, overrides, recipes. Leaves: a `Recipe`, its text, the paths of what differs. Knows nothing of what the
settings mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crumb.errors import MissingExtraError, RecipeError
from crumb.training.recipe import Recipe
from crumb.training.settings import path as key_path
from crumb.training.settings import read


def load_recipe(file: Path, *, overrides: Sequence[str] = (), steps: int | None = None) -> Recipe:
    """The recipe in `file`.

    Args:
        file: YAML; read without running anything that it says (PyYAML's safe loader).
        overrides: "stages[0].optimiser.rate=1e-4": a key's path and a value in YAML.
        steps: no stage has more steps than this.

    Raises:
        RecipeError: the message begins with the path of the key.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} cannot be read: {error}") from None
    data = _parse(text, str(file))
    for override in overrides:
        _override(data, override)
    recipe = read(Recipe, data)
    if steps is None:
        return recipe
    plain = asdict(recipe)
    for stage in plain["stages"]:
        stage["steps"] = min(stage["steps"], steps)
    return read(Recipe, plain)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML that says every setting, and that `load_recipe` reads to an equal recipe."""
    text: str = _yaml().safe_dump(_plain(asdict(recipe)), sort_keys=False, allow_unicode=True, width=100)
    return text


def differences(ours: Recipe, theirs: Recipe) -> list[str]:
    """The paths of the settings in which two recipes differ."""
    return _differences(_plain(asdict(ours)), _plain(asdict(theirs)), "")


def _differences(ours: Any, theirs: Any, where: str) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [*ours, *(key for key in theirs if key not in ours)]
        pairs = [(ours.get(key), theirs.get(key), key_path(where, key)) for key in keys]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(a, b, key_path(where, i)) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return [] if ours == theirs else [where]
    return [found for a, b, path in pairs for found in _differences(a, b, path)]


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, list | tuple) else data


def _parse(text: str, where: str) -> Any:
    yaml = _yaml()

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined, misc]  # the module is imported lazily
        """Refuses a key that is there twice, and reads 3e-5 as a number, as people mean it."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                name = self.construct_object(key, deep=True)
                if name in seen:
                    raise RecipeError(f"{where}, line {key.start_mark.line + 1}: {name} is there twice")
                seen.add(name)
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is no YAML: {error}") from None


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            f'recipes need PyYAML, which cannot be imported ({error}): pip install "crumb-embed[train]"'
        ) from None
    return yaml


def _override(data: Any, text: str) -> None:
    """Sets one value in plain data: `a.b[0].c=value`."""
    where, separator, value = text.partition("=")
    keys: list[str | int] = [
        int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", where)
    ]
    if not separator or not keys:
        raise RecipeError(f"--set {text}: expected KEY=VALUE, such as stages[0].optimiser.rate=1e-4")
    at, done = data, ""
    for key in keys[:-1]:
        at, done = _child(at, key, done), key_path(done, key)
        if at is None:
            raise RecipeError(f"--set {text}: the recipe has no {done}")
    last = keys[-1]
    fits = isinstance(at, dict) if isinstance(last, str) else isinstance(at, list) and last < len(at)
    if not fits:
        raise RecipeError(f"--set {text}: the recipe has no {key_path(done, last)}")
    at[last] = _parse(value, f"--set {text}")


def _child(at: Any, key: str | int, where: str) -> Any:
    if isinstance(key, int):
        return at[key] if isinstance(at, list) and key < len(at) else None
    if isinstance(at, dict) and key not in at:
        at[key] = {}  # a section that the recipe leaves to its defaults; strict reading refuses one that is none
    return at.get(key) if isinstance(at, dict) else None
