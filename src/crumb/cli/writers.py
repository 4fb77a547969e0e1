"""Where vectors go: JSON lines, a .npy array, or Parquet.

Enters: records and their vectors (float32 [n, d]), window by window. Leaves: a stream or a file. An array or a Parquet
file appears under its name only when it is complete; JSON lines grow in place, so that an interrupted run can be
continued. Knows nothing of models; settings are an opaque mapping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
import numpy.typing as npt

from crumb.cli.readers import Record
from crumb.cli.sidecar import ResumeError, partial_path, sidecar_path
from crumb.errors import MissingExtraError

Vectors = npt.NDArray[np.float32]


class Writer(Protocol):
    """Takes windows one by one."""

    def write(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Takes n records and their vectors, float32 [n, d]."""


class JsonlWriter:
    """One object a line: "id", with `with_text` "text", and "embedding". Flushed after each window.

    Args:
        stream: binary, positioned where the next line belongs; who opened it closes it.
        with_text: whether the text is repeated beside its vector.
    """

    def __init__(self, stream: BinaryIO, *, with_text: bool) -> None:
        self._stream, self._with_text = stream, with_text

    def write(self, records: Sequence[Record], vectors: Vectors) -> None:
        for record, embedding in zip(records, decimals(vectors), strict=True):
            fields: dict[str, str | int] = {"id": record.id}
            if self._with_text:
                fields["text"] = record.text
            head = json.dumps(fields, ensure_ascii=False)[:-1]
            self._stream.write(f'{head}, "embedding": [{embedding}]}}\n'.encode())
        self._stream.flush()


class NpyWriter:
    """float32 [n, d] in NumPy's format, row i for record i. Ids that are not positions go to `OUT.ids.jsonl`.

    A context: leaving it well publishes the files, leaving it by an exception leaves nothing half-made.
    """

    def __init__(self, out: Path, dimensions: int) -> None:
        self._out, self._ids_out = out, ids_path(out)
        self._dimensions = dimensions
        self._rows = 0
        self._named = False

    def write(self, records: Sequence[Record], vectors: Vectors) -> None:
        self._stream.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        for record in records:
            self._named = self._named or record.id != self._rows
            self._ids.write(json.dumps(record.id, ensure_ascii=False).encode() + b"\n")
            self._rows += 1

    def __enter__(self) -> Self:
        self._stream = partial_path(self._out).open("wb")
        self._ids = partial_path(self._ids_out).open("wb")
        self._header()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        parts = partial_path(self._out), partial_path(self._ids_out)
        try:
            if kind is None:
                self._stream.seek(0)
                self._header()
            self._stream.close()
            self._ids.close()
            if kind is None:
                # The sidecar goes first and comes back last: without one, array and ids may not belong together.
                sidecar_path(self._out).unlink(missing_ok=True)
                self._ids_out.unlink(missing_ok=True)
                if self._named:
                    parts[1].replace(self._ids_out)
                parts[0].replace(self._out)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)

    def _header(self) -> None:
        # NumPy pads the header so that the number of rows can grow in place: written first, corrected at the end.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._dimensions)}
        np.lib.format.write_array_header_1_0(self._stream, header)


class ParquetWriter:
    """Columns id (string), with `with_text` text (string), embedding (d float32); settings as JSON under "crumb".

    A context: leaving it well publishes the file, leaving it by an exception leaves nothing half-made.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, out: Path, dimensions: int, settings: Mapping[str, Any], *, with_text: bool) -> None:
        self._arrow = pyarrow = import_pyarrow()
        self._out, self._part, self._dimensions = out, partial_path(out), dimensions
        fields = [("id", pyarrow.string()), ("embedding", pyarrow.list_(pyarrow.float32(), dimensions))]
        if with_text:
            fields.insert(1, ("text", pyarrow.string()))
        self._schema = pyarrow.schema(fields, metadata={"crumb": json.dumps(settings, ensure_ascii=False)})

    def write(self, records: Sequence[Record], vectors: Vectors) -> None:
        values = self._arrow.array(np.ascontiguousarray(vectors).reshape(-1))
        columns = {
            "id": [str(record.id) for record in records],
            "text": [record.text for record in records],
            "embedding": self._arrow.FixedSizeListArray.from_arrays(values, self._dimensions),
        }
        self._file.write_table(self._arrow.table([columns[name] for name in self._schema.names], schema=self._schema))

    def __enter__(self) -> Self:
        self._file = self._arrow.parquet.ParquetWriter(str(self._part), self._schema)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if kind is None:
                self._part.replace(self._out)
        finally:
            self._part.unlink(missing_ok=True)


def import_pyarrow() -> ModuleType:
    """pyarrow with its Parquet part.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f'Parquet needs pyarrow, which cannot be imported ({error}): pip install "crumb-embed[bulk]"'
        ) from None
    module: ModuleType = pyarrow
    return module


class Unfinished:
    """The JSON lines that an interrupted run left: checked against the records of the input, then continued.

    Args:
        out: their file, for messages.
        stream: the file, open for reading and writing.
    """

    def __init__(self, out: Path, stream: BinaryIO) -> None:
        self._out = out
        self.stream = stream
        self.whole = 0  # lines that match the input so far

    def match(self, records: Sequence[Record]) -> int:
        """How many of `records`, from the first, are there already.

        Raises:
            ResumeError: the next line carries another id, or cannot be read; the message names the line.
        """
        for done, record in enumerate(records):
            start = self.stream.tell()
            line = self.stream.readline()
            if not line.endswith(b"\n"):
                self.stream.seek(start)
                return done
            self.whole += 1
            there = self._id(line)
            if there != record.id:
                raise ResumeError(
                    f"{self._out}:{self.whole}: the id is {json.dumps(there)}, the input has {json.dumps(record.id)}; "
                    "resume with the same input, or use --force to make it anew"
                )
        return len(records)

    def end(self) -> None:
        """Leaves `stream` after the last whole line; a half-written line is dropped.

        Raises:
            ResumeError: there are more lines than the input has records.
        """
        start = self.stream.tell()
        if self.stream.readline().endswith(b"\n"):
            raise ResumeError(
                f"{self._out}:{self.whole + 1}: the input ends after {self.whole} records, the output goes on; "
                "resume with the same input, or use --force to make it anew"
            )
        self.stream.seek(start)
        self.stream.truncate()

    def _id(self, line: bytes) -> object:
        try:
            record = json.loads(line)
            return record["id"]
        except (ValueError, KeyError, TypeError):
            raise ResumeError(
                f"{self._out}:{self.whole}: not a record of crumb's (an object with an id); --force makes it anew"
            ) from None


def decimals(vectors: Vectors) -> Iterator[str]:
    """Each row of float32 [n, d] as decimals joined by ", ": the shortest that read back as the same float32.

    Raises:
        ValueError: a value is not finite, which JSON cannot say.
    """
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or infinity, which JSON cannot say; .npy and Parquet can")
    for row in vectors.astype("U").tolist():
        yield ", ".join(row)


def ids_path(out: Path) -> Path:
    """The ids of a .npy output."""
    return out.with_name(out.name + ".ids.jsonl")
