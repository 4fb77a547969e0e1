"""Lines and table rows of a file, gzipped or not.

Enters: a path, or a stream of bytes and its name. Leaves: numbered lines as bytes, or numbered rows of cells. Knows
nothing of what they mean; what to do about a line that is no UTF-8 or no JSON is the caller's to say.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from crumb.errors import DamagedFileError

JSON_SUFFIXES = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
WITH_FIELDS = (*JSON_SUFFIXES, *DELIMITERS)
"""Formats whose rows name their fields."""
# The csv module's own limit of 131,072 characters is shorter than real documents.
_LONGEST_CELL = 2**31 - 1


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, in lower case: that of `x.jsonl.gz` is `.jsonl`."""
    return (path.with_suffix("") if _gzipped(path) else path).suffix.lower()


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if _gzipped(path) else path.open("rb")


def numbered(name: str | Path, stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line with its end), a byte order mark at the start taken off.

    Raises:
        DamagedFileError: gzip data that break off or were changed; the message names the last whole line.
    """
    number = 0
    try:
        for number, line in enumerate(stream, 1):
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(f"{name}: damaged gzip data after line {number} ({error})") from None


def cells(
    name: str | Path, lines: Iterable[str], delimiter: str, *, quoted: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """(number of a row's first line, its cells); a blank line is a row without cells.

    Args:
        name: of the file, for messages.
        lines: with their ends.
        delimiter: between cells.
        quoted: cells in double quotes may hold the delimiter, line ends, and quotes written twice (RFC 4180).

    Raises:
        DamagedFileError: a quote is left open, or stands where none may.
    """
    csv.field_size_limit(_LONGEST_CELL)
    if quoted:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DamagedFileError(
                f"{name}:{line}: not CSV ({error}); is a quote left open, or not written twice?"
            ) from None
        yield line, row


def _gzipped(path: Path) -> bool:
    return path.suffix.lower() == ".gz"
