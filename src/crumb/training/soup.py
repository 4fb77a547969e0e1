"""Several models of one shape as one: their weights, interpolated.

Enters: model folders and a weight for each. Leaves: a model folder whose every tensor is the weighted sum (Wortsman et
al., "Model soups", arXiv 2203.05482; between a model and its base: WiSE-FT, arXiv 2109.01903). Sums are taken in
float64 and stored in float32. Needs no torch. Knows nothing of training.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from crumb.checkpoint import Contract, read_contract
from crumb.checkpoint.positions import extend_positions
from crumb.checkpoint.tensors import read_tensors
from crumb.errors import CheckpointError
from crumb.training.folders import whole

Arrays = dict[str, npt.NDArray[np.float32]]

# what another weighting of the same models leaves true; measurements (crumb.json) and the old card are not among them
SETTINGS = (
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Normalize/config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
POSITIONS = "embeddings.position_embeddings.weight"
_HEADS = ("pooler.", "cls.")  # of other tasks: no part of an embedding, and a soup leaves them out
_FREE = ("dtype", "context", "position_rows", "positions", "prompts", "default_prompt_name")


@dataclass(frozen=True)
class Ingredient:
    """One model of a soup: where it is, and its weight."""

    folder: Path
    weight: float


def soup(ingredients: Sequence[Ingredient], out: Path, *, positions: str | None = None) -> Path:
    """Writes the weighted sum of the models as a model folder; settings are the first one's.

    Args:
        ingredients: at least two; weights are finite and sum up to 1 (a weight may be negative: that extrapolates).
        out: the new folder, there whole or not at all.
        positions: how to give a model with fewer position rows than the first the rows it lacks (a base that was
            extended); see crumb.checkpoint.positions.

    Returns:
        `out`.

    Raises:
        ValueError: fewer than two models, or weights that do not sum up to 1.
        CheckpointError: the models differ in what must agree; the message names the setting, tensor or file.
        FileExistsError: `out` is there already.
    """
    if len(ingredients) < 2:
        raise ValueError(f"a soup needs at least two models, got {len(ingredients)}")
    total = math.fsum(ingredient.weight for ingredient in ingredients)
    if not abs(total - 1) < 1e-6:
        shown = " + ".join(f"{ingredient.weight:g}" for ingredient in ingredients)
        raise ValueError(f"the weights {shown} sum up to {total:g}, expected 1")
    if out.exists():
        raise FileExistsError(f"{out} is there already: choose another name")
    contracts = [read_contract(ingredient.folder) for ingredient in ingredients]
    for other in contracts[1:]:
        _agree(contracts[0], other)
    summed = _sum(contracts, [ingredient.weight for ingredient in ingredients], positions)
    root = ingredients[0].folder
    with whole(out) as partial:
        for name in SETTINGS:
            if (root / name).is_file():
                (partial / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(root / name, partial / name)
        transformer = partial / contracts[0].folder.resolve().relative_to(root.resolve())
        if transformer != partial:  # an old layout keeps the encoder in a folder of its own
            transformer.mkdir()
            for name in SETTINGS:
                if (contracts[0].folder / name).is_file() and "/" not in name:
                    shutil.copyfile(contracts[0].folder / name, transformer / name)
        _store_dtype(transformer / "config.json")
        save_file(summed, transformer / "model.safetensors", metadata={"format": "pt"})
        (partial / "README.md").write_text(_card(ingredients, contracts), encoding="utf-8")
        read_contract(partial)  # what we write must be what we read
    return out


def _agree(first: Contract, other: Contract) -> None:
    """Refuses models of which a sum would mean nothing."""
    ours, theirs = first.settings(), other.settings()
    for key, value in ours.items():
        if key not in _FREE and theirs[key] != value:
            raise CheckpointError(
                f"{other.folder}: {key} is {theirs[key]!r}, but {first.folder} has {value!r}: a soup is of models of "
                "one shape and one way of pooling"
            )
    if _tokenizer(first) != _tokenizer(other):
        raise CheckpointError(f"{other.folder} has another tokenizer than {first.folder}: its rows are other words")


def _tokenizer(contract: Contract) -> Any:
    """What decides a text's tokens, without what libraries write into the file when they pad or cut."""
    if contract.tokenizer_files != ("tokenizer.json",):
        return [(contract.folder / name).read_bytes() for name in contract.tokenizer_files]
    data = json.loads((contract.folder / "tokenizer.json").read_bytes())
    return {key: value for key, value in data.items() if key not in ("truncation", "padding")}


def _sum(contracts: Sequence[Contract], weights: Sequence[float], positions: str | None) -> Arrays:
    models = [_tensors(contract) for contract in contracts]
    rows = models[0][POSITIONS].shape[0]
    for contract, tensors in zip(contracts, models, strict=True):
        have = tensors[POSITIONS].shape[0]
        if have > rows or (have < rows and positions is None):
            advice = "put it first" if have > rows else "say with positions how to make the others"
            raise CheckpointError(
                f"{contract.folder} has {have} position rows, {contracts[0].folder} has {rows}: {advice}"
            )
        if have < rows and positions is not None:
            tensors[POSITIONS] = extend_positions(tensors[POSITIONS], rows, positions)
    summed: Arrays = {}
    for name, array in models[0].items():
        total = np.zeros(array.shape)
        for contract, tensors, weight in zip(contracts, models, weights, strict=True):
            if name not in tensors or tensors[name].shape != array.shape:
                got = f"has shape {tensors[name].shape}" if name in tensors else "is missing"
                raise CheckpointError(f"{contract.folder}: {name} {got}, expected {array.shape}")
            total += weight * tensors[name].astype(np.float64)
        summed[name] = total.astype(np.float32)
    for contract, tensors in zip(contracts, models, strict=True):
        for name in tensors.keys() - summed.keys():
            raise CheckpointError(f"{contract.folder} has the tensor {name}, which {contracts[0].folder} has not")
    return summed


def _tensors(contract: Contract) -> Arrays:
    """A model's tensors under BERT's plain names."""
    found: Arrays = {}
    for name, array in read_tensors(contract.folder, contract.weight_files).items():
        plain = name.removeprefix("bert.").replace(".gamma", ".weight").replace(".beta", ".bias")
        if array.dtype == np.float32 and not plain.startswith(_HEADS):
            found[plain] = array.astype(np.float32, copy=False)
    if POSITIONS not in found:
        raise CheckpointError(f"{contract.folder} has no tensor {POSITIONS}")
    return found


def _store_dtype(path: Path) -> None:
    """config.json says which dtype the weights have; now it is float32."""
    config = json.loads(path.read_bytes())
    for key in ("torch_dtype", "dtype"):
        if key in config:
            config[key] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _card(ingredients: Sequence[Ingredient], contracts: Sequence[Contract]) -> str:
    rows = "\n".join(
        f"| {contract.name} | {ingredient.weight:g} | `{contract.fingerprint}` |"
        for ingredient, contract in zip(ingredients, contracts, strict=True)
    )
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, crumb]
---

# A soup of {len(ingredients)} models

Every tensor is the weighted sum of theirs (arXiv 2203.05482), made by `crumb soup`. Its licence is what theirs allow.

| model | weight | fingerprint |
|---|---|---|
{rows}
"""
