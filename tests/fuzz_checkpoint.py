"""Damages a model folder and loads it: `python tests/fuzz_checkpoint.py [--seconds 60] [--seed 0]`.

Enters: a good folder. Leaves: nothing, or the damage that was answered by anything but vectors or an error of crumb's
own. tests/test_checkpoint.py runs a little of it each time.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import crumb
from crumb.checkpoint import read_contract
from crumb.errors import CheckpointError

ODD: list[Any] = [None, True, False, -1, 0, 1, 3, 2**31, 2**63, 1e308, "", "x", "\ud800", [], [[]], {}, {"a": 1}, 0.5]


def damage(folder: Path, dice: random.Random) -> str:
    """Damages one file of `folder` and says which."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = dice.choice(files)
    if path.suffix == ".json" and dice.random() < 0.7:
        try:
            value = json.loads(path.read_bytes())
        except ValueError:  # damaged before
            value = {}
        path.write_text(json.dumps(_changed(value, dice)))
        return f"{path.name}: a value"
    data = bytearray(path.read_bytes())
    reach = len(data)
    if path.suffix == ".safetensors" and dice.random() < 0.8:
        reach = 8 + int.from_bytes(data[:8], "little")  # the header
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(reach + 1)
        data[at : at + dice.randint(0, 9)] = dice.randbytes(dice.randint(0, 9))
    if dice.random() < 0.2:
        del data[dice.randrange(len(data) + 1) :]
    path.write_bytes(data)
    return f"{path.name}: bytes"


def _changed(value: Any, dice: random.Random) -> Any:
    """`value` with one thing in it replaced, removed or added."""
    if isinstance(value, dict | list) and value and dice.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = dice.choice(keys)
        what = dice.random()
        if what < 0.15:
            del value[key]
        elif what < 0.25 and isinstance(value, dict):
            value[dice.choice(["", "type", str(dice.random())])] = dice.choice(ODD)
        else:
            value[key] = _changed(value[key], dice)
        return value
    return dice.choice(ODD)


def attempt(folder: Path) -> bool:
    """Loads `folder` and encodes; True for vectors, False for an error of crumb's own, which every other is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = crumb.Model(read_contract(folder))
        except (CheckpointError, ValueError):  # ValueError: weights that are not finite, a context out of range
            return False
        try:
            model.encode(["the cat sat", "", "query: the cats " * 30])
        except ValueError:  # finite weights whose vector is not
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a small model folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    seed, loaded = args.seed, 0
    with tempfile.TemporaryDirectory() as work:
        while time.monotonic() < end:
            folder = Path(work) / "model"
            shutil.copytree(args.folder, folder)
            dice = random.Random(seed)
            what = [damage(folder, dice) for _ in range(dice.randint(1, 2))]
            try:
                loaded += attempt(folder)
            except Exception:
                print(f"seed {seed} ({'; '.join(what)}):", file=sys.stderr)
                raise
            shutil.rmtree(folder)
            seed += 1
    print(f"{seed - args.seed} folders, {loaded} loaded all the same, every other refused by name")


if __name__ == "__main__":
    main()
