"""DOCX to Markdown: headings, paragraphs, lists, tables, text boxes, foot- and endnotes.

Enters: the bytes of a DOCX file. Leaves: Markdown in which each line that is not blank is one paragraph, or one row of
a table, and later a document whose lines carry the number of their paragraph. Needs python-docx, from the extra
`[documents]`. Knows nothing of files, and passes over the headers and footers that repeat on every page, comments,
deleted text of tracked changes, pictures.

A file may come from anywhere: what its zip may unpack to is bounded, entities are not resolved, and no damage raises
anything but DocumentError.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from crumb.errors import DocumentError, MissingExtraError
from crumb.text.markdown import markdown_blocks
from crumb.text.structure import Document, is_blank, split_lines

if TYPE_CHECKING:
    from docx.document import Document as Word

MAX_XML = 100_000_000  # bytes of all its XML; parsed, they are ten times as many

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_PARAGRAPH, _TABLE, _ROW, _CELL, _BOX = (_WORD + name for name in ("p", "tbl", "tr", "tc", "txbxContent"))
_PROPERTIES, _OUTLINE, _NUMBERING, _NAME = (_WORD + name for name in ("pPr", "outlineLvl", "numPr", "name"))
_VALUE = _WORD + "val"
_TEXT = {_WORD + "t", _MATH + "t"}
_SPACE = dict.fromkeys((_WORD + name for name in ("tab", "br", "cr", "ptab")), " ") | {_WORD + "noBreakHyphen": "-"}
# Text that has been moved away or deleted, that stands elsewhere, or that repeats what stands beside it
_PASSED_OVER = {_WORD + "moveFrom", _WORD + "del", _PROPERTIES, _WORD + "rPr", _BOX, _FALLBACK}
_NOTES = ("footnotes", "endnotes")
_NO_NOTES = {"separator", "continuationSeparator", "continuationNotice"}
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_DEEPEST = 6  # of Markdown's headings
_BODY = 10  # a depth that says: no heading, whatever the style says
# How a paragraph would start that Markdown reads as a heading or a fence
_MARKUP = re.compile(r"#{1,6}(?=\s|$)|`{3}|~{3}")
_OLE = b"\xd0\xcf\x11\xe0"  # how Word's encrypted files start, and those before 2007


def docx_text(data: bytes) -> str:
    """The text as Markdown: the title is a heading of the first level, "Heading 1" of the second, and so on.

    Raises:
        DocumentError: damaged, encrypted, without text, or too large.
        MissingExtraError: python-docx is not installed.
    """
    try:
        import docx
    except ImportError as error:
        raise MissingExtraError(
            f'DOCX needs python-docx, which cannot be imported ({error}): pip install "crumb-embed[documents]"'
        ) from None
    if data.startswith(_OLE):
        raise DocumentError("it is encrypted, or a .doc of before 2007; save a copy as .docx without a password")
    try:
        text = _without_gaps(_Writer(docx.Document(_unpacked(data))).lines())
    except DocumentError:
        raise
    except Exception as error:  # whatever zip, XML and python-docx stumble over in damaged data
        said = " ".join(f"{error}".split())[:200] or type(error).__name__
        raise DocumentError(f"it is no DOCX, or damaged ({said})") from None
    if not text:
        raise DocumentError("there is no text in it")
    return text


def docx_document(text: str) -> Document:
    """The lines of `docx_text`, each with the number of its paragraph (a blank one with that of the one above)."""
    lines = split_lines(text)
    numbers: list[int] = []
    number = 0
    for line in lines:
        number += not is_blank(line)
        numbers.append(max(number, 1))
    return Document(lines, numbers, markdown_blocks(lines))


def _without_gaps(lines: Iterable[str]) -> str:
    """The lines in one text, with no more than one blank one in a row."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).rstrip("\n")


def _unpacked(data: bytes) -> io.BytesIO:
    """The package with its XML unpacked and everything else empty: pictures are nothing to us.

    Reading piece by piece up to a limit is what holds against a zip that lies about its sizes.
    """
    import zipfile  # here, like python-docx: a search without DOCX need not wait for it

    parts: dict[str, bytes] = {}
    room = MAX_XML
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        for part in package.infolist():
            content = b""
            if part.filename.lower().endswith((".xml", ".rels")):
                if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise DocumentError(f"{part.filename} in it is packed in a way that DOCX does not know")
                with package.open(part) as stream:
                    content = stream.read(room + 1)
                room -= len(content)
                if room < 0:
                    raise DocumentError(f"it unpacks to more than {MAX_XML / 1e6:,.0f} MB of XML; split it")
            parts[part.filename] = content
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return plain


class _Style:
    """What a paragraph style says about structure, its ancestors' say included; None for nothing."""

    def __init__(self, level: int | None, listed: bool) -> None:
        self.level = level
        self.listed = listed


