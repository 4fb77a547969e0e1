"""HTML to the lines of its visible text, each with the number of the source line it stands on, in sections.

Enters: HTML, whole or broken. Leaves: a document without tags, scripts and styles. Knows nothing of style sheets: what
they hide counts as visible.
"""

from __future__ import annotations

import html
from html.parser import HTMLParser

from crumb.text.structure import Document, Item, leaves, paragraphs, sections, split_lines

_HIDDEN = {"script", "style"}
_INLINE = """
a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark nobr q rp rt ruby s samp small span
strike strong sub sup time tt u var wbr
"""
_INLINE_TAGS = frozenset(_INLINE.split())
_CELLS = {"td", "th"}
_LINES = {"br", "dd", "dt", "li", "option", "tr"}
_LEVELS = {"title": 0, "h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}


def html_document(text: str) -> Document:
    """The visible text of `text`; if the parser gives up on it, the source itself by paragraphs."""
    source = split_lines(text)
    parser = _VisibleText()
    try:
        parser.feed("\n".join(source))
        parser.close()
    except AssertionError:  # how html.parser says that a declaration is too broken to go on
        return Document(source, list(range(1, len(source) + 1)), leaves(source, 0, len(source)))
    return parser.document()


class _VisibleText(HTMLParser):
    def __init__(self) -> None:
        # References are turned into characters here: one that is a line feed must not count as a line of the source.
        super().__init__(convert_charrefs=False)
        self._lines: list[str] = []
        self._numbers: list[int] = []
        self._headings: list[Item] = []
        self._line = ""
        self._number = 0
        self._hidden: str | None = None
        self._open: tuple[str, int] | None = None  # the heading we are in, and its first line

    def document(self) -> Document:
        self._end_heading()
        self._break(paragraph=False)
        items: list[Item] = []
        at = 0
        for item in (*self._headings, Item(len(self._lines), len(self._lines))):
            items += [Item(*run) for run in paragraphs(self._lines, at, item.start)]
            if item.end > item.start:
                items.append(item)
            at = item.end
        return Document(self._lines, self._numbers, sections(items))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden = tag
        elif tag in _LEVELS:
            self._end_heading()
            self._break()
            self._open = (tag, len(self._lines))
        elif tag in _CELLS:
            self._add(" ")
        elif tag not in _INLINE_TAGS:
            self._break(paragraph=tag not in _LINES)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        elif tag in _LEVELS:
            self._end_heading()
        elif tag in _CELLS:
            self._add(" ")
        elif tag not in _INLINE_TAGS:
            self._break(paragraph=tag not in _LINES)

    def handle_data(self, data: str) -> None:
        number, _ = self.getpos()
        for i, piece in enumerate(data.split("\n")):
            if i:
                self._break(paragraph=False)
            self._add(piece, number + i)

    def handle_entityref(self, name: str) -> None:
        self._add(html.unescape(f"&{name};"))

    def handle_charref(self, name: str) -> None:
        self._add(html.unescape(f"&#{name};").replace("\n", " "))

    def _add(self, piece: str, number: int | None = None) -> None:
        if self._hidden is None:
            if not self._line.strip():
                self._number = number or self.getpos()[0]
            self._line += piece

    def _break(self, *, paragraph: bool = True) -> None:
        """Ends the line, and with `paragraph` puts a blank one below it."""
        if self._line.strip():
            self._lines.append(self._line.rstrip())
            self._numbers.append(self._number)
        self._line = ""
        if paragraph and self._lines and self._lines[-1]:
            self._lines.append("")
            self._numbers.append(self._number)

    def _end_heading(self) -> None:
        if self._open is not None:
            self._break(paragraph=False)
            tag, start = self._open
            title = " ".join(self._lines[start:])
            self._headings.append(Item(start, len(self._lines), _LEVELS[tag], title))
            self._open = None
        self._break()
