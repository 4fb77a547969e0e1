"""A report as Markdown in GitHub's dialect, with its drawings as files beside it.

Enters: a `Page`. Leaves: Markdown. Knows nothing of measurements. Everything that came as text is escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from crumb.evaluation.report.blocks import Block, Code, Figure, Page, Paragraph, Section, Table, clean

PLOTS = "plots"
"""The folder of drawings, beside the Markdown."""

# everything that can begin markup inside a line, in CommonMark or in GitHub's additions ($: formulas, @ and #: links)
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$#!]|(?<!\w)@)")
# what would make another kind of block of a line that begins with it
_OPENING = re.compile(r"^[-+=]|^\d(?=\d*[.)])")
# what GitHub makes a link of by itself
_LINKS = re.compile(r"(?i)(https?|ftp)(:)(?=//)|(www)(\.)")


def as_markdown(page: Page) -> str:
    """The page, whole."""
    parts = [f"# {_t(page.title)}", *map(_block, page.lead), *map(_section, page.sections), _paragraph(page.foot)]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    return "\n\n".join([f"## {_t(section.title)}", *map(_block, section.blocks)])


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return _paragraph(block.text)
        case Code():
            return _fenced(block.text)
        case Figure():
            return f"![{_t(block.title)}: {_t(block.description)}]({PLOTS}/{block.name}.svg)"
        case Table():
            return _table(block)


def _paragraph(text: str) -> str:
    return _OPENING.sub(lambda found: f"&#{ord(found[0])};", _t(text).strip())


def _fenced(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}sh\n" + "\n".join(map(clean, text.split("\n"))) + f"\n{fence}"


def _table(table: Table) -> str:
    rules = ["---", *("---" if title in table.words else "--:" for title in table.columns[1:])]
    rows = [_row(map(_t, table.columns)), _row(rules)]
    rows += [
        _row(f"**{_t(cell.text)}**" if cell.tone and cell.text.strip() else _t(cell.text) for cell in row)
        for row in table.rows
    ]
    body = "\n".join(rows)
    if table.folded:  # up to the empty line this is HTML
        return f"<details>\n<summary>{escape(clean(table.caption))}</summary>\n\n{body}\n\n</details>"
    return f"{_paragraph(table.caption)}\n\n{body}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _t(text: str) -> str:
    """Text as it is shown, on one line."""
    return _LINKS.sub(_unlinked, _SPECIAL.sub(r"\\\1", escape(clean(text), quote=False)))


def _unlinked(found: re.Match[str]) -> str:
    return f"{found[1]}&#58;" if found[1] else f"{found[3]}&#46;"
