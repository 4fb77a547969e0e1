"""The options that several commands share: which model, how it reads long texts, how many threads, which files.

Enters: an `argparse` parser, later the parsed arguments. Leaves: a loaded `Model`, and the warning about cut texts in
the command line's words. Knows nothing of what is done with the vectors.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crumb.model import EncodeReport, Model

# crumb.checkpoint.positions.METHODS and crumb.engine.precision.PRECISIONS, without loading numpy to say `--help`
POSITIONS = ("tile", "interpolate", "hierarchical")
PRECISIONS = ("auto", "float32", "bf16", "int8")
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def positive_int(word: str) -> int:
    """An `argparse` type: a whole number of at least 1. Anything else is wrong use (exit code 2)."""
    try:
        number = int(word)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number of at least 1")
    return number


def add_model_arguments(parser: argparse.ArgumentParser, *, name: bool = True) -> None:
    """Adds `--model`, `--context`, `--positions`, `--precision` and `--threads`, for `load_model` to read.

    Without `name` there is no `--model`: the command takes `model` some other way.
    """
    group = parser.add_argument_group("model")
    if name:
        group.add_argument(
            "--model",
            metavar="NAME",
            help="a name from `crumb models`, a folder or a Hub id (default: all-MiniLM-L6-v2)",
        )
    group.add_argument(
        "--context", type=positive_int, metavar="N", help="tokens of a text that are read (default: the model's own)"
    )
    group.add_argument(
        "--positions", choices=POSITIONS, help="how to go past the positions that the model was trained with"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="what is multiplied: int8 is fastest and least exact (default: auto, see `crumb doctor`)",
    )
    group.add_argument(
        "--threads", type=positive_int, metavar="N", help="threads of the engine (default: as the machine allows)"
    )


def add_prompt_arguments(parser: argparse._ActionsContainer) -> None:
    """Adds `--prompt` and `--prompt-name`, of which at most one may be given."""
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", metavar="TEXT", help="put before every text")
    prompts.add_argument("--prompt-name", metavar="NAME", help="the prompt that the model knows under this name")


def load_model(args: argparse.Namespace) -> Model:
    """The model that the arguments of `add_model_arguments` ask for.

    Raises:
        CrumbError: the model is unknown, unreadable or not on this machine and cannot be fetched.
    """
    # Here and not above: `crumb embed --help` must not load numpy and the engine.
    from crumb.loading import load

    return load(
        args.model, context=args.context, positions=args.positions, precision=args.precision, threads=args.threads
    )


def load_asked_model(args: argparse.Namespace) -> Model | None:
    """The model that the arguments ask for; None where they ask for nothing, and a collection's own is meant."""
    if any((args.model, args.context, args.positions, args.precision != "auto")):
        return load_model(args)
    if args.threads is not None:
        os.environ["CRUMB_THREADS"] = str(args.threads)  # for whoever loads it
    return None


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--glob`, `--max-file-size` and `--no-ignore`."""
    files = parser.add_argument_group("files")
    files.add_argument(
        "--glob",
        dest="globs",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only files that match, as in a .gitignore; !PATTERN leaves out; may be repeated, the last one decides",
    )
    files.add_argument(
        "--max-file-size",
        type=file_size,
        metavar="SIZE",
        help="pass over larger files: bytes, or 500kB, 5MB (default: 5MB, of PDF and DOCX 50MB)",
    )
    files.add_argument("--no-ignore", action="store_true", help="also what git ignores and folders that tools make")


def file_size(word: str) -> int:
    """An `argparse` type: bytes, or a number with a unit of 1000, 1000 kB or 1000 MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", word.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a size such as 500000, 500kB or 5MB")
    return size


def warn_truncated(model: Model, report: EncodeReport) -> None:
    """One line on stderr if texts were cut at their end; nothing otherwise."""
    if report.truncated_texts:
        print(
            f"crumb: warning: {report.truncated_texts} of {report.texts} texts were longer than the context of "
            f"{model.context} tokens and lost {report.tokens_cut} tokens at their end; split them, or ask for more "
            "with --context",
            file=sys.stderr,
        )
