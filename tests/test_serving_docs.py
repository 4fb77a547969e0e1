"""docs/serving.md says what the code says: settings, statuses, series. Run as a script, it writes the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crumb.server import settings

PAGE = Path(__file__).parent.parent / "docs" / "serving.md"
BEGIN = "a test compares it with src/crumb/server/settings.py -->\n"
END = "<!-- /settings -->"


def table() -> str:
    """Every setting, as Markdown."""
    rows = ["| flag | default | what |", "|---|---|---|"]
    for name, field in settings.FIELDS.items():
        default = getattr(settings.DEFAULTS, name)
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default not in ("", []) else ""
        choices = ", ".join(f"`{word}`" for word in field.metadata.get("choices", ()) if word)
        what = field.metadata["help"] + (f" ({choices})" if choices else "")
        rows.append(f"| `{settings.flag(name)}` | {shown} | {what.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def test_every_setting_is_told() -> None:
    page = PAGE.read_text(encoding="utf-8")
    written = page.partition(BEGIN)[2].partition(END)[0]
    assert written == table(), "run `python tests/test_serving_docs.py`"


def test_every_series_is_told() -> None:
    pytest.importorskip("prometheus_client", reason="the extra [serve] is not installed")
    from crumb.server.metrics import Metrics

    there = set(re.findall(r"^# TYPE (crumb_\w+)", Metrics().text().decode(), re.MULTILINE))
    there = {name for name in there if not name.endswith("_created")}
    told = set(
        re.findall(r"`(crumb_[a-z_]+)`", PAGE.read_text(encoding="utf-8").split("| series |")[1].split("\n\n")[0])
    )
    assert told == there


def test_every_status_is_told() -> None:
    """Those that the source names."""
    source = "".join(path.read_text() for path in Path(settings.__file__).parent.rglob("*.py"))
    given = set(re.findall(r"(?:ApiError|refuse|_answer)\(\s*(\d{3}),", source)) | {"422", "405"}
    told = set(re.findall(r"^\| (\d{3}) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert given <= told


def test_files_that_are_named_are_there() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / name).exists(), name


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
