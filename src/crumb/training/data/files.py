"""Records of a file, whatever its format, and the file's digest.

Enters: the path of a file or folder. Leaves: a stream of `Record`, one for each row that the file has, readable or not.
Knows nothing of what a row means.

What is read: JSON lines (`.jsonl`, `.ndjson`), tables with a header (`.csv` with quotes as RFC 4180 has them, `.tsv`
without any quoting, as the STS benchmark is written), each also `.gz`; Parquet; a folder that
`datasets.Dataset.save_to_disk` wrote. A blank line is no record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crumb.errors import CrumbError, MissingExtraError
from crumb.text.lines import DELIMITERS, JSON_SUFFIXES, cells, numbered, opened, suffix_of

ARROW_ROWS = 1024  # rows of Parquet or Arrow that are Python objects at a time
_MIB = 1 << 20


class DataError(CrumbError, ValueError):
    """Training data that cannot be used; the message names the file, what was found, and what was expected."""


class Record(NamedTuple):
    """One row of a file.

    Attributes:
        line: its line or, where a format has no lines, its number, from 1.
        fields: column to value; None where the row cannot be read at all.
        trouble: why not.
    """

    line: int
    fields: Mapping[str, Any] | None
    trouble: str = ""


def read_records(path: Path, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """The records of `path`, in its order.

    Args:
        path: a file or folder of a format named above; its suffix tells which.
        columns: those that are wanted, where a format can leave out the others; None for all.

    Raises:
        DataError: no such path, a format that is not read, a damaged Parquet file, or a table whose header repeats a
            name.
        DamagedFileError: damaged gzip data, or a table that is not one.
        MissingExtraError: Parquet without pyarrow, a folder without `datasets`.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        return _dataset(path, columns)
    suffix = suffix_of(path)
    if suffix in JSON_SUFFIXES:
        return _json_lines(path)
    if suffix in DELIMITERS:
        return _table(path, DELIMITERS[suffix])
    if path.suffix.lower() == ".parquet":
        return _parquet(path, columns)
    raise DataError(
        f"{path}: {suffix or 'a file without suffix'} is not read; expected .jsonl, .ndjson, .csv or .tsv (each also "
        ".gz), .parquet, or a folder that datasets' save_to_disk wrote"
    )


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder's, of every file's relative name and digest, in the order of names.

    Raises:
        DataError: no such path.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    total = hashlib.sha256()
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
        return total.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(_MIB):
            total.update(block)
    return total.hexdigest()


def data_name(path: Path) -> str:
    """What data at `path` is called: the file's name without suffixes, or its folder's where that says more."""
    stem = path.name.split(".")[0]
    return path.resolve().parent.name if stem in ("pairs", "train", "data", "triplets") else stem


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as stream:
        yield from numbered(path, stream)


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)  # bytes: refuses what is not UTF-8
        except UnicodeDecodeError:
            yield Record(number, None, "not UTF-8")
        except (RecursionError, ValueError):
            yield Record(number, None, "not JSON")
        else:
            yield Record(number, value) if isinstance(value, dict) else Record(number, None, "not an object")


def _table(path: Path, delimiter: str) -> Iterator[Record]:
    # a byte that is no UTF-8 becomes half a surrogate pair, which is found and counted where texts are checked
    text = (line.decode("utf-8", "surrogateescape") for _, line in _lines(path))
    header: list[str] | None = None
    for line, row in cells(path, text, delimiter, quoted=delimiter == ","):
        if not row:
            continue
        if header is None:
            header = row
            if len(set(header)) != len(header):
                raise DataError(f"{path}:{line}: the header repeats a name: {', '.join(map(repr, header))}")
        elif len(row) != len(header):
            yield Record(line, None, "not as many cells as the header has")
        else:
            yield Record(line, dict(zip(header, row, strict=True)))


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Record]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f'{path}: Parquet needs pyarrow, which cannot be imported ({error}): pip install "crumb-embed[train]"'
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(str(path)) as file:
            wanted = _wanted(path, file.schema_arrow.names, columns)
            batches = file.iter_batches(batch_size=ARROW_ROWS, columns=wanted)
            yield from _rows(batch.to_pylist() for batch in batches)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error})") from None


def _dataset(path: Path, columns: Sequence[str] | None) -> Iterator[Record]:
    if (path / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(child.name for child in path.iterdir() if child.is_dir()))
        raise DataError(f"{path}: a dataset of several splits ({splits}); give one of them, such as {path}/train")
    if not (path / "state.json").is_file():
        raise DataError(f"{path}: a folder without state.json; expected what datasets' save_to_disk wrote, or a file")
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: a saved dataset needs the library that wrote it, which cannot be imported ({error}): "
            "pip install datasets"
        ) from None
    found = datasets.load_from_disk(str(path))
    wanted = _wanted(path, found.column_names, columns)
    if wanted is not None:
        found = found.select_columns(wanted)
    yield from _rows(found[start : start + ARROW_ROWS] for start in range(0, len(found), ARROW_ROWS))


def _wanted(path: Path, there: Sequence[str], columns: Sequence[str] | None) -> list[str] | None:
    """Those of `columns` that are there; a column that is missing is missed where rows are read."""
    return None if columns is None else [name for name in columns if name in there]


def _rows(batches: Iterable[Any]) -> Iterator[Record]:
    """Records of batches of rows: lists of dicts, or a dict of columns."""
    number = 0
    for batch in batches:
        rows = batch
        if isinstance(batch, dict):
            rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        for row in rows:
            number += 1
            yield Record(number, row)
