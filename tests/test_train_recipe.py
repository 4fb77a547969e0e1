"""Recipes: what is refused, and by which path; what is written is what was read."""

from __future__ import annotations

import copy
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_recipe import plain_recipe, write_recipe

from crumb.errors import RecipeError
from crumb.training.check import prepare
from crumb.training.recipe import Recipe
from crumb.training.recipe_file import differences, dump_recipe, load_recipe

Data = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module")
def plain(home: Path, texts: list[str]) -> Data:
    return plain_recipe(home, texts)


@pytest.fixture
def data(plain: Data) -> Data:
    return copy.deepcopy(plain)


def stage(data: Data) -> Data:
    found: Data = data["stages"][0]
    return found


def test_defaults_are_filled_in_and_a_written_recipe_reads_to_the_same(home: Path, data: Data) -> None:
    recipe = load_recipe(write_recipe(home, data))
    assert recipe.stages[0].schedule.kind == "linear"
    written = home / "written.yaml"
    written.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(written) == recipe
    everything = yaml.safe_load(written.read_text())
    assert everything["stages"][0]["optimiser"]["betas"] == [0.9, 0.999], "a written recipe leaves nothing to defaults"


def messages(*cases: tuple[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("override", "message"), cases, ids=[override for override, _ in cases])


# a setting below stages[0] unless it begins with "/", and what follows its path in the message
@messages(
    ("/sed=1", ": no such setting (did you mean 'seed'?); there are name, base"),
    ("/seed=seven", ": is 'seven', expected a whole number"),
    ("/seed=true", ": is True, expected a whole number"),
    ("/stages=[]", ": is empty"),
    ("/stages={}", ": is a mapping, expected a list"),
    ("steps=2.5", ": is 2.5, expected a whole number"),
    ("steps=0", ": is 0, expected at least 1"),
    ("dropout=1", ": is 1, expected a share"),
    ("activations=fp8", ": is 'fp8', expected auto | float32 | bf16"),
    ("positions=tile", ": is tile, but no context says"),
    ("loss=7", ": is a int, expected a name"),
    ("optimiser=[]", ": is a list, expected keys and values"),
    ("optimiser.rate=0", ": is 0, expected more than 0"),
    ("optimiser.rate=.nan", ": is nan, expected a number"),
    ("optimiser.rates.word=-1", ": is -1"),
    ("optimiser.betas=[0.9]", ": is [0.9], expected two numbers"),
    ("schedule.warmup=1.5", ": is 1.5, expected steps or a share"),
    ("schedule.warmup=13", ": is 13 steps, but the stage has 12"),
    ("sources[0].sha256=ab", ": is 'ab', expected a SHA-256"),
    ("sources[0].weight=0", ": is 0"),
    ("batch.alpha=2", ": is 2, expected a number from 0 to 1"),
    ("averaging=1", ": is 1.0, expected a decay"),
)
def test_a_wrong_setting_is_refused_with_its_path(home: Path, data: Data, override: str, message: str) -> None:
    override = override[1:] if override.startswith("/") else f"stages[0].{override}"
    with pytest.raises(RecipeError, match=f"^{re.escape(override.partition('=')[0] + message)}"):
        load_recipe(write_recipe(home, data), overrides=[override])


def test_a_missing_setting_is_named(home: Path, data: Data) -> None:
    for key, kind in (("licence", "a text"), ("path", "a text")):
        changed = copy.deepcopy(data)
        del changed["stages"][0]["sources"][0][key]
        with pytest.raises(RecipeError, match=rf"^stages\[0\]\.sources\[0\]\.{key}: missing, expected {kind}"):
            load_recipe(write_recipe(home, changed))


def test_two_stages_of_one_name_are_refused(home: Path, data: Data) -> None:
    data["stages"] *= 2
    with pytest.raises(
        RecipeError, match=r"^stages\[1\]\.name: is 'contrastive', which an earlier stage is called too"
    ):
        load_recipe(write_recipe(home, data))


# an override, and the message's beginning
@messages(
    ("base=nowhere", r"base: .*nowhere"),
    ("base_fingerprint=" + "a" * 64, r"base_fingerprint: base here has the fingerprint [0-9a-f]{64}, expected a{64}"),
    ("stages[0].loss=contrast", r"stages\[0\]\.loss: unknown loss 'contrast'"),
    ("stages[0].loss=[contrastive, {name: cosent, scal: 3}]", r"stages\[0\]\.loss\[1\]: cosent has no setting 'scal'"),
    ("stages[0].loss.scale=-1", r"stages\[0\]\.loss: .*scale"),
    ("stages[0].loss={name: layerwise, layers: [7], loss: contrastive}", r"stages\[0\]\..*layer 7"),
    ("stages[0].layers=3", r"stages\[0\]\.layers: is 3, but the model .* has 2"),
    ("stages[0].context=65", r"stages\[0\]\.positions: missing: a context of 65 .* 64 rows"),
    ("stages[0].sources[0].path=no.jsonl", r"stages\[0\]\.sources\[0\]\.path: there is no no\.jsonl in .*CRUMB_DATA"),
    ("stages[0].sources[0].sha256=" + "b" * 64, r"stages\[0\]\.sources\[0\]\.path: .* the recipe wants b{64}"),
    (
        "stages[0].evaluation={every: 5, sets: [{path: set, sha256: " + "c" * 64 + "}]}",
        r"stages\[0\]\.evaluation\.sets\[0\]\.path: .* the recipe wants c{64}",
    ),
)
def test_what_is_not_here_is_refused_with_its_path(home: Path, data: Data, override: str, message: str) -> None:
    recipe = load_recipe(write_recipe(home, data), overrides=[override])
    with pytest.raises(RecipeError, match=f"^{message}"):
        prepare(recipe, (home,))


def test_a_missing_digest_is_told(home: Path, data: Data) -> None:
    expected = stage(data)["sources"][0].pop("sha256")
    with pytest.raises(RecipeError, match=rf"^stages\[0\]\.sources\[0\]\.sha256: missing: .* has {expected};"):
        prepare(load_recipe(write_recipe(home, data)), (home,))
    vectors = home / "vectors.npz"
    vectors.write_bytes(b"any")
    stage(data)["sources"][0] |= {"sha256": expected, "vectors": "vectors.npz"}
    digest = hashlib.sha256(b"any").hexdigest()
    with pytest.raises(RecipeError, match=rf"^stages\[0\]\.sources\[0\]\.vectors_sha256: missing: .* has {digest};"):
        prepare(load_recipe(write_recipe(home, data)), (home,))


def test_the_resolved_recipe_says_what_was_left_open(home: Path, data: Data) -> None:
    stage(data)["evaluation"] = {"sets": [{"path": "set"}], "every": 5}
    resolved = prepare(load_recipe(write_recipe(home, data)), (home,)).recipe
    assert resolved.base_fingerprint is not None
    assert resolved.stages[0].evaluation is not None
    assert resolved.stages[0].evaluation.sets[0].sha256 is not None
    assert prepare(resolved, (home,)).recipe == resolved, "and holds against the same machine"


def test_a_key_that_is_there_twice_is_refused(home: Path, data: Data) -> None:
    path = write_recipe(home, data)
    path.write_text(path.read_text() + "seed: 8\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml, line \d+: seed is there twice"):
        load_recipe(path)


def test_yaml_that_would_run_something_is_refused(home: Path, data: Data) -> None:
    path = write_recipe(home, data)
    path.write_text(path.read_text().replace("seed: 7", "seed: !!python/object/apply:os.getpid []"))
    with pytest.raises(RecipeError, match="is no YAML: could not determine a constructor"):
        load_recipe(path)


@pytest.mark.parametrize("written", ["3e-5", "3.0e-5", "0.00003", "3E-5", "+3e-05"])
def test_numbers_as_people_write_them(home: Path, data: Data, written: str) -> None:
    recipe = load_recipe(write_recipe(home, data), overrides=[f"stages[0].optimiser.rate={written}"])
    assert recipe.stages[0].optimiser.rate == 3e-5


def test_settings_from_the_command_line(home: Path, data: Data) -> None:
    path = write_recipe(home, data)
    recipe = load_recipe(
        path,
        overrides=["seed=8", "stages[0].schedule.kind=cosine", "stages[0].freeze=[word]", "stages[0].loss.scale=30"],
        steps=5,
    )
    assert (recipe.seed, recipe.stages[0].steps, recipe.stages[0].freeze) == (8, 5, ("word",))
    assert recipe.stages[0].schedule.kind == "cosine"
    assert recipe.stages[0].loss["scale"] == 30
    assert load_recipe(path, steps=99).stages[0].steps == 12
    assert differences(load_recipe(path), recipe) == [
        "stages[0].loss.scale", "stages[0].steps", "stages[0].schedule.kind", "stages[0].freeze", "seed"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected KEY=VALUE"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("stages[1].steps=3", "--set stages[1].steps=3: the recipe has no stages[1]"),
        ("seed[0]=3", "--set seed[0]=3: the recipe has no seed[0]"),
        ("stages[0].stepz=3", "stages[0].stepz: no such setting (did you mean 'steps'?)"),
        ("stages[0].schedul.kind=linear", "stages[0].schedul: no such setting (did you mean 'schedule'?)"),
    ],
)
def test_settings_that_mean_nothing_are_refused(home: Path, data: Data, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}"):
        load_recipe(write_recipe(home, data), overrides=[override])


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_recipes_that_are_shipped_can_be_read(path: Path) -> None:
    recipe = load_recipe(path)
    assert isinstance(recipe, Recipe)
    assert recipe.name == path.stem
    assert all(source.sha256 and source.licence for part in recipe.stages for source in part.sources)
