"""A recipe held against this machine: is all there that it names, and is it what it says?

Enters: a recipe and where its data lie. Leaves: the resolved recipe and paths, or an error that begins with the path of
the key. Reads files' digests, not their rows. Knows nothing of training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from crumb import store
from crumb.checkpoint import read_contract
from crumb.errors import CrumbError, RecipeError
from crumb.training.data import DataError, Source, digest
from crumb.training.losses import as_layerwise, make
from crumb.training.recipe import EvaluationSet, Recipe, SourceSettings, Stage


@dataclass(frozen=True)
class Prepared:
    """A recipe whose every name was found.

    Attributes:
        recipe: with the digests that it left open.
        base: the folder of the model that the first stage begins with.
        roots: folders that relative paths are looked up in, the first that has them wins.
    """

    recipe: Recipe
    base: Path
    roots: tuple[Path, ...]

    def sources(self, stage: int) -> list[Source]:
        """A stage's sources with their real paths."""
        return [_source(settings, self.roots) for settings in self.recipe.stages[stage].sources]

    def sets(self, stage: int) -> list[Path]:
        """A stage's evaluation sets."""
        evaluation = self.recipe.stages[stage].evaluation
        return [] if evaluation is None else [_found(entry.path, self.roots) for entry in evaluation.sets]


def prepare(recipe: Recipe, roots: tuple[Path, ...]) -> Prepared:
    """Finds and checks all that `recipe` names.

    Args:
        recipe: as `crumb.training.recipe_file.load_recipe` gives it.
        roots: folders for relative paths, in the order in which they are tried.

    Raises:
        RecipeError: a model or file is missing, a digest differs, a loss cannot be made, a setting does not fit the
            model.
    """
    base = _base(recipe, roots)
    contract = read_contract(base)
    if recipe.base_fingerprint not in (None, contract.fingerprint):
        raise RecipeError(
            f"base_fingerprint: {recipe.base} here has the fingerprint {contract.fingerprint}, expected "
            f"{recipe.base_fingerprint}: it is another model, or other files of it"
        )
    layers, rows = contract.layers, contract.position_rows
    stages = []
    for i, stage in enumerate(recipe.stages):
        where = f"stages[{i}]"
        if stage.layers is not None and not 1 <= stage.layers <= layers:
            raise RecipeError(f"{where}.layers: is {stage.layers}, but the model that it begins with has {layers}")
        layers = stage.layers or layers
        if (stage.context or 0) > rows and stage.positions is None:
            raise RecipeError(
                f"{where}.positions: missing: a context of {stage.context} needs more than the model's {rows} rows"
            )
        rows = max(rows, stage.context or 0)
        stages.append(_stage(stage, where, layers, roots))
    return Prepared(replace(recipe, base_fingerprint=contract.fingerprint, stages=tuple(stages)), base, roots)


def _base(recipe: Recipe, roots: tuple[Path, ...]) -> Path:
    for root in roots:
        if (root / recipe.base / "config.json").is_file() or (root / recipe.base / "modules.json").is_file():
            return root / recipe.base
    try:
        return store.resolve(recipe.base, fetch=False)
    except CrumbError as error:
        raise RecipeError(f"base: {error}") from None


def _stage(stage: Stage, where: str, layers: int, roots: tuple[Path, ...]) -> Stage:
    try:
        as_layerwise(make(stage.loss)).wants(layers)
    except ValueError as error:
        raise RecipeError(f"{where}.{error}") from None  # its message begins with the place below the loss
    for i, settings in enumerate(stage.sources):
        at = f"{where}.sources[{i}]"
        files = [("path", settings.path, "sha256", settings.sha256)]
        if settings.vectors is not None:
            files.append(("vectors", settings.vectors, "vectors_sha256", settings.vectors_sha256))
        for key, name, digest_key, wanted in files:
            path = _find(name, roots, f"{at}.{key}")
            found = _same(f"{at}.{key}", path, wanted)
            if wanted is None:
                raise RecipeError(
                    f"{at}.{digest_key}: missing: {path} has {found}; data are trained on by their digest"
                )
        try:
            _source(settings, roots)
        except DataError as error:
            raise RecipeError(f"{at}: {error}") from None
    if stage.evaluation is None:
        return stage
    sets = []
    for i, entry in enumerate(stage.evaluation.sets):
        at = f"{where}.evaluation.sets[{i}].path"
        found = _same(at, _find(entry.path, roots, at), entry.sha256)
        sets.append(EvaluationSet(entry.path, found))
    return replace(stage, evaluation=replace(stage.evaluation, sets=tuple(sets)))


def _same(where: str, path: Path, wanted: str | None) -> str:
    """The digest of a file or folder, which must be `wanted` if that is given."""
    found = digest(path)
    if wanted not in (None, found):
        raise RecipeError(
            f"{where}: {path} has the SHA-256 {found}, the recipe wants {wanted}: it is another file, or it has changed"
        )
    return found


def _find(name: str, roots: tuple[Path, ...], where: str) -> Path:
    path = _found(name, roots)
    if not path.exists():
        tried = ", ".join(str(root) for root in roots)
        raise RecipeError(f"{where}: there is no {name} in {tried}; say with --data or CRUMB_DATA where the data are")
    return path


def _found(name: str, roots: tuple[Path, ...]) -> Path:
    candidates = [root / name for root in roots]
    return next((path for path in candidates if path.exists()), candidates[0])


def _source(settings: SourceSettings, roots: tuple[Path, ...]) -> Source:
    return Source(
        path=_found(settings.path, roots),
        name=settings.name,
        weight=settings.weight,
        limit=settings.limit,
        columns=settings.columns,
        group=settings.group,
        group_before=settings.group_before,
        split=settings.split,
        negatives=settings.negatives,
        vectors=None if settings.vectors is None else _found(settings.vectors, roots),
        center=settings.center,
        max_bad=settings.max_bad,
    )
