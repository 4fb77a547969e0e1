"""`crumb soup`: interpolates models in weight space.

Enters: models and weights. Leaves: a model folder, whose path is printed. Knows nothing of how it is done: that is
`crumb.training.soup`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from crumb.cli.options import POSITIONS

HELP = """Writes a model whose weights are the weighted sum of others of the same shape: runs of one recipe, or a
trained model and its base, which often wins back what training has cost."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.set_defaults(_usage=parser.error)
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="two or more, names from `crumb models` or folders; settings are the first one's",
    )
    parser.add_argument(
        "--weights", nargs="+", type=_number, metavar="W", help="one a model, summing up to 1 (default: equal)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="the new folder")
    parser.add_argument(
        "--positions", choices=POSITIONS, help="how to give a model with fewer position rows those that it lacks"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the soup and prints its folder."""
    if len(args.models) < 2:
        args._usage(f"a soup needs at least two models, got {len(args.models)}")
    weights = args.weights or [1 / len(args.models)] * len(args.models)
    if len(weights) != len(args.models):
        args._usage(f"--weights: {len(weights)} weights for {len(args.models)} models")
    from crumb.store import resolve
    from crumb.training.soup import Ingredient, soup

    folders = [resolve(name, fetch=False) for name in args.models]
    made = soup(
        [Ingredient(folder, weight) for folder, weight in zip(folders, weights, strict=True)],
        args.out,
        positions=args.positions,
    )
    print(made)
    return 0


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number")
    return number
