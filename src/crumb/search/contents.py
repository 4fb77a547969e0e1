"""Files to text.

Enters: a file. Leaves: its bytes and its text, or a line in the account of a walk that says why there is none. Knows
nothing of what is in the texts.

Text is UTF-8; UTF-16 or UTF-32 with a byte order mark; or Windows-1252 (of which Latin-1 is a part) with no control
characters and at most 30 % of characters beyond ASCII. The text of PDF and DOCX takes a while to get out and is got
only when it is asked for.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import NamedTuple

from crumb.errors import DocumentError, MissingExtraError
from crumb.search.walk import WalkReport
from crumb.text.docx import docx_text
from crumb.text.pdf import Extracted, pdf_text
from crumb.text.structure import DOCUMENTS, Kind, kind_of

BINARY_PROBE = 8192  # bytes; a NUL among them means that a file is no text, unless a byte order mark says UTF-16 or -32
NEEDS_EXTRA = 'PDF or DOCX (pip install "crumb-embed[documents]" reads them)'

# UTF-32's mark starts with UTF-16's: the longer ones come first
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HIGH = re.compile(rb"[\x80-\xff]")


class Content(NamedTuple):
    """What is in a file; `text` is None for a document, of which `extract` gets it."""

    data: bytes
    kind: Kind
    text: str | None


def read(path: Path, report: WalkReport) -> Content | None:
    """What is in a file; None, and counted in `report`, if it cannot be read or is no text.

    A file that has a text is counted in `report` as read, a document only once it is extracted.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        report.fail(path, error)
        return None
    return content_of(path, data, report)


def content_of(path: Path, data: bytes, report: WalkReport) -> Content | None:
    """What `read` gives for a file of this name with these bytes."""
    kind = kind_of(path)
    if kind in DOCUMENTS:
        return Content(data, kind, None)
    decoded = decode(data)
    if decoded is None:
        report.skipped["not text"] += 1
        return None
    text, encoding = decoded
    report.take(encoding)
    return Content(data, kind, text)


def extract(path: Path, content: Content, report: WalkReport) -> Extracted | None:
    """The text of a file, and what of it could not be read; None, and counted in `report`, if there is no text to be
    had. A problem is named in `report` either way.
    """
    if content.text is not None:
        return Extracted(content.text, [])
    try:
        found = pdf_text(content.data) if content.kind == "pdf" else Extracted(docx_text(content.data), [])
    except MissingExtraError:
        report.skipped[NEEDS_EXTRA] += 1
        return None
    except DocumentError as error:
        report.fail(path, str(error))
        return None
    report.take(content.kind)
    report.unreadable += [f"{path}: {problem}" for problem in found.problems]
    return found


def decode(data: bytes) -> tuple[str, str] | None:
    """The text in `data` and its encoding; None if it is no text (see the top of this module)."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = _decoded(data, "utf-8-sig" if encoding == "utf-8" else encoding)
            return None if text is None else (text, encoding)
    if b"\0" in data[:BINARY_PROBE]:
        return None
    text = _decoded(data, "utf-8")
    if text is not None:
        return text, "utf-8"
    if _CONTROLS.search(data) or 10 * len(_HIGH.findall(data)) > 3 * len(data):
        return None
    text = _decoded(data, "cp1252")
    return None if text is None else (text, "windows-1252")


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None
