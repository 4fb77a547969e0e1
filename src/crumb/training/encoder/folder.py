"""A trained model as a folder that others load.

Enters: tensors with BERT's names, the contract, and the folder the model came from. Leaves: a Hugging Face folder,
whole or not at all. Knows nothing of modules or training. What belongs to the weights that were (crumb.json's
calibration, a model card, exports to other formats) is not carried over.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from crumb.checkpoint import Contract

_TOKENIZER = ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def write_folder(target: Path, source: Path, contract: Contract, tensors: dict[str, Tensor]) -> Path:
    """Writes `tensors` and all that is needed to load them to `target`, and gives its path.

    Raises:
        FileExistsError: there is something at `target`.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already; save to another folder, or move it away first")
    target.parent.mkdir(parents=True, exist_ok=True)
    # a name of this process, beside the target: rename stays within one file system
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir()
        _write(staging, source, contract, tensors)
        for path in staging.rglob("*"):
            if path.is_file():
                _sync(path)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _write(into: Path, source: Path, contract: Contract, tensors: dict[str, Tensor]) -> None:
    # where the transformer lies within the folder ("" or "0_Transformer")
    inner = contract.folder.resolve().relative_to(source.resolve())
    home = into / inner
    home.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER:
        if (contract.folder / name).is_file():
            shutil.copyfile(contract.folder / name, home / name)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, home / "model.safetensors", {"format": "pt"}
    )

    config = _read(contract.folder / "config.json")
    config["max_position_embeddings"] = len(tensors["embeddings.position_embeddings.weight"])
    config["num_hidden_layers"] = contract.layers
    for key in ("torch_dtype", "dtype"):
        if key in config:
            config[key] = "float32"
    _dump(config, home / "config.json")

    sentence = _read(contract.folder / "sentence_bert_config.json")
    _dump(
        {"do_lower_case": contract.lowercase, **sentence, "max_seq_length": contract.context},
        home / "sentence_bert_config.json",
    )
    tokenizer = _read(home / "tokenizer_config.json")
    if "model_max_length" in tokenizer:
        _dump({**tokenizer, "model_max_length": contract.context}, home / "tokenizer_config.json")

    prompts = _read(source / "config_sentence_transformers.json")
    prompts["similarity_fn_name"] = contract.similarity
    _dump(prompts, into / "config_sentence_transformers.json")
    modules = source / "modules.json"
    if modules.is_file():
        listed: list[dict[str, Any]] = json.loads(modules.read_bytes())
        pooling = next(str(module["path"]) for module in listed if str(module["type"]).endswith("Pooling"))
    else:
        # what sentence-transformers and crumb take such a folder for; said, so that it stays so
        kinds = {"": "Transformer", "1_Pooling": "Pooling"}
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds.items())
        ]
        pooling = "1_Pooling"
    _dump(listed, into / "modules.json")
    (into / pooling).mkdir(parents=True, exist_ok=True)
    found = _read(source / pooling / "config.json")
    _dump(
        found or {"word_embedding_dimension": contract.hidden, "pooling_mode_mean_tokens": True},
        into / pooling / "config.json",
    )


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _dump(data: Any, path: Path) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
