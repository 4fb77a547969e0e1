"""`crumb soup`, against plain numpy over the files that safetensors reads."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from tiny import write_model

import crumb
from crumb.errors import CheckpointError
from crumb.training.soup import Ingredient, soup

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> list[Path]:
    home = tmp_path_factory.mktemp("models")
    return [write_model(home / name, texts, seed=seed) for seed, name in enumerate("abc")]


def tensors(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def test_every_tensor_is_the_weighted_sum(models: list[Path], tmp_path: Path, run_crumb: Run) -> None:
    done = run_crumb("soup", *map(str, models), "--weights", "0.5", "0.2", "0.3", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "out")
    made, parts = tensors(tmp_path / "out"), [tensors(folder) for folder in models]
    for name, array in made.items():
        wanted = sum(w * part[name].astype(np.float64) for w, part in zip((0.5, 0.2, 0.3), parts, strict=True))
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted.astype(np.float32), err_msg=name)


def test_loads_in_sentence_transformers_and_crumb(models: list[Path], tmp_path: Path, texts: list[str]) -> None:
    out = soup([Ingredient(models[0], 0.75), Ingredient(models[1], 0.25)], tmp_path / "out")
    theirs = SentenceTransformer(str(out), device="cpu").encode(texts[:20], normalize_embeddings=True)
    ours = crumb.load(out, precision="float32").encode(texts[:20], truncation="end")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_weight_of_one_gives_the_model_back(models: list[Path], tmp_path: Path) -> None:
    soup([Ingredient(models[0], 1.0), Ingredient(models[1], 0.0)], tmp_path / "out")
    for name, array in tensors(models[0]).items():
        np.testing.assert_array_equal(tensors(tmp_path / "out")[name], array)


def test_half_precision_and_prefixed_names_are_read(models: list[Path], tmp_path: Path, texts: list[str]) -> None:
    half = write_model(tmp_path / "half", texts, seed=5)
    stored = {f"bert.{name}": array.astype(np.float16) for name, array in tensors(half).items()}
    save_file(stored, half / "model.safetensors")
    made = tensors(soup([Ingredient(models[0], 0.5), Ingredient(half, 0.5)], tmp_path / "out"))
    for name, array in tensors(models[0]).items():
        wanted = 0.5 * array.astype(np.float64) + 0.5 * stored[f"bert.{name}"].astype(np.float64)
        np.testing.assert_array_equal(made[name], wanted.astype(np.float32))


def test_a_base_with_fewer_position_rows(models: list[Path], tmp_path: Path, texts: list[str]) -> None:
    longer = write_model(tmp_path / "longer", texts, seed=7, max_position_embeddings=128)
    pair = [Ingredient(longer, 0.5), Ingredient(models[0], 0.5)]
    with pytest.raises(CheckpointError, match="64 position rows, .* has 128: say with positions"):
        soup(pair, tmp_path / "out")
    with pytest.raises(CheckpointError, match="128 position rows, .* has 64: put it first"):
        soup(pair[::-1], tmp_path / "out")
    made = tensors(soup(pair, tmp_path / "out", positions="tile"))
    name = "embeddings.position_embeddings.weight"
    tiled = np.concatenate([tensors(models[0])[name]] * 2)
    np.testing.assert_allclose(made[name], (tensors(longer)[name] + tiled) / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 3}, "layers is 3, but"),
        ({"hidden_act": "gelu_new"}, "activation is 'gelu_tanh'"),
        ({"words": 300}, "vocabulary is"),
    ],
)
def test_models_that_differ_are_refused(
    models: list[Path], tmp_path: Path, texts: list[str], change: dict[str, int], message: str
) -> None:
    other = write_model(tmp_path / "other", texts, **change)
    with pytest.raises(CheckpointError, match=message):
        soup([Ingredient(models[0], 0.5), Ingredient(other, 0.5)], tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_another_tokenizer_is_refused(models: list[Path], tmp_path: Path, texts: list[str]) -> None:
    other = write_model(tmp_path / "other", texts[::-1][:100])
    size = len(tensors(models[0])["embeddings.word_embeddings.weight"])
    assert len(tensors(other)["embeddings.word_embeddings.weight"]) == size, "both have as many words"
    with pytest.raises(CheckpointError, match="another tokenizer"):
        soup([Ingredient(models[0], 0.5), Ingredient(other, 0.5)], tmp_path / "out")


def test_wrong_use_is_said(models: list[Path], tmp_path: Path, run_crumb: Run) -> None:
    a, b = map(str, models[:2])
    out = str(tmp_path / "out")
    assert run_crumb("soup", a, "-o", out).returncode == 2
    assert run_crumb("soup", a, b, "--weights", "1", "-o", out).returncode == 2
    done = run_crumb("soup", a, b, "--weights", "0.5", "0.6", "-o", out)
    assert (done.returncode, done.stderr) == (1, "crumb soup: the weights 0.5 + 0.6 sum up to 1.1, expected 1\n")
    (tmp_path / "out").mkdir()
    done = run_crumb("soup", a, b, "-o", out)
    assert done.returncode == 1
    assert "is there already" in done.stderr
