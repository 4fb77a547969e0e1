"""`crumb similarity A B`: the cosine of two texts.

Enters: two texts. Leaves: a number on stdout. Knows nothing of files.
"""

from __future__ import annotations

import argparse
import json

from crumb.cli.options import add_model_arguments, add_prompt_arguments, load_model, warn_truncated

HELP = "The cosine similarity of two texts: 1 for the same direction, 0 for nothing in common."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb similarity`."""
    parser.add_argument("a", metavar="A", help="a text")
    parser.add_argument("b", metavar="B", help="another text")
    add_prompt_arguments(parser)
    parser.add_argument("--json", action="store_true", help='print {"similarity": …} in full precision')
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the cosine with 4 decimals, or as JSON."""
    import numpy as np

    model = load_model(args)
    vectors, report = model.encode(
        [args.a, args.b],
        prompt=args.prompt,
        prompt_name=args.prompt_name,
        truncation="end",
        progress=False,
        return_report=True,
    )
    warn_truncated(model, report)
    a, b = vectors.astype(np.float64)
    cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    print(json.dumps({"similarity": cosine}) if args.json else f"{cosine:z.4f}")
    return 0
