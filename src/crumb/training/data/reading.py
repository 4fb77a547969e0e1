"""A source's rows, read whole, and an account of the bad ones.

Enters: a `Source`. Leaves: `Rows`; a warning, or an error where too many rows are bad. Files, shapes and where rows lie
in memory are elsewhere.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from crumb.training.data.files import DataError, Record, digest, read_records
from crumb.training.data.rows import Rows
from crumb.training.data.shapes import BadRowError, Row, Shape, shape_of
from crumb.training.data.source import Source


class BadRowsWarning(UserWarning):
    """Rows were bad and left out, few enough to go on; the message says how many, why and where."""


def read_source(source: Source) -> Rows:
    """Reads a source whole.

    A bad row is left out and counted. Where the share of bad rows is at most `source.max_bad`, a `BadRowsWarning` says
    how many there were, why, and on which lines.

    Raises:
        DataError: the file is missing, damaged or of no shape; more rows are bad than `source.max_bad` lets pass; none
            is good; or the digest is not `source.sha256`.
        MissingExtraError: the format needs a library that is not installed.
    """
    path = Path(source.path)
    found = digest(path) if path.exists() else ""
    if source.sha256 is not None and found and found != source.sha256.lower():
        raise DataError(
            f"{path}: the data's SHA-256 is {found}, expected {source.sha256}; it is another file, or it changed"
        )
    rows = Rows(source)
    shape: Shape | None = None
    parse = path.is_file() and not any(suffix.lower() in (".jsonl", ".ndjson", ".parquet") for suffix in path.suffixes)
    for number, record in enumerate(read_records(path)):
        rows.total += 1
        try:
            if record.fields is None:
                raise BadRowError(record.trouble)
            if shape is None:
                shape = shape_of(list(record.fields), source.columns, source.group, str(path))
                rows.has_labels, rows.has_scores = shape.label is not None, shape.scores is not None
                if source.split is not None and source.split not in record.fields:
                    raise DataError(f"{path} has no column {source.split!r} to split by")
            row, part = _row(source, shape, record, parse)
        except BadRowError as reason:
            rows.bad.add(str(reason), record.line)
            continue
        rows.add(row, number, record.line, part)
        if len(rows) == source.limit:
            break
    _judge(rows)
    rows.close(found)
    return rows


def _row(source: Source, shape: Shape, record: Record, parse: bool) -> tuple[Row, str]:
    assert record.fields is not None
    row = shape.read(record.fields, parse=parse)
    longest = max(len(row.query), len(row.positive), *map(len, row.negatives))
    if longest > source.max_characters:
        raise BadRowError(f"a text is longer than {source.max_characters:,} characters")
    if source.group_before is not None:
        before, separator, _ = row.query.partition(source.group_before)
        row = row._replace(group=before if separator else None)
    part = ""
    if source.split is not None:
        value = record.fields.get(source.split)
        if not isinstance(value, str) or not value:
            raise BadRowError(f"{source.split!r} is no string to split by")
        part = value
    return row, part


def _judge(rows: Rows) -> None:
    """Refuses, warns, or is content."""
    bad, path = rows.bad.count.total(), rows.source.path
    if not len(rows) and not bad:
        raise DataError(f"{path}: empty; expected at least one row")
    if not bad:
        return
    share = bad / rows.total
    said = f"{path}: {bad:,} of {rows.total:,} rows are bad ({share:.2%}): {rows.bad}"
    if share > rows.source.max_bad or not len(rows):
        raise DataError(
            f"{said}; at most {rows.source.max_bad:.2%} are let pass. Repair the rows, or allow more with max_bad"
        )
    warnings.warn(f"{said}; they are left out", BadRowsWarning, stacklevel=3)
