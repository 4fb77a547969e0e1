"""PDF to text, page by page.

Enters: the bytes of a PDF. Leaves: its text, pages apart by form feeds (as pdftotext writes them), and later a document
whose lines carry the number of their page. Needs pypdf, from the extra `[documents]`. Knows nothing of files; what
stands in pictures it cannot read.

A PDF may come from anywhere: pypdf bounds what a stream unpacks to, how deep and wide the page tree goes and how much
one page may ask for; here the pages and characters of all are bounded, and no damage raises anything but DocumentError.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

from crumb.errors import DocumentError, MissingExtraError
from crumb.text.structure import Document, leaves, split_lines

if TYPE_CHECKING:
    import pypdf

PAGE_END = "\f"
MAX_PAGES = 20_000
MAX_CHARACTERS = 50_000_000  # of one document; a library of a hundred thick books has as many

# What pypdf may find in a page but text does not hold: our own mark, NUL, halves of surrogate pairs
_NO_TEXT = re.compile("[\x00\f\ud800-\udfff]")


# A word that is broken at the end of a line: its parts, what sticks to the second, the space behind. A match starts
# only where a word does, and words have an end, so that a page of one endless word takes no longer than another.
_BROKEN = re.compile(r"(?<![^\W\d_])([^\W\d_]{1,40})[-\u2010\u00ad]\n([^\W\d_]{1,40})(\S*)( ?)")
_WORD = re.compile(r"[^\W\d_]+")


class Extracted(NamedTuple):
    """The text of a document, and what of it could not be read, one sentence each."""

    text: str
    problems: list[str]


def pdf_text(data: bytes) -> Extracted:
    """The text of each page, a form feed between two; words broken at a line's end are put together where the document
    shows that they are one. A page that cannot be read is empty and named in `problems`.

    Raises:
        DocumentError: damaged, encrypted with a password, without any text (scanned pages), or too large.
        MissingExtraError: pypdf is not installed.
    """
    import logging  # here, like pypdf: a search without PDF need not wait for it

    try:
        import pypdf
        from pypdf.errors import DependencyError
    except ImportError as error:
        raise MissingExtraError(
            f'PDF needs pypdf, which cannot be imported ({error}): pip install "crumb-embed[documents]"'
        ) from None
    # pypdf warns of each oddity that it has got over. Who listens to its logger still hears them; stderr does not.
    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        # Most encrypted PDFs forbid printing and the like to programs that obey, and open without a password.
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError("it is encrypted and opens only with a password; save a copy without one")
        count = len(reader.pages)
    except DocumentError:
        raise
    except DependencyError as error:
        raise DocumentError(f"it is encrypted, and pypdf says: {error}") from None
    except Exception as error:  # whatever a parser stumbles over in damaged data
        raise DocumentError(f"it is no PDF, or damaged ({_said(error)})") from None
    if not 0 < count <= MAX_PAGES:
        raise DocumentError(f"it has {count:,} pages; between 1 and {MAX_PAGES:,} are read")
    return _pages(reader, count)


def pdf_document(text: str) -> Document:
    """The lines of `pdf_text`, each with the number of its page, and one block for each paragraph."""
    document = Document([], [], [])
    for number, page in enumerate(text.split(PAGE_END), 1):
        start = len(document.lines)
        document.lines.extend(split_lines(page))
        document.numbers.extend([number] * (len(document.lines) - start))
        document.blocks.extend(leaves(document.lines, start, len(document.lines)))
    return document


def _pages(reader: pypdf.PdfReader, count: int) -> Extracted:
    pages: list[str] = []
    problems: list[str] = []
    size = 0
    for number in range(1, count + 1):
        try:
            page = _NO_TEXT.sub("\ufffd", reader.pages[number - 1].extract_text())
        except Exception as error:
            problems.append(f"page {number} cannot be read ({_said(error)})")
            page = ""
        size += len(page)
        if size > MAX_CHARACTERS:
            raise DocumentError(f"it has more than {MAX_CHARACTERS:,} characters; split it")
        pages.append("\n".join(line.rstrip() for line in split_lines(page)))
    text = _mended(PAGE_END.join(pages))
    if not text.strip():
        if problems:
            raise DocumentError(f"none of its pages can be read; {problems[0]}")
        raise DocumentError(
            f"there is no text on its {'only page' if count == 1 else f'{count:,} pages'}, only pictures at most; run "
            "it through OCR (text recognition) first"
        )
    return Extracted(text, problems)


def _mended(text: str) -> str:
    """The text with each word that is broken at a line's end put together, on the first line, if it is there unbroken
    somewhere else in the document: nothing else tells "en-coding" from "well-known".
    """
    known = {word.lower() for word in _WORD.findall(text)} if _BROKEN.search(text) else set()

    def join(broken: re.Match[str]) -> str:
        first, second, rest, space = broken.groups()
        whole = first + second
        return whole + rest + ("\n" if space else "") if whole.lower() in known else broken[0]

    return _BROKEN.sub(join, text)


def _said(error: Exception) -> str:
    """What an error of somebody else's says, on one line."""
    return " ".join(f"{error}".split())[:200] or type(error).__name__
