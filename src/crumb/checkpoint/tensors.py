"""Tensors of a safetensors checkpoint as float32 arrays, mapped from the file where they can be.

Enters: the files of a folder. Leaves: arrays by name. Knows nothing of what the names mean. The safetensors library
checks every header; the bytes are then mapped, because its numpy face copies them and does not know bfloat16.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from crumb.errors import CheckpointError

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WEIGHTS = "model.safetensors"


def find_weights(folder: Path) -> tuple[str, ...]:
    """The safetensors files of `folder`: one, or the shards that model.safetensors.index.json names.

    Raises:
        CheckpointError: there is none (a pickle is never read), a shard is missing, or the index is broken.
    """
    if (folder / _WEIGHTS).is_file():
        return (_WEIGHTS,)
    index = folder / f"{_WEIGHTS}.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{index} should map tensor names to files under weight_map: {error!r}") from None
        for name in names:
            if Path(name).name != name or not (folder / name).is_file():
                raise CheckpointError(f"{index} names the file {name!r}, which is not in the folder")
        if names:
            return tuple(names)
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    hint = (
        f"; {pickles[0]} is a pickle, which crumb never opens: save the model again as safetensors" if pickles else ""
    )
    raise CheckpointError(f"{folder} has no {_WEIGHTS}{hint}")


def stored_dtype(path: Path) -> str:
    """The dtype of the largest tensor in `path`: "float32", "float16" or "bfloat16".

    Raises:
        CheckpointError: the file is no safetensors file, or holds something else.
    """
    header = _header(path)
    largest = max(header.values(), key=lambda entry: entry[2] - entry[1], default=("none", 0, 0, ()))
    return _dtype(largest[0], path, "the largest tensor")


def read_tensors(folder: Path, files: tuple[str, ...]) -> dict[str, npt.NDArray[np.generic]]:
    """Every tensor of `files` by name: float32 mapped from disk, float16 and bfloat16 widened, integers as bytes.

    Raises:
        CheckpointError: a file is damaged, a dtype unknown, or a name occurs twice.
    """
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for file in files:
        path = folder / file
        header = _header(path)
        data = np.memmap(path, dtype=np.uint8, mode="r")
        base = 8 + int(struct.unpack("<Q", data[:8].tobytes())[0])
        for name, (kind, begin, end, shape) in header.items():
            if name in tensors:
                raise CheckpointError(f"{path}: the tensor {name!r} is in two files")
            raw = np.asarray(data[base + begin : base + end])
            if kind.startswith(("I", "U")):  # position_ids and the like: kept out of the arithmetic, named in errors
                tensors[name] = raw
                continue
            tensors[name] = _as_float32(raw, _dtype(kind, path, name)).reshape(shape)
    return tensors


def is_mapped(array: npt.NDArray[np.generic]) -> bool:
    """Whether the array's memory is a file's that is mapped, and not a copy of it."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def _header(path: Path) -> dict[str, tuple[str, int, int, tuple[int, ...]]]:
    """Name to (dtype, begin, end, shape), after safetensors itself has accepted the file."""
    try:
        with safe_open(path, framework="np"):
            pass
        with path.open("rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(size))
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None
    header.pop("__metadata__", None)
    return {name: (e["dtype"], *e["data_offsets"], tuple(e["shape"])) for name, e in header.items()}


def _dtype(kind: str, path: Path, what: str) -> str:
    if kind not in _DTYPES:
        raise CheckpointError(f"{path}: {what} has dtype {kind}; crumb reads {', '.join(sorted(_DTYPES))}")
    return _DTYPES[kind]


def _as_float32(raw: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[np.float32]:
    if dtype == "float32":
        return raw.view("<f4")
    if dtype == "float16":
        return raw.view("<f2").astype(np.float32)
    # bfloat16 is the upper half of a float32
    return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
