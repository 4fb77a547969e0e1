"""`crumb embed`: texts from anywhere in, vectors out.

Enters: words, files, folders or stdin. Leaves: JSON lines on stdout, or a file with its sidecar; a summary on stderr.
Reading, encoding and writing are done elsewhere; here is the order of things, and what a person is told.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from crumb.cli.options import add_model_arguments, add_prompt_arguments, load_model, positive_int, warn_truncated
from crumb.cli.readers import STDIN, Reader, Record, have_fields, windows
from crumb.errors import CrumbError, TruncationError

if TYPE_CHECKING:
    from crumb.cli.writers import Unfinished, Vectors, Writer
    from crumb.model import EncodeReport, Model

HELP = """Turns texts into vectors: words of the command line, lines of stdin or of a text file, JSON lines, CSV, or the
files below a folder. JSON lines go to stdout unless -o names a file."""

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".npy": "npy", ".parquet": "parquet"}
# What is read, encoded and written at a time; also what an interrupted run loses at most.
WINDOW_TEXTS = 1024
WINDOW_CHARACTERS = 4_000_000


class OutputError(CrumbError, OSError):
    """An output that must not be written; the message says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb embed`."""
    parser.set_defaults(_usage=parser.error)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text")
    inputs = parser.add_argument_group("input")
    inputs.add_argument(
        "--from",
        dest="inputs",
        nargs="+",
        action="extend",
        metavar="PATH",
        help=".jsonl, .ndjson, .csv, .tsv (each also .gz), text with one text a line, a folder with one text a file, "
        "or - for lines of stdin",
    )
    inputs.add_argument("--field", metavar="NAME", help="JSON field or CSV column that holds the text (default: text)")
    inputs.add_argument("--id-field", metavar="NAME", help="the same for the id (default: id, where there is one)")

    outputs = parser.add_argument_group("output")
    outputs.add_argument("-o", "--output", metavar="OUT", help="a file; its suffix tells the format")
    outputs.add_argument("--format", choices=sorted(set(FORMATS.values())), help="the format, whatever the suffix says")
    outputs.add_argument("--with-text", action="store_true", help="repeat the text beside its vector (jsonl, parquet)")
    existing = outputs.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue an interrupted jsonl output")
    existing.add_argument("--force", action="store_true", help="replace an existing output")

    vectors = parser.add_argument_group("vectors")
    add_prompt_arguments(vectors)
    vectors.add_argument(
        "--dimensions", type=positive_int, metavar="D", help="keep the first D components (Matryoshka)"
    )
    vectors.add_argument("--layers", type=positive_int, metavar="L", help="run the first L layers only")
    vectors.add_argument("--no-normalize", action="store_true", help="leave vectors at the length they come out with")
    vectors.add_argument(
        "--truncation",
        choices=("warn", "error", "start", "end"),
        default="warn",
        help="texts longer than the context: cut the end and warn (default), refuse, cut the start, cut the end",
    )
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Embeds everything; returns 0, or raises."""
    out, form = _output(args)
    reader = Reader("text" if args.field is None else args.field, args.id_field)
    records = _records(args, reader)
    if out is not None:
        _check_output(out, args.inputs or [], may_exist=args.resume or args.force)

    model = load_model(args)
    how = {
        "prompt": model.resolve_prompt(args.prompt, args.prompt_name),
        "dimensions": args.dimensions,
        "layers": args.layers,
        "normalized": not args.no_normalize,
        "truncation": args.truncation,
    }
    # Nothing to encode, but a setting that the model refuses is refused here, while there is no output yet.
    dimensions = int(model.encode([], **how).shape[1])
    settings = {
        "contract": model.contract.as_dict(),
        **how,
        "dimensions": dimensions,
        "precision": model.engine.precision,
        "with_text": args.with_text,
    }
    if form == "parquet":
        from crumb.cli.writers import import_pyarrow

        import_pyarrow()  # if it is missing, better now than after the first window
    target = _Target(out, form, settings, resume=args.resume)
    started = time.perf_counter()
    try:
        kept, new = _pump(model, how, records, target, len(args.texts))
    except KeyboardInterrupt:
        if target.resumable:
            print(f"crumb embed: {out} keeps what is done; the same command with --resume goes on", file=sys.stderr)
        raise
    seconds = time.perf_counter() - started

    if out is not None and form != "parquet":
        from crumb.cli.sidecar import write_sidecar

        write_sidecar(out, settings, complete=True, ids=dict(reader.id_sources), counts=asdict(kept + new))
    if args.truncation == "warn":
        warn_truncated(model, kept + new)
    _say_summary(reader, kept, new, seconds)
    return 0


def _pump(
    model: Model, how: dict[str, Any], records: Iterator[Record], target: _Target, expected: int
) -> tuple[EncodeReport, EncodeReport]:
    """Reads, encodes and writes; returns what an earlier run had done already, and what this one did."""
    from tqdm import tqdm

    from crumb.model import EncodeReport

    kept, new = EncodeReport(), EncodeReport()
    todo = windows(records, WINDOW_TEXTS, WINDOW_CHARACTERS)
    with (
        tqdm(total=expected or None, desc="embedding", unit=" texts", disable=None, delay=1.0) as bar,
        ExitStack() as stack,
    ):
        unfinished = target.unfinished(stack)
        if unfinished is not None:
            for window in todo:
                done = unfinished.match(window)
                kept += _counted(model, how["prompt"], window[:done])
                bar.update(done)
                if done < len(window):
                    todo = chain([window[done:]], todo)
                    break
            unfinished.end()
        encoded = _encoded(model, how, todo)
        head = list(islice(encoded, 1))  # before there is an output, so that an early error leaves none behind
        writer = target.writer(stack, unfinished)
        for window, vectors, report in chain(head, encoded):
            writer.write(window, vectors)
            new += report
            bar.update(len(window))
    return kept, new


def _encoded(
    model: Model, how: dict[str, Any], todo: Iterable[list[Record]]
) -> Iterator[tuple[list[Record], Vectors, EncodeReport]]:
    """Each window with its vectors, float32 [n, d], and what was cut."""
    # "warn" would warn once a window; the run warns once, at its end.
    how = {**how, "truncation": "end" if how["truncation"] == "warn" else how["truncation"]}
    for window in todo:
        try:
            vectors, report = model.encode(
                [record.text for record in window], **how, progress=False, return_report=True
            )
        except TruncationError as error:
            raise TruncationError(f"counted from the record with id {window[0].id!r}, {error}") from None
        yield window, vectors, report


def _counted(model: Model, prompt: str, records: list[Record]) -> EncodeReport:
    """The report that encoding `records` gave when an earlier run did it."""
    from crumb.model import EncodeReport

    lengths = [model.tokenizer.n_special + n for n in model.tokenizer.count([prompt + r.text for r in records])]
    cut = [length - model.context for length in lengths if length > model.context]
    return EncodeReport(len(records), sum(lengths) - sum(cut), len(cut), sum(cut))


def _output(args: argparse.Namespace) -> tuple[Path | None, str]:
    """The file to write (None for stdout) and its format; wrong use ends here with exit code 2."""
    usage: Callable[[str], NoReturn] = args._usage
    out = None if args.output in (None, "-") else Path(args.output)
    form = args.format or (FORMATS.get(out.suffix.lower()) if out else "jsonl")
    if form is None:
        usage(f"{out}: the suffix tells no format; expected {', '.join(FORMATS)}, or --format")
    if out is None and form != "jsonl":
        usage(f"--format {form} needs a file: -o OUT")
    if args.resume and (out is None or form != "jsonl"):
        usage("--resume needs a jsonl output: -o OUT.jsonl (others are written whole or not at all)")
    if args.with_text and form == "npy":
        usage("--with-text: a .npy array holds no texts; expected a jsonl or parquet output")
    return out, form


def _records(args: argparse.Namespace, reader: Reader) -> Iterator[Record]:
    usage: Callable[[str], NoReturn] = args._usage
    if args.texts and args.inputs:
        usage("texts on the command line and --from do not go together")
    named = any(option is not None for option in (args.field, args.id_field))
    if named and not have_fields(args.inputs or []):
        usage("--field and --id-field are for JSON lines and CSV, and there is no such input")
    if args.texts:
        return reader.words(args.texts)
    if args.inputs:
        if args.inputs.count(STDIN) > 1:
            usage("--from -: stdin can be read once only")
        return reader.read(args.inputs)
    if sys.stdin is None or sys.stdin.isatty():
        usage("nothing to embed: give texts, --from PATH, or lines on stdin")
    return reader.read([STDIN])


def _check_output(out: Path, inputs: Iterable[str], *, may_exist: bool) -> None:
    """Refuses an output that would destroy something, or that cannot be."""
    if out.exists():
        if not out.is_file():
            raise OutputError(f"{out}: not a regular file; give the name of one")
        if not may_exist:
            raise OutputError(f"{out}: exists already; --resume continues a jsonl output, --force replaces it")
    elif not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}")
    for name in inputs:
        source = Path(name).resolve()
        if name != STDIN and (source == out.resolve() or source in out.resolve().parents):
            raise OutputError(f"{out}: is, or lies in, the input {name}; write it elsewhere")


class _Target:
    """Where the vectors go: what stands there already, and how more is written."""

    def __init__(self, out: Path | None, form: str, settings: dict[str, Any], *, resume: bool) -> None:
        self.out, self.form, self.settings, self.resume = out, form, settings, resume
        self.resumable = False  # whether an interruption from here on leaves something to be continued

    def unfinished(self, stack: ExitStack) -> Unfinished | None:
        """What an interrupted run left, if it is to be continued and there is something."""
        from crumb.cli.sidecar import check_sidecar
        from crumb.cli.writers import Unfinished

        if not self.resume or self.out is None or not self.out.exists():
            return None
        check_sidecar(self.out, self.settings)
        return Unfinished(self.out, stack.enter_context(self.out.open("r+b")))

    def writer(self, stack: ExitStack, unfinished: Unfinished | None) -> Writer:
        """The writer, entered on `stack`; goes on behind `unfinished` if there is one."""
        from crumb.cli.sidecar import write_sidecar
        from crumb.cli.writers import JsonlWriter, NpyWriter, ParquetWriter

        with_text, dimensions = self.settings["with_text"], self.settings["dimensions"]
        if self.out is None:
            return JsonlWriter(sys.stdout.buffer, with_text=with_text)
        if self.form == "npy":
            return stack.enter_context(NpyWriter(self.out, dimensions))
        if self.form == "parquet":
            return stack.enter_context(ParquetWriter(self.out, dimensions, self.settings, with_text=with_text))
        if unfinished is None:
            self.out.unlink(missing_ok=True)
        # Before the first line, so that there are never lines of which nobody knows how they were made.
        write_sidecar(self.out, self.settings, complete=False)
        stream = stack.enter_context(self.out.open("xb")) if unfinished is None else unfinished.stream
        self.resumable = True
        return JsonlWriter(stream, with_text=with_text)


def _say_summary(reader: Reader, kept: EncodeReport, new: EncodeReport, seconds: float) -> None:
    total = kept + new
    there = f" ({kept.texts:,} of them there already)" if kept.texts else ""
    print(
        f"crumb embed: {total.texts:,} texts{there}, {total.tokens:,} tokens, {total.truncated_texts:,} truncated "
        f"({total.tokens_cut:,} tokens cut); {seconds:.2f} s, {new.tokens / seconds:,.0f} tokens/s",
        file=sys.stderr,
    )
    for what, count in reader.notes.items():
        if count:
            print(f"crumb embed: {count:,} {what}", file=sys.stderr)
