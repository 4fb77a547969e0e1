"""Where texts come from: words, lines, JSON lines, CSV and folders, one record at a time.

Enters: words or paths. Leaves: a stream of `Record(id, text)`, each source read once and never held whole. Knows
nothing of models or outputs.

What is a text, and what is its id:

- a line of a text file or of stdin is one text; an empty line is the empty text, so that record i is line i + 1. Lines
  end at a line feed (a carriage return before it goes too), nowhere else;
- in JSON lines and CSV a blank line holds no record; it is passed over and counted in `Reader.notes`;
- a file below a folder is one text, its id the path relative to the folder (with the folder's name before it when there
  are several inputs). Hidden names and files that are not UTF-8 text are passed over and counted;
- half a surrogate pair (JSON escapes can write one) is no character; it is read as U+FFFD, and counted;
- the id is the one given (a string or a whole number), otherwise the position among all records of the run, from 0.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from crumb.errors import CrumbError
from crumb.text import inputs
from crumb.text.lines import DELIMITERS, JSON_SUFFIXES, WITH_FIELDS, cells, numbered, opened, suffix_of

STDIN = "-"
# Read as lines of text these would give vectors of fragments of syntax, and nobody would notice.
NOT_LINES = (".json", ".parquet", ".npy", ".xlsx", ".zip", ".pdf")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
BINARY_PROBE = 8192  # bytes; a NUL among them means that the file is not text


class InputError(CrumbError, ValueError):
    """An input that cannot be read as what it claims to be; the message names the file and the line."""


class Record(NamedTuple):
    """One text and the id that its vector will carry."""

    id: str | int
    text: str


class Reader:
    """Reads inputs into records, and keeps account of where ids came from and what was passed over.

    Args:
        field: the field of JSON objects, or the column of CSV, that holds the text.
        id_field: the field that holds the id; None takes "id" where there is one. A named field has to be there.
    """

    def __init__(self, field: str = "text", id_field: str | None = None) -> None:
        self.field = field
        self.id_field = id_field
        self.id_sources: Counter[str] = Counter()  # "position", "field" or "path" -> records
        self.notes: Counter[str] = Counter()  # what was passed over or changed -> how many
        self._position = 0

    def words(self, texts: Iterable[str]) -> Iterator[Record]:
        """Texts given as they are, such as the words of a command line."""
        for number, text in enumerate(texts, 1):
            yield self._record(f"text {number}", text)

    def read(self, inputs: Sequence[str]) -> Iterator[Record]:
        """The records of all inputs in order; "-" is stdin.

        Raises:
            InputError: at once if an input does not exist or is of a kind that is not read; while reading if one is not
                what its name says.
        """
        for name in inputs:
            _check(name)
        return self._read(inputs)

    def _read(self, inputs: Sequence[str]) -> Iterator[Record]:
        for name in inputs:
            if name == STDIN:
                yield from self.lines("stdin", sys.stdin.buffer)
            elif Path(name).is_dir():
                yield from self._folder(Path(name), prefix=len(inputs) > 1)
            else:
                yield from self._file(name)

    def lines(self, name: str, stream: Iterable[bytes]) -> Iterator[Record]:
        """One text a line."""
        for number, line in _decoded(name, stream):
            yield self._record(f"{name}:{number}", line.removesuffix("\n").removesuffix("\r"))

    def json_lines(self, name: str, stream: Iterable[bytes]) -> Iterator[Record]:
        """Objects with a text field, or plain strings, one a line."""
        for number, line in _decoded(name, stream):
            where = f"{name}:{number}"
            if not line.strip(" \t\r\n"):
                self.notes["blank lines passed over"] += 1
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{where}: not JSON ({error.msg} at column {error.colno}); expected one object or string a line"
                ) from None
            except (RecursionError, ValueError) as error:  # nested too deep, or a number of too many digits
                raise InputError(f"{where}: JSON that cannot be read ({error})") from None
            if isinstance(value, str):
                if self.id_field is not None:
                    raise InputError(f"{where}: a plain string has no {self.id_field!r} (asked for by --id-field)")
                yield self._record(where, value)
            elif isinstance(value, dict):
                yield self._object(where, value)
            else:
                raise InputError(f"{where}: found {_kind(value)}; expected an object with {self.field!r}, or a string")

    def table(self, name: str, stream: Iterable[bytes], delimiter: str = ",") -> Iterator[Record]:
        """CSV with a header row; cells in double quotes may hold the delimiter, line ends, and quotes written twice."""
        header: list[str] | None = None
        for number, row in cells(name, (line for _, line in _decoded(name, stream)), delimiter):
            where = f"{name}:{number}"
            if not row:
                self.notes["blank lines passed over"] += 1
            elif header is None:
                header = row
                self._check_header(where, header)
            elif len(row) != len(header):
                raise InputError(f"{where}: {len(row)} cells, the header has {len(header)}; is a delimiter not quoted?")
            else:
                yield self._object(where, dict(zip(header, row, strict=True)))
        if header is None:
            raise InputError(f"{name}: empty; expected a header row with a column {self.field!r}")

    def _file(self, name: str) -> Iterator[Record]:
        path = Path(name)
        suffix = suffix_of(path)
        with opened(path) as stream:
            if suffix in JSON_SUFFIXES:
                yield from self.json_lines(name, stream)
            elif suffix in DELIMITERS:
                yield from self.table(name, stream, DELIMITERS[suffix])
            else:
                yield from self.lines(name, stream)

    def _folder(self, root: Path, *, prefix: bool) -> Iterator[Record]:
        for path in self._walk(root):
            with path.open("rb") as stream:
                data = stream.read(BINARY_PROBE)
                text = None if b"\0" in data else _utf8(data + stream.read())
            if text is None:
                self.notes["files passed over that are not UTF-8 text"] += 1
                continue
            name = path.relative_to(root).as_posix()
            yield self._record(str(path), text, f"{root.as_posix()}/{name}" if prefix else name, "path")

    def _walk(self, root: Path) -> Iterator[Path]:
        """Regular files below `root` that are not hidden, in an order that does not depend on the disk."""
        for folder, folders, names in os.walk(root, onerror=_reraise):
            self.notes["hidden files and folders passed over"] += sum(name.startswith(".") for name in folders + names)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if name.startswith("."):
                    continue
                if path.is_file():
                    yield path
                else:
                    self.notes["broken links and special files passed over"] += 1

    def _check_header(self, where: str, header: list[str]) -> None:
        for field in (self.field, self.id_field):
            if field is not None and header.count(field) != 1:
                found = "no column" if field not in header else "more than one column"
                raise InputError(f"{where}: {found} {field!r}; the header has {', '.join(map(repr, header))}")

    def _object(self, where: str, value: dict[str, object]) -> Record:
        text = value.get(self.field)
        if not isinstance(text, str):
            if self.field in value:
                raise InputError(f"{where}: field {self.field!r} is {_kind(text)}; expected a string")
            raise InputError(
                f"{where}: no field {self.field!r} (see --field); there is {', '.join(map(repr, value)) or 'none'}"
            )
        id_field = self.id_field or "id"
        if id_field not in value:
            if self.id_field is not None:
                raise InputError(f"{where}: no field {id_field!r} (asked for by --id-field)")
            return self._record(where, text)
        given = value[id_field]
        if not isinstance(given, str | int) or isinstance(given, bool):
            raise InputError(f"{where}: field {id_field!r} is {_kind(given)}; an id is a string or a whole number")
        return self._record(where, text, given, "field")

    def _record(self, where: str, text: str, given: str | int | None = None, source: str = "position") -> Record:
        if _no_utf8(text):
            text = LONE_SURROGATE.sub("\ufffd", text)
            self.notes["texts with half a surrogate pair, read as U+FFFD"] += 1
        record = Record(self._position if given is None else given, text)
        if isinstance(record.id, str) and _no_utf8(record.id):
            raise InputError(f"{where}: the id {record.id!r} is no valid Unicode")
        self._position += 1
        self.id_sources[source] += 1
        return record


def have_fields(inputs: Iterable[str]) -> bool:
    """Whether any input is JSON lines or CSV, where fields have names."""
    return any(suffix_of(Path(name)) in WITH_FIELDS for name in inputs)


def windows(records: Iterable[Record], texts: int, characters: int) -> Iterator[list[Record]]:
    """Records a window at a time (crumb.text.inputs)."""
    return inputs.windows(records, lambda record: len(record.text), most=texts, characters=characters)


def _check(name: str) -> None:
    path = Path(name)
    if name == STDIN:
        return
    if not path.exists():
        raise InputError(f"{name}: no such file or folder")
    if suffix_of(path) in NOT_LINES and not path.is_dir():
        raise InputError(
            f"{name}: {suffix_of(path)} is not read; expected .jsonl, .ndjson, .csv, .tsv, lines of text, or a folder"
        )


def _decoded(name: str, stream: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """(line number from 1, line with its end) of UTF-8 text, a byte order mark at the start taken off."""
    for number, line in numbered(name, stream):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}:{number}: byte {error.start + 1} of the line, 0x{line[error.start]:02x}, is not UTF-8; "
                "expected UTF-8 text (iconv converts other encodings)"
            ) from None
        yield number, text


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _no_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _kind(value: object) -> str:
    """What JSON calls the type of `value`."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {str: "a string", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return names[type(value)]


def _reraise(error: OSError) -> None:
    raise error
