"""An evaluation on disk: everything that its pages say, and that doing it again needs.

Enters: an `Evaluation`, the command, the machine. Leaves: `Record`, to and from report.json with the values of each
query beside it. Knows nothing of pages.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crumb.errors import CrumbError
from crumb.evaluation.compare import Difference
from crumb.evaluation.contamination import Contamination
from crumb.evaluation.evaluate import Asked, Evaluation
from crumb.evaluation.report.beside import Beside, beside
from crumb.evaluation.report.machine import machine
from crumb.evaluation.results import Measured
from crumb.evaluation.retained import Retention

FORMAT = 1
JSON = "report.json"
QUERIES = "per_query.jsonl.gz"

GROUPS = ("results", "base", "rivals")
"""The fields of `Evaluation` that hold figures."""

# of each figure, what goes into the other file
_EACH = ("per_query", "relevant_tokens", "gold")


class ReportError(CrumbError, ValueError):
    """A report that cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Record:
    """An evaluation and how it came about.

    Attributes:
        evaluation: the question and the figures.
        command: as it was given, word by word.
        created: when, in UTC, as ISO 8601 writes it.
        machine: software and CPU (crumb.evaluation.report.machine).
        published: published figures of the tasks.
        licences: of the data, by task, where known.
        retention: what smaller forms keep; None where it was not asked for.
        contamination: what tests share with training texts; None where it was not asked for.
        complete: whether the values of each query are here; a report.json that travelled alone has none.
    """

    evaluation: Evaluation
    command: tuple[str, ...]
    created: str
    machine: Mapping[str, Any]
    published: list[Beside] = field(default_factory=list)
    licences: Mapping[str, str] = field(default_factory=dict)
    retention: Retention | None = None
    contamination: Contamination | None = None
    complete: bool = True

    @classmethod
    def of(
        cls,
        evaluation: Evaluation,
        command: tuple[str, ...],
        licences: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        contamination: Contamination | None = None,
    ) -> Record:
        """What was just measured, here and now."""
        return cls(
            evaluation,
            command,
            datetime.now(UTC).isoformat(timespec="seconds"),
            machine(),
            beside([*evaluation.results, *evaluation.base, *evaluation.rivals]),
            dict(licences or {}),
            retention,
            contamination,
        )

    @property
    def measured(self) -> dict[str, list[Measured]]:
        """Figures by the group that they belong to (`GROUPS`)."""
        return {group: list(getattr(self.evaluation, group)) for group in GROUPS}


def as_files(record: Record) -> dict[str, bytes]:
    """The two files of a record, by name. The same record gives the same bytes."""
    lines = []
    figures: dict[str, list[dict[str, Any]]] = {}
    for group, found in record.measured.items():
        figures[group] = []
        for index, m in enumerate(found):
            data = m.as_dict()
            each = {key: data.pop(key) for key in _EACH}
            figures[group].append(data)
            lines.append(_json({"group": group, "index": index, "task": m.task, **each}) + "\n")
    queries = gzip.compress("".join(lines).encode("utf-8"), mtime=0)
    main = {
        "format": FORMAT,
        "created": record.created,
        "command": list(record.command),
        "asked": record.evaluation.asked.as_dict(),
        "machine": dict(record.machine),
        **figures,
        "differences": [d.as_dict() for d in record.evaluation.differences],
        "published": [row.as_dict() for row in record.published],
        "retention": None if record.retention is None else record.retention.as_dict(),
        "contamination": None if record.contamination is None else record.contamination.as_dict(),
        "licences": dict(record.licences),
        "per_query": {"file": QUERIES, "sha256": hashlib.sha256(queries).hexdigest()},
    }
    return {QUERIES: queries, JSON: (_json(main, indent=1) + "\n").encode("utf-8")}


def read_record(path: Path) -> Record:
    """The record of a report: its folder, or its report.json.

    Raises:
        ReportError: there is none, it is damaged, or it was written by a later crumb.
    """
    path = path / JSON if path.is_dir() else path
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ReportError(f"{path}: a report of format {found['format']!r}; this crumb reads format {FORMAT}")
        each = _read_each(path.parent / QUERIES, found["per_query"]["sha256"])
        groups = {
            group: [
                Measured.from_dict(data | ({} if each is None else each[group, index]))
                for index, data in enumerate(found[group])
            ]
            for group in GROUPS
        }
        differences = [
            Difference(**{key: value for key, value in row.items() if key != "clear"}) for row in found["differences"]
        ]
        return Record(
            Evaluation(asked=Asked.from_dict(found["asked"]), differences=differences, **groups),
            tuple(found["command"]),
            found["created"],
            found["machine"],
            [Beside.from_dict(row) for row in found["published"]],
            found["licences"],
            None if found["retention"] is None else Retention.from_dict(found["retention"]),
            None if found["contamination"] is None else Contamination.from_dict(found["contamination"]),
            each is not None,
        )
    except OSError as error:
        raise ReportError(f"{path} cannot be read ({error.strerror}); expected a folder that --report wrote") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ReportError):
            raise
        raise ReportError(f"{path} is no report of crumb eval, or it is damaged ({error!r})") from None


def _read_each(path: Path, digest: str) -> dict[tuple[str, int], dict[str, Any]] | None:
    """By group and index; None where the file is not there."""
    if not path.is_file():
        return None
    packed = path.read_bytes()
    if hashlib.sha256(packed).hexdigest() != digest:
        raise ReportError(f"{path} is not the file that the report was written with: its SHA-256 is another")
    found = {}
    for line in gzip.decompress(packed).splitlines():
        row = json.loads(line)
        found[row["group"], row["index"]] = {key: row[key] for key in _EACH}
    return found


def _json(data: Any, indent: int | None = None) -> str:
    # ASCII: names of files may hold bytes that are no UTF-8, and Python keeps those as lone surrogates
    return json.dumps(data, allow_nan=False, indent=indent)
