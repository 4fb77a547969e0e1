"""`crumb calibrate`: measures the range of a model's dimensions over texts, for codes of one byte a dimension.

Enters: a model and texts. Leaves: the section "calibration" of the model folder's crumb.json, and a line on stderr.
Reading, encoding and measuring are done elsewhere.
"""

from __future__ import annotations

import argparse
import sys

from crumb.cli.options import add_model_arguments, add_prompt_arguments, load_model, warn_truncated
from crumb.cli.readers import STDIN, Reader, have_fields, windows

HELP = """Measures the least and the greatest value of every dimension over texts like yours and keeps them in the
model's folder: int8 and uint8 codes need them. The same texts give the same ranges; what was measured before is
replaced."""

WINDOW_TEXTS = 1024
WINDOW_CHARACTERS = 4_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb calibrate`."""
    parser.set_defaults(_usage=parser.error)
    parser.add_argument("model", metavar="MODEL", help="a name from `crumb models`, a folder or a Hub id")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="TEXTS",
        help=".jsonl, .ndjson, .csv, .tsv (each also .gz), text with one text a line, a folder with one text a file, "
        "or - for lines of stdin; at least 100 texts, better some thousand",
    )
    parser.add_argument("--field", metavar="NAME", help="JSON field or CSV column that holds the text (default: text)")
    add_prompt_arguments(parser)
    add_model_arguments(parser, name=False)


def run(args: argparse.Namespace) -> int:
    """Measures and writes; returns 0, or raises."""
    if args.field is not None and not have_fields(args.inputs):
        args._usage("--field is for JSON lines and CSV, and there is no such input")
    if args.inputs.count(STDIN) > 1:
        args._usage("-: stdin can be read once only")
    from tqdm import tqdm

    from crumb.checkpoint.extras import CALIBRATION, write_section
    from crumb.model import EncodeReport
    from crumb.vectors.calibrate import Calibrator

    reader = Reader("text" if args.field is None else args.field)
    records = reader.read(args.inputs)
    model = load_model(args)
    seen, total = Calibrator(model.dimensions), EncodeReport()
    with tqdm(desc="embedding", unit=" texts", disable=None, delay=1.0) as bar:
        for window in windows(records, WINDOW_TEXTS, WINDOW_CHARACTERS):
            vectors, report = model.encode(
                [record.text for record in window],
                prompt=args.prompt,
                prompt_name=args.prompt_name,
                truncation="end",
                progress=False,
                return_report=True,
            )
            seen.add(vectors)
            total += report
            bar.update(len(window))
    path = write_section(model.contract.folder, CALIBRATION, seen.calibration().as_dict())
    warn_truncated(model, total)
    print(
        f"crumb calibrate: wrote the ranges of {model.dimensions} dimensions over {total.texts:,} texts to {path}",
        file=sys.stderr,
    )
    for what, count in reader.notes.items():
        if count:
            print(f"crumb calibrate: {count:,} {what}", file=sys.stderr)
    return 0
