"""A run's state on disk: enough to go on as if nothing had happened.

Enters: named groups of tensors and plain JSON data. Leaves: a folder of safetensors and one JSON file, written whole or
not at all, and the same read again. Knows nothing of what the tensors mean. There are no pickles.

Random numbers are no part of it: what a step draws is decided by the seed and the step's number (trainer/seeds.py).
A checkpoint without any group is the beginning of a stage: its weights are the result of the stage before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from crumb.errors import TrainingError
from crumb.training.folders import remove, whole

STATE = "state.json"
FORMAT = 1
_NAME = re.compile(r"stage(\d{2})-step(\d{8})")


class Place(NamedTuple):
    """Where in a run: the stage, from 0, and the number of its steps that are done."""

    stage: int
    step: int

    def __str__(self) -> str:
        return f"stage{self.stage:02d}-step{self.step:08d}"


Groups = Mapping[str, Mapping[str, Tensor]]


def write_checkpoint(folder: Path, place: Place, groups: Groups, state: Mapping[str, Any], *, keep: int) -> Path:
    """Writes `folder`/stageSS-stepNNNNNNNN and removes all but the last `keep` checkpoints.

    Args:
        folder: where the run's checkpoints are.
        place: where the run is.
        groups: file name (without its ending) to tensors by name; tensors may be on any device.
        state: plain JSON data.
        keep: checkpoints to leave, this one included; at least 1.

    Returns:
        The checkpoint's folder. If one of that name was there, it is replaced.
    """
    path = folder / str(place)
    remove(path)  # a run that was resumed at an older checkpoint comes by again
    with whole(path) as partial:
        for name, tensors in groups.items():
            save_file(
                {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
                partial / f"{name}.safetensors",
            )
        data = {"format": FORMAT, "groups": sorted(groups), **state}
        (partial / STATE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for _, old in checkpoints(folder)[:-keep]:
        remove(old)
    return path


def checkpoints(folder: Path) -> list[tuple[Place, Path]]:
    """The whole checkpoints in `folder`, oldest first."""
    found = []
    for path in folder.glob("stage*") if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and (path / STATE).is_file():
            found.append((Place(int(match[1]), int(match[2])), path))
    return sorted(found)


def latest(folder: Path) -> tuple[Place, Path] | None:
    """The newest whole checkpoint; None where there is none."""
    found = checkpoints(folder)
    return found[-1] if found else None


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups of tensors, on the CPU, and the state that `write_checkpoint` was given.

    Raises:
        TrainingError: a file is missing or damaged, or of another version of crumb.
    """
    try:
        state: dict[str, Any] = json.loads((path / STATE).read_bytes())
        if state.pop("format") != FORMAT:
            raise TrainingError(f"{path} was written by another version of crumb: begin anew in another folder")
        groups = {name: load_file(path / f"{name}.safetensors") for name in state.pop("groups")}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error}): remove it to go on from the checkpoint before it"
        ) from None
    return groups, state
