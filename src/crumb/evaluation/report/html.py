"""A report as one HTML file that needs nothing else: no script, no font, no image from anywhere.

Enters: a `Page`. Leaves: HTML. Knows nothing of measurements. Everything that came as text is escaped here; a content
security policy holds the browser to "nothing from anywhere" even so.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from itertools import count

from crumb.evaluation.report.blocks import Block, Cell, Code, Figure, Page, Paragraph, Section, Table, clean
from crumb.evaluation.report.palette import properties

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_LONG = 40  # letters of a column that asks for room


def as_html(page: Page) -> str:
    """The page, whole."""
    numbers = count(1)
    style = files("crumb.evaluation.report").joinpath("style.css").read_text(encoding="utf-8")
    links = "\n".join(f'<li><a href="#{_t(s.name)}">{_t(s.title)}</a></li>' for s in page.sections)
    lead = "\n".join(_block(block, numbers) for block in page.lead)
    body = "\n".join(_section(section, numbers) for section in page.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_t(page.title)}</title>
<style>
{properties()}
{style}</style>
</head>
<body>
<header>
<h1>{_t(page.title)}</h1>
{lead}
</header>
<nav aria-label="Sections">
<ul>
{links}
</ul>
</nav>
<main>
{body}
</main>
<footer>
<p>{_t(page.foot)}</p>
</footer>
</body>
</html>
"""


def _section(section: Section, numbers: count[int]) -> str:
    name = _t(section.name)
    blocks = "\n".join(_block(block, numbers) for block in section.blocks)
    title = f'<h2 id="{name}-title">{_t(section.title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{title}\n{blocks}\n</section>'


def _block(block: Block, numbers: count[int]) -> str:
    match block:
        case Paragraph():
            return f"<p>{_t(block.text)}</p>"
        case Code():
            return f'<pre tabindex="0"><code>{_t(block.text, lines=True)}</code></pre>'
        case Figure():
            caption = f"<figcaption>{_t(block.title)}</figcaption>"
            return f'<figure id="plot-{_t(block.name)}">\n{block.svg}\n{caption}\n</figure>'
        case Table():
            return _table(block, next(numbers))


def _table(table: Table, number: int) -> str:
    kinds = [_kind(table, place) for place in range(len(table.columns))]
    heads = "".join(f'<th scope="col"{kind}>{_t(title)}</th>' for title, kind in zip(table.columns, kinds, strict=True))
    rows = "\n".join(
        "<tr>"
        + f'<th scope="row">{_cell(row[0])}</th>'
        + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in table.rows
    )
    # what is wider than the screen scrolls by itself, by keyboard too
    shown = (
        f'<div class="scroll" role="region" aria-labelledby="table-{number}" tabindex="0">\n<table>\n'
        f'<caption id="table-{number}"><span>{_t(table.caption)}</span></caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )
    return f"<details>\n<summary>{_t(table.caption)}</summary>\n{shown}\n</details>" if table.folded else shown


def _kind(table: Table, place: int) -> str:
    if place == 0:
        return ""
    if table.columns[place] not in table.words:
        return ' class="number"'
    longest = max((len(row[place].text) for row in table.rows), default=0)
    return ' class="words long"' if longest > _LONG else ' class="words"'


def _cell(cell: Cell) -> str:
    return f'<span class="{cell.tone}">{_t(cell.text)}</span>' if cell.tone else _t(cell.text)


def _t(text: str, *, lines: bool = False) -> str:
    """Text as it is shown; `lines` keeps line breaks."""
    return "\n".join(escape(clean(line)) for line in text.split("\n")) if lines else escape(clean(text))
