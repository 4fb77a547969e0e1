"""Reads a folder's configuration files and resolves them into one contract.

Enters: a Hugging Face folder of the BERT family. Leaves: a `Contract`. Knows the files' formats, old and new; does not
read tensors. Order of trust, most trusted first: modules.json and what it lists, 1_Pooling/config.json, Normalize, the
prompts of config_sentence_transformers.json, sentence_bert_config.json, the tokenizer, config.json. What the engine
cannot do is refused by name: a setting that were ignored would give wrong vectors without a word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crumb.checkpoint.contract import Contract
from crumb.checkpoint.tensors import find_weights, stored_dtype
from crumb.errors import CheckpointError

# sentence-transformers' older boolean keys, in the order in which it concatenates
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_POOLING_NAMES = {"mean_sqrt_len_tokens": "mean_sqrt_len"}
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len", "lasttoken")

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}

# transformers writes 1e30 for "no limit"
_NO_LIMIT = 10**9


def read_contract(folder: Path, name: str | None = None) -> Contract:
    """The contract of the model in `folder`, called `name` (by default the folder's own name).

    Raises:
        CheckpointError: a file is missing or broken, or asks for what the engine does not do.
    """
    folder = Path(folder)
    origins: dict[str, str] = {}
    modules = _modules(folder, origins)
    transformer = modules["Transformer"]
    config = _config(folder, transformer, origins)
    shape = _shape(config, transformer, origins)
    pooling, include_prompt = _pooling(folder, modules, shape["hidden"], origins)
    weight_files = find_weights(folder / transformer)
    sentence = _optional(folder, f"{transformer}sentence_bert_config.json") or {}
    for key in sorted(set(sentence) & {"query_length", "document_length", "query_prefix", "document_prefix"}):
        raise CheckpointError(f"{folder}: sentence_bert_config.json sets {key!r}: a multi-vector model, not run yet")
    lowercase = bool(sentence.get("do_lower_case", False))
    origins["lowercase"] = (
        "sentence_bert_config.json" if "do_lower_case" in sentence else "default: the tokenizer decides"
    )
    origins["dtype"] = weight_files[0]
    origins["normalize"] = "modules.json" if (folder / "modules.json").is_file() else "default: no modules.json"
    origins["positions"] = "config.json"
    prompts, default_prompt, similarity = _prompts(folder, origins)
    return Contract(
        name=name or folder.resolve().name,
        folder=folder / transformer,
        weight_files=weight_files,
        tokenizer_files=_tokenizer_files(folder / transformer),
        dtype=stored_dtype(folder / transformer / weight_files[0]),
        pooling=pooling,
        include_prompt=include_prompt,
        normalize="Normalize" in modules,
        lowercase=lowercase,
        context=_context(folder, transformer, sentence, shape["position_rows"], origins),
        positions="checkpoint",
        prompts=prompts,
        default_prompt_name=default_prompt,
        similarity=similarity,
        origins=origins,
        **shape,
    )


def _load(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} has no {name}: expected a Hugging Face model folder (config.json, tokenizer.json, "
            "model.safetensors)"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} should hold a JSON object, but holds a {type(data).__name__}")
    return data


def _optional(folder: Path, name: str) -> dict[str, Any] | None:
    return _load(folder, name) if (folder / name).is_file() else None


def _modules(folder: Path, origins: dict[str, str]) -> dict[str, str]:
    """Module kind to its folder as a prefix ("" or "1_Pooling/"), in order."""
    path = folder / "modules.json"
    if not path.is_file():
        origins["modules"] = "default: Transformer and mean Pooling (no modules.json)"
        return {"Transformer": "", "Pooling": "1_Pooling/"}
    try:
        listed = json.loads(path.read_bytes())
        found = {str(m["type"]).rsplit(".", 1)[-1]: str(m["path"]).rstrip("/") for m in listed}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} should list modules with a type and a path: {error!r}") from None
    kinds = list(found)
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or len(listed) != len(kinds):
        raise CheckpointError(
            f"{path} lists {', '.join(kinds) or 'nothing'}; crumb runs Transformer, Pooling and, if wanted, Normalize"
        )
    for kind, where in found.items():
        if ".." in Path(where).parts or Path(where).is_absolute():
            raise CheckpointError(f"{path}: the path of {kind}, {where!r}, leaves the model folder")
    return {kind: f"{where}/" if where else "" for kind, where in found.items()}


def _config(folder: Path, transformer: str, origins: dict[str, str]) -> dict[str, Any]:
    config = _load(folder, f"{transformer}config.json")
    kind = config.get("model_type", "bert")
    if kind != "bert":
        raise CheckpointError(f"{folder}: config.json has model_type {kind!r}; crumb runs 'bert' so far")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"{folder}: position_embedding_type {config['position_embedding_type']!r}; crumb runs 'absolute'"
        )
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            raise CheckpointError(f"{folder}: config.json sets {key}; crumb runs encoders")
    return config


def _shape(config: dict[str, Any], transformer: str, origins: dict[str, str]) -> dict[str, Any]:
    where = f"{transformer}config.json"

    def whole(key: str) -> int:
        value = config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{where}: {key} is {value!r}, expected a whole number of at least 1")
        return value

    shape: dict[str, Any] = {
        "hidden": whole("hidden_size"),
        "layers": whole("num_hidden_layers"),
        "heads": whole("num_attention_heads"),
        "ffn": whole("intermediate_size"),
        "vocabulary": whole("vocab_size"),
        "position_rows": whole("max_position_embeddings"),
    }
    if shape["hidden"] % shape["heads"]:
        raise CheckpointError(
            f"{where}: hidden_size {shape['hidden']} is no multiple of {shape['heads']} attention heads"
        )
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise CheckpointError(f"{where}: hidden_act {activation!r}; crumb runs {', '.join(sorted(_ACTIVATIONS))}")
    epsilon = config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, int | float) or isinstance(epsilon, bool) or not 0 < epsilon < 1:
        raise CheckpointError(f"{where}: layer_norm_eps is {epsilon!r}, expected a number between 0 and 1")
    shape["activation"] = _ACTIVATIONS[activation]
    shape["layer_norm_epsilon"] = float(epsilon)
    origins.update(dict.fromkeys(shape, where))
    return shape


def _pooling(
    folder: Path, modules: dict[str, str], hidden: int, origins: dict[str, str]
) -> tuple[tuple[str, ...], bool]:
    name = f"{modules['Pooling']}config.json"
    data = _optional(folder, name)
    if data is None:
        if (folder / "modules.json").is_file():
            raise CheckpointError(f"{folder}: modules.json lists Pooling, but there is no {name}")
        origins["pooling"] = origins["include_prompt"] = f"default: no {name}"
        return ("mean",), True
    if "pooling_mode" in data:
        listed = data["pooling_mode"]
        modes = list(listed) if isinstance(listed, list) else [listed]
    else:
        modes = [mode for key, mode in _POOLING_FLAGS.items() if data.get(key)]
    modes = [_POOLING_NAMES.get(mode, mode) if isinstance(mode, str) else mode for mode in modes]
    unknown = [mode for mode in modes if mode not in POOLINGS]
    if unknown or not modes:
        raise CheckpointError(
            f"{folder / name} asks for the pooling {', '.join(map(repr, unknown)) or '(none)'}; "
            f"crumb has {', '.join(POOLINGS)}"
        )
    size = data.get("embedding_dimension", data.get("word_embedding_dimension", hidden))
    if size != hidden:
        raise CheckpointError(f"{folder / name} expects {size} dimensions, but config.json has hidden_size {hidden}")
    origins["pooling"] = name
    origins["include_prompt"] = name if "include_prompt" in data else f"default: not in {name}"
    return tuple(modes), bool(data.get("include_prompt", True))


def _tokenizer_files(folder: Path) -> tuple[str, ...]:
    if (folder / "tokenizer.json").is_file():
        return ("tokenizer.json",)
    if (folder / "vocab.txt").is_file():
        return tuple(name for name in ("vocab.txt", "tokenizer_config.json") if (folder / name).is_file())
    raise CheckpointError(f"{folder} has neither tokenizer.json nor vocab.txt: the texts cannot be tokenised")


def _context(folder: Path, transformer: str, sentence: dict[str, Any], rows: int, origins: dict[str, str]) -> int:
    tokenizer = _optional(folder, f"{transformer}tokenizer_config.json") or {}
    candidates = [
        (sentence.get("max_seq_length"), "sentence_bert_config.json"),
        (tokenizer.get("model_max_length"), "tokenizer_config.json"),
        (rows, "config.json"),
    ]
    for value, where in candidates:
        if value is None or (isinstance(value, int | float) and value >= _NO_LIMIT):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 3:
            raise CheckpointError(f"{folder}: {where} gives a longest input of {value!r} tokens; expected at least 3")
        origins["context"] = (
            where if value <= rows else f"config.json ({where} says {value}, but there are {rows} rows)"
        )
        return min(value, rows)
    raise CheckpointError(f"{folder}: no file gives the longest input")


def _prompts(folder: Path, origins: dict[str, str]) -> tuple[dict[str, str], str | None, str]:
    name = "config_sentence_transformers.json"
    data = _optional(folder, name) or {}
    prompts = data.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str) for v in prompts.values()):
        raise CheckpointError(f"{folder / name}: prompts should map names to texts, got {prompts!r}")
    default = data.get("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise CheckpointError(
            f"{folder / name}: default_prompt_name {default!r} is not among the prompts: {', '.join(prompts) or 'none'}"
        )
    for key, field in (("prompts", "prompts"), ("default_prompt_name", "default_prompt_name")):
        origins[field] = name if data.get(key) is not None else f"default: not in {name}"
    similarity = data.get("similarity_fn_name") or "cosine"
    origins["similarity"] = name if data.get("similarity_fn_name") else f"default: not in {name}"
    return dict(prompts), default, str(similarity)
