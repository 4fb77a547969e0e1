"""Rows of the files that evaluation sets come in: JSON lines, and tables with a header.

Enters: a path. Leaves: what each row holds, by line. A set must be whole, so a row that cannot be read is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crumb.text.lines import DELIMITERS, JSON_SUFFIXES, cells, numbered, opened, suffix_of


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(line from 1, value) of each line that is not blank: any JSON, or of a table's row its cells by column.

    Tab-separated cells are taken as they are, quotation marks included, as the STS benchmark is written. A row that is
    shorter than the header lacks the last columns.

    Args:
        path: .jsonl, .ndjson, .csv or .tsv, each also .gz.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no UTF-8 or no JSON, or the file is damaged; the message names the line.
    """
    suffix = suffix_of(path)
    with opened(path) as stream:
        if suffix in JSON_SUFFIXES:
            for number, line in numbered(path, stream):
                if line.strip():
                    yield number, _json(path, number, line)
            return
        header: list[str] | None = None
        text = (_text(path, number, line) for number, line in numbered(path, stream))
        for number, row in cells(path, text, DELIMITERS[suffix], quoted=suffix == ".csv"):
            if header is None:
                header = row
            elif row:
                yield number, dict(zip(header, row, strict=False))


def _json(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(_text(path, number, line))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{number}: no JSON ({error})") from None
    except RecursionError as error:
        raise ValueError(f"{path}:{number}: JSON that is nested too deep ({error})") from None


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:{number}: not UTF-8 (byte {error.start + 1} of the line)") from None
