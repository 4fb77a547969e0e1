"""A report's folder.

Enters: a `Record` and a folder. Leaves: report.json, the values of each query, report.html, report.md and its drawings.
Knows nothing of what they say. Everything is made before anything is written, every file appears whole, and report.json
last; the pages name its digest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from crumb.evaluation.report.html import as_html
from crumb.evaluation.report.markdown import PLOTS, as_markdown
from crumb.evaluation.report.record import JSON, Record, as_files
from crumb.evaluation.report.sections import page_of
from crumb.evaluation.report.svg import standalone

HTML = "report.html"
MARKDOWN = "report.md"


def write_report(record: Record, folder: Path) -> list[Path]:
    """Writes the report into a folder, which is made if need be; what an earlier report left there is replaced.

    Returns:
        The pages and the record: report.html, report.md, report.json.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OSError: the folder cannot be written.
    """
    made = as_files(record)
    page = page_of(record, hashlib.sha256(made[JSON]).hexdigest())
    made |= {f"{PLOTS}/{figure.name}.svg": standalone(figure.svg).encode("utf-8") for figure in page.figures}
    made |= {MARKDOWN: as_markdown(page).encode("utf-8"), HTML: as_html(page).encode("utf-8")}
    stale = _drawings(folder) if (folder / JSON).exists() else []
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    _write({folder / name: made[name] for name in sorted(made, key=lambda name: name == JSON)})
    for old in stale:
        if f"{PLOTS}/{old.name}" not in made:
            old.unlink()
    return [folder / name for name in (HTML, MARKDOWN, JSON)]


def _drawings(folder: Path) -> list[Path]:
    return list((folder / PLOTS).glob("*.svg"))


def _write(files: Mapping[Path, bytes]) -> None:
    """All of the bytes first, so that a full disk leaves an older report as it was; then the names, in order."""
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in files}
    try:
        for path, content in files.items():
            parts[path].write_bytes(content)
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