class _Writer:
    def __init__(self, document: Word) -> None:
        self._document = document
        self._styles = {style.style_id: style.element for style in document.styles}
        self._known: dict[str, _Style] = {}

    def lines(self) -> Iterator[str]:
        yield from self._blocks(self._document.element.body)
        from docx.oxml.parser import parse_xml

        for relation in self._document.part.rels.values():
            if relation.reltype.rpartition("/")[2] in _NOTES and not relation.is_external:
                for note in parse_xml(relation.target_part.blob):
                    if note.get(_WORD + "type") not in _NO_NOTES:
                        yield from self._blocks(note)

    def _blocks(self, parent: Any) -> Iterator[str]:
        """The lines of all paragraphs and tables in an element, whatever they are wrapped in."""
        for element in parent:
            if element.tag == _PARAGRAPH:
                yield from self._paragraph(element)
                for box in element.iter(_BOX):
                    if not _lies_in(box, element, {_BOX, _FALLBACK}):
                        yield from self._blocks(box)
            elif element.tag == _TABLE:
                yield ""
                for row in element.iter(_ROW):
                    if next(row.iterancestors(_TABLE)) is element:  # and not of a table in a cell
                        cells = [_joined(cell) for cell in row.iter(_CELL) if next(cell.iterancestors(_ROW)) is row]
                        if any(cells):
                            yield f"| {' | '.join(cells)} |"
                yield ""
            elif element.tag not in _PASSED_OVER:
                yield from self._blocks(element)

    def _paragraph(self, paragraph: Any) -> Iterator[str]:
        text = _text(paragraph)
        if not text:
            return
        properties = paragraph.find(_PROPERTIES)
        named = None if properties is None else properties.find(_WORD + "pStyle")
        style = self._style("" if named is None else named.get(_VALUE, ""))
        level = _level(properties)
        level = style.level if level is None else level
        if level is not None and level < _BODY:
            yield from ("", f"{'#' * min(level + 1, _DEEPEST)} {text}", "")
            return
        if _MARKUP.match(text):
            text = "\\" + text
        if _is_listed(properties, style.listed):
            yield f"- {text}"
        else:
            yield from ("", text, "")

    def _style(self, name: str) -> _Style:
        if name not in self._known:
            level: int | None = None
            listed = False
            seen = set()
            at = name
            while at in self._styles and at not in seen:  # damaged files have styles based on themselves
                seen.add(at)
                element = self._styles[at]
                properties = element.find(_PROPERTIES)
                if level is None:
                    level = _named_level(element)
                    level = _level(properties) if level is None else level
                listed = listed or _is_listed(properties, False)
                base = element.find(_WORD + "basedOn")
                at = "" if base is None else base.get(_VALUE, "")
            self._known[name] = _Style(level, listed)
        return self._known[name]


def _named_level(style: Any) -> int | None:
    """The depth that a style's name tells, which Word writes in English in every language: 0 for the title."""
    name = style.find(_NAME)
    word = "" if name is None else name.get(_VALUE, "")
    heading = _HEADING.fullmatch(word)
    return int(heading[1]) if heading else (0 if word.lower() == "title" else None)


def _level(properties: Any) -> int | None:
    """The depth that an outline level tells, 1 for the outermost; None where there is none."""
    outline = None if properties is None else properties.find(_OUTLINE)
    return None if outline is None else int(outline.get(_VALUE, _BODY - 1)) + 1


def _is_listed(properties: Any, otherwise: bool) -> bool:
    """Whether the paragraph is an item of a list; the list number 0 takes it out of its style's."""
    numbering = None if properties is None else properties.find(_NUMBERING)
    number = None if numbering is None else numbering.find(_WORD + "numId")
    return otherwise if number is None else number.get(_VALUE) != "0"


def _text(paragraph: Any) -> str:
    """The text of a paragraph on one line, without what its text boxes hold."""
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag in _TEXT:
            parts.append(element.text or "")
        elif element.tag in _SPACE:
            parts.append(_SPACE[element.tag])
        elif element.tag not in _PASSED_OVER:
            stack.extend(reversed(element))
    return " ".join("".join(parts).split())


def _joined(cell: Any) -> str:
    """All text of a cell, that of tables and boxes in it included."""
    found = (_text(paragraph) for paragraph in cell.iter(_PARAGRAPH) if not _lies_in(paragraph, cell, {_FALLBACK}))
    return " ".join(text for text in found if text)


def _lies_in(element: Any, outer: Any, tags: set[str]) -> bool:
    """Whether there is one of `tags` between an element and one that it lies in."""
    for above in element.iterancestors():
        if above is outer:
            return False
        if above.tag in tags:
            return True
    return False
