"""The `crumb` command: which subcommands there are, and what an error looks like to a person at a terminal.

Enters: argv. Leaves: an exit code (0 done, 1 failed, 2 used wrongly, 130 interrupted). Each subcommand lives in a
module of its own with `HELP`, `add_arguments(parser)` and `run(args) -> int`, imported only when it is the one that was
asked for.
Data goes to stdout, progress and messages to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

# name -> (module, one line for `crumb --help`); the modules load lazily so that `crumb --help` stays instant
COMMANDS: dict[str, tuple[str, str]] = {
    "embed": ("crumb.cli.embed", "texts, JSONL, CSV or folders in; vectors as JSONL, .npy or Parquet out"),
    "similarity": ("crumb.cli.similarity", "cosine similarity of two texts"),
    "search": ("crumb.cli.search", "search files and folders, or a collection, by meaning"),
    "index": ("crumb.cli.index", "keep files and folders in a collection, and follow them as they change"),
    "collections": ("crumb.cli.collections", "list the collections on this machine"),
    "serve": ("crumb.cli.serve", "embeddings over HTTP, for Mixedbread's and OpenAI's clients"),
    "models": ("crumb.cli.models", "list the models crumb knows, or show one model's contract"),
    "pull": ("crumb.cli.pull", "bring a model to this machine"),
    "train": ("crumb.cli.train", "make a model from a recipe"),
    "soup": ("crumb.cli.soup", "interpolate models in weight space"),
    "calibrate": ("crumb.cli.calibrate", "measure a model's ranges over texts, for codes of one byte a dimension"),
    "eval": ("crumb.cli.eval", "how good a model is: retrieval sets and sentence pairs, beside published figures"),
    "mine": ("crumb.cli.mine", "hard negatives for training data, by words and by models"),
    "distill": ("crumb.cli.distill", "teachers' scores and vectors for training data"),
    "bench": ("crumb.cli.bench", "how fast this machine encodes, in every precision"),
    "doctor": ("crumb.cli.doctor", "this machine, the engine, the model, and a short self-test"),
}


def build_parser() -> argparse.ArgumentParser:
    """The parser that knows the commands' names only: for help, the version, and what is no command."""
    from crumb import __version__

    parser = argparse.ArgumentParser(
        prog="crumb", description="Small, fast and honest text embeddings on the machine you have."
    )
    parser.add_argument("--version", action="version", version=f"crumb {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def parse(words: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The module of the command that `words` begin with, and its arguments; SystemExit for help and wrong use."""
    if not words or words[0] not in COMMANDS:
        build_parser().parse_args(words)
    module = importlib.import_module(COMMANDS[words[0]][0])
    parser = argparse.ArgumentParser(prog=f"crumb {words[0]}", description=module.HELP)
    module.add_arguments(parser)
    # Intermixed: people write `crumb search QUERY --top-k 3 PATH`, and plain parsing ends the paths at the first
    # option.
    return module, parser.parse_intermixed_args(words[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code; never raises for what a user can cause."""
    from crumb.errors import CrumbError

    words = list(sys.argv[1:] if argv is None else argv)
    module, args = parse(words)
    try:
        code: int = module.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has left: not our failure. Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("crumb: interrupted", file=sys.stderr)
        return 130
    except (CrumbError, OSError, ValueError) as error:
        # ValueError and OSError here come from what the user named (a file, a number); programming errors are other
        # types.
        print(f"crumb {words[0]}: {error}", file=sys.stderr)
        return 1
    return code
