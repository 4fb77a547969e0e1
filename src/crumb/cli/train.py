"""`crumb train`: makes a model from a recipe.

Enters: a recipe and a folder. Leaves: the model in that folder, whose path is printed. What is done, and how, stands in
the recipe; this knows where the data lie, and what a signal means to whoever started it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import warnings
from pathlib import Path

from crumb.cli.options import positive_int

HELP = """Trains a model by a recipe: a YAML file that names the model to begin with, the data with their digests, and
every hyper-parameter. The result is a model folder with a card, the resolved recipe, logs and curves. Started by
torchrun, it trains in several processes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder; the model's, when done")
    parser.add_argument("--resume", action="store_true", help="go on where a run of the same recipe in DIR stopped")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where the recipe's relative paths begin (default: CRUMB_DATA, or else the recipe's folder)",
    )
    parser.add_argument("--steps", type=positive_int, metavar="N", help="no stage has more steps: for a first try")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another setting than the recipe's, such as stages[0].optimiser.rate=1e-4; may be repeated",
    )
    parser.add_argument(
        "--shard",
        action="store_true",
        help="under torchrun: spread the weights over the processes (FSDP), not only texts",
    )
    parser.add_argument("--no-tensorboard", action="store_true", help="no event files for TensorBoard")


def run(args: argparse.Namespace) -> int:
    """Trains, and prints the model's folder; after a signal, says how to go on."""
    from crumb.errors import MissingExtraError

    for name in ("torch", "yaml", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f'training needs {name}, which is not installed: pip install "crumb-embed[train]"')
    from crumb.training.check import prepare
    from crumb.training.distributed import world
    from crumb.training.memory import keep_freed_memory
    from crumb.training.recipe_file import load_recipe
    from crumb.training.trainer import Interrupted, Machine, interruptible, train

    keep_freed_memory()
    recipe = load_recipe(args.recipe, overrides=args.overrides, steps=args.steps)
    data = args.data or os.environ.get("CRUMB_DATA")
    prepared = prepare(recipe, (Path(data),) if data else (args.recipe.parent,))
    with interruptible() as interruption, world() as here, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"crumb train: warning: {message}", file=sys.stderr)
        machine = Machine(here, interruption, shard=args.shard, tensorboard=not args.no_tensorboard)
        try:
            model = train(prepared, args.out, machine, resume=args.resume)
        except Interrupted as stop:
            if here.leads:
                print(
                    "crumb train: stopped after a checkpoint; the same command with --resume goes on", file=sys.stderr
                )
            return 128 + stop.signal
        if here.leads:
            print(model)
    return 0
