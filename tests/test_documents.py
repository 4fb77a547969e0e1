"""PDF and DOCX to text: what is in them, where it stands, and that no damage raises anything but our own error."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable

import pytest
from documents import assembled, encrypted, pdf, repacked, stream, word
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import given, settings
from hypothesis import strategies as st

from crumb.errors import DocumentError
from crumb.text import docx as docx_reader
from crumb.text import pdf as pdf_reader
from crumb.text.chunk import chunk
from crumb.text.docx import docx_document, docx_text
from crumb.text.pdf import pdf_document, pdf_text

PAGES = [
    ["Tides (of the sea)", "The moon pulls the water twice a day."],
    [],
    ["Currents", "Warm water flows north, naïve and slow."],
]


def passages(text: str, kind: str, budget: int) -> list[tuple[str, int, int, str]]:
    made = chunk(
        text,
        kind,
        budget=budget,
        count=lambda texts: [len(text.split()) for text in texts],
        offsets=lambda text: [(i, i + 1) for i, c in enumerate(text) if not c.isspace()],
    )
    return [(p.text, p.start_line, p.end_line, p.heading) for p in made]


# --- PDF


@pytest.mark.parametrize("packed", [False, True])
def test_pages_of_a_pdf(packed: bool) -> None:
    text, problems = pdf_text(pdf(PAGES, packed=packed))
    assert [page.split() for page in text.split("\f")] == [" ".join(page).split() for page in PAGES]
    assert problems == []


def test_lines_of_a_pdf_carry_their_page() -> None:
    text, _ = pdf_text(pdf(PAGES))
    document = pdf_document(text)
    placed = [(number, line) for number, line in zip(document.numbers, document.lines, strict=True) if line]
    assert placed == [(i, line) for i, page in enumerate(PAGES, 1) for line in page]
    assert [p[1:3] for p in passages(text, "pdf", 12)] == [(1, 1), (3, 3)]
    assert [p[1:3] for p in passages(text, "pdf", 100)] == [(1, 3)]


def test_words_broken_at_a_line_end() -> None:
    lines = ["The encoding of a well-", "known number: an en-", "coding, as it were. An Un-", "dine's en-", "Coding."]
    text, _ = pdf_text(pdf([lines]))
    # "wellknown" and "Undine" stand nowhere, so they may be meant as they are
    assert text.strip().split("\n") == [
        "The encoding of a well-",
        "known number: an encoding,",
        "as it were. An Un-",
        "dine's enCoding.",
    ]


def test_an_encrypted_pdf() -> None:
    with pytest.raises(DocumentError, match="it is encrypted and opens only with a password"):
        pdf_text(encrypted(pdf(PAGES), "secret"))
    # without a password to open it, encryption keeps nobody from reading
    assert pdf_text(encrypted(pdf(PAGES), "")).text == pdf_text(pdf(PAGES)).text


def test_a_scanned_pdf() -> None:
    with pytest.raises(DocumentError, match=r"there is no text on its 2 pages.*OCR"):
        pdf_text(pdf([[], []]))
    with pytest.raises(DocumentError, match="there is no text on its only page"):
        pdf_text(pdf([[" "]]))


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"no pdf at all", pdf(PAGES)[:300], assembled([b"<< >>"])])
def test_what_is_no_pdf(data: bytes) -> None:
    with pytest.raises(DocumentError, match="it is no PDF, or damaged|it has 0 pages"):
        pdf_text(data)


def test_a_page_that_cannot_be_read_is_named_and_the_others_stay() -> None:
    good = pdf(PAGES)
    at = good.index(b"7 0 obj")  # the content of the second page
    broken = good[:at] + good[at:].replace(b"<< /Length", b"<< /Filter /Unheard /Length", 1)
    text, problems = pdf_text(broken)
    assert text == pdf_text(good).text
    (problem,) = problems
    assert problem.startswith("page 2 cannot be read (")


def test_a_pdf_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # one page with a content that unpacks to more than pypdf lets through, and a page tree that doubles 40 times
    bomb = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>",
        stream(b"BT /F1 9 Tf " + b"(x) Tj " * 12_000_000, packed=True),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    with pytest.raises(DocumentError, match="none of its pages can be read; page 1 cannot be read"):
        pdf_text(assembled(bomb))
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    tree += [b"<< /Type /Pages /Kids [%d 0 R %d 0 R] /Count 2 >>" % (i, i) for i in range(3, 43)]
    tree += [b"<< /Type /Page /MediaBox [0 0 9 9] >>"]
    with pytest.raises(DocumentError):
        pdf_text(assembled(tree))
    monkeypatch.setattr(pdf_reader, "MAX_PAGES", 2)
    with pytest.raises(DocumentError, match="it has 3 pages; between 1 and 2 are read"):
        pdf_text(pdf(PAGES))
    monkeypatch.setattr(pdf_reader, "MAX_CHARACTERS", 20)
    with pytest.raises(DocumentError, match="more than 20 characters"):
        pdf_text(pdf(PAGES[:1]))


def test_pypdf_does_not_talk_to_stderr(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    odd = pdf(PAGES).replace(b"startxref\n", b"startxref\n9")
    with caplog.at_level(logging.WARNING, logger="pypdf"):
        assert "moon" in pdf_text(odd).text
    assert caplog.records  # it had something to say
    code = "import sys; from crumb.text.pdf import pdf_text; pdf_text(sys.stdin.buffer.read())"
    done = subprocess.run([sys.executable, "-c", code], input=odd, capture_output=True, check=True, timeout=120)
    assert done.stderr == b""


# --- DOCX


def fill(document: Document) -> None:
    document.add_heading("Birds of the Fens", 0)
    document.add_paragraph("A survey.")
    document.add_heading("Methods", 1)
    document.add_paragraph("We counted at dawn,\nand again at dusk.")
    document.add_paragraph("by ear", style="List Bullet")
    document.add_paragraph("by eye", style="List Number")
    document.add_heading("Results", 2)
    table = document.add_table(2, 2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells), ["Kind", "Count", "Owl", "7"], strict=True
    ):
        cell.text = text
    document.add_heading("Thanks", 1)
    document.add_paragraph("# to everyone")


SURVEY = word(fill)
MARKDOWN = """# Birds of the Fens

A survey.

## Methods

We counted at dawn, and again at dusk.

- by ear
- by eye

### Results

| Kind | Count |
| Owl | 7 |

## Thanks

\\# to everyone"""


def test_the_structure_of_a_docx() -> None:
    assert docx_text(SURVEY) == MARKDOWN
    found = passages(MARKDOWN, "docx", 60)
    assert [(start, end, heading) for _, start, end, heading in found] == [
        (1, 2, "Birds of the Fens"),
        (3, 6, "Birds of the Fens > Methods"),
        (7, 9, "Birds of the Fens > Methods > Results"),
        (10, 11, "Birds of the Fens > Thanks"),
    ]
    # paragraphs as Word counts them, a row of a table as one
    document = docx_document(MARKDOWN)
    assert max(document.numbers) == len([line for line in MARKDOWN.split("\n") if line])


def test_what_word_wraps_around_text() -> None:
    """Tracked changes, content controls, links, text boxes (and their old copy), nested tables, formulas."""
    box = "<w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent>"
    body = f"""<w:body {nsdecls("w")} xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"
    xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">
    <w:sdt><w:sdtPr/><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>
    <w:p><w:r><w:t xml:space="preserve">kept </w:t></w:r><w:ins><w:r><w:t>added</w:t></w:r></w:ins>
         <w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>
         <w:hyperlink><w:r><w:tab/><w:t>linked</w:t></w:r></w:hyperlink><m:oMath><m:r><m:t>=E</m:t></m:r></m:oMath></w:p>
    <w:p><w:r><w:t>around</w:t><mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>
         </mc:AlternateContent></w:r></w:p>
    <w:tbl><w:tr><w:tc><w:p><w:r><w:t>outer</w:t></w:r></w:p>
      <w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc>
      <w:tc><w:p/></w:tc></w:tr></w:tbl></w:body>"""

    def replace(document: Document) -> None:
        root = document.element
        root.replace(root.body, parse_xml(body))

    assert docx_text(word(replace)) == "controlled\n\nkept added linked=E\n\naround\n\nin a box\n\n| outer inner |  |"


def test_headings_by_outline_level_and_by_styles_built_on_others() -> None:
    def fill(document: Document) -> None:
        own = document.styles.add_style("Kapitel", 1)
        own.base_style = document.styles["Heading 2"]
        document.add_paragraph("Built on Heading 2", style="Kapitel")
        paragraph = document.add_paragraph("By its outline level")
        paragraph._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {nsdecls("w")} w:val="0"/>'))
        plain = document.add_paragraph("Looks like one, is none", style="Heading 1")
        plain._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {nsdecls("w")} w:val="9"/>'))
        # a style on which it is itself built: Word would not, damaged files do
        document.styles["Kapitel 2" if "Kapitel 2" in document.styles else "Quote"].element.append(
            parse_xml(f'<w:basedOn {nsdecls("w")} w:val="Quote"/>')
        )
        document.add_paragraph("quoted", style="Quote")

    assert docx_text(word(fill)).split("\n\n") == [
        "### Built on Heading 2",
        "## By its outline level",
        "Looks like one, is none",
        "quoted",
    ]


def test_notes_come_at_the_end() -> None:
    notes = f"""<w:footnotes {nsdecls("w")}><w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:t>--</w:t></w:r></w:p>
    </w:footnote><w:footnote w:id="1"><w:p><w:r><w:t>Seen from below.</w:t></w:r></w:p></w:footnote></w:footnotes>"""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    types = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"

    def change(name: str, content: bytes) -> bytes:
        if name == "word/_rels/document.xml.rels":
            added = f'<Relationship Id="rId99" Type="{kind}" Target="footnotes.xml"/></Relationships>'
            return content.replace(b"</Relationships>", added.encode())
        if name == "[Content_Types].xml":
            return content.replace(
                b"</Types>", f'<Override PartName="/word/footnotes.xml" ContentType="{types}"/></Types>'.encode()
            )
        return content

    package = io.BytesIO(repacked(SURVEY, change))
    with zipfile.ZipFile(package, "a") as opened:
        opened.writestr("word/footnotes.xml", notes)
    assert docx_text(package.getvalue()) == MARKDOWN + "\n\nSeen from below."


def test_what_is_no_docx() -> None:
    for data in (b"", b"PK\x03\x04", b"plain", SURVEY[: len(SURVEY) // 2], repacked(SURVEY, lambda *_: b"")):
        with pytest.raises(DocumentError, match="it is no DOCX, or damaged"):
            docx_text(data)
    with pytest.raises(DocumentError, match=r"encrypted, or a \.doc of before 2007"):
        docx_text(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DocumentError, match="there is no text in it"):
        docx_text(word(lambda document: None))


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx_reader, "MAX_XML", 1_000_000)
    bomb = repacked(SURVEY, lambda name, data: data + b" " * 2_000_000 if name == "word/document.xml" else data)
    assert len(bomb) < 100_000
    with pytest.raises(DocumentError, match="it unpacks to more than 1 MB of XML"):
        docx_text(bomb)
    # a header that says less than there is
    honest = (2_000_000 + len(zipfile.ZipFile(io.BytesIO(SURVEY)).read("word/document.xml"))).to_bytes(4, "little")
    assert honest in bomb
    with pytest.raises(DocumentError, match="it is no DOCX, or damaged"):
        docx_text(bomb.replace(honest, (500).to_bytes(4, "little")))
    # many pictures weigh nothing here
    picture = io.BytesIO(SURVEY)
    with zipfile.ZipFile(picture, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/media/image1.png", bytes(5_000_000))
    assert docx_text(picture.getvalue()) == MARKDOWN


def test_entities_are_not_resolved() -> None:
    laughs = b'<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'

    def change(name: str, content: bytes) -> bytes:
        if name != "word/document.xml":
            return content
        at = content.index(b"<w:document")
        return content[:at] + laughs + content[at:].replace(b"A survey.", b"A &b;&c; survey.")

    text = docx_text(repacked(SURVEY, change))
    assert "ha" not in text.split("\n")[2]
    assert "root" not in text


# --- damage


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """Copies with bytes changed, runs taken out, put elsewhere or repeated, and ends cut off."""
    place = st.integers(0, len(data) - 1)
    edit = st.one_of(
        st.tuples(st.just("put"), place, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("cut"), place, st.integers(1, 200)),
        st.tuples(st.just("repeat"), place, st.integers(1, 200)),
        st.tuples(st.just("end"), place, st.just(0)),
        st.tuples(st.just("number"), place, st.sampled_from([b"0", b"-1", b"9999999999", b"1 0 R", b"<<", b"]", b"/"])),
    )

    def apply(edits: list[tuple[str, int, object]]) -> bytes:
        out = data
        for how, at, what in edits:
            if isinstance(what, bytes):
                out = out[:at] + what + out[at + len(what) :]
            elif isinstance(what, int):
                run = out[at : at + what]
                out = (
                    out[:at] if how == "end" else out[:at] + (run + run if how == "repeat" else b"") + out[at + what :]
                )
        return out

    return st.lists(edit, min_size=1, max_size=6).map(apply)


def refused(read: Callable[[], object]) -> bool:
    """Whether our own error comes, its message on one line; any other fails the test."""
    try:
        read()
    except DocumentError as error:
        message = str(error)
    else:
        return False
    assert "\n" not in message
    return True


@settings(max_examples=300, deadline=None)
@given(damaged(pdf(PAGES)) | damaged(pdf(PAGES, packed=True)) | damaged(encrypted(pdf(PAGES), "")) | st.binary())
def test_a_damaged_pdf_raises_nothing_else(data: bytes) -> None:
    if not refused(lambda: pdf_text(data)):
        text, _ = pdf_text(data)
        text.encode()  # nothing that UTF-8 cannot hold
        assert max(pdf_document(text).numbers) == text.count("\f") + 1


@settings(max_examples=150, deadline=None)
@given(damaged(SURVEY))
def test_a_damaged_docx_raises_nothing_else(data: bytes) -> None:
    refused(lambda: docx_document(docx_text(data)))


XML = zipfile.ZipFile(io.BytesIO(SURVEY)).read("word/document.xml")
STYLES = zipfile.ZipFile(io.BytesIO(SURVEY)).read("word/styles.xml")


@settings(max_examples=150, deadline=None)
@given(damaged(XML) | st.just(XML), damaged(STYLES) | st.just(STYLES))
def test_a_docx_with_damaged_xml_raises_nothing_else(body: bytes, styles: bytes) -> None:
    changed = {"word/document.xml": body, "word/styles.xml": styles}
    refused(lambda: docx_text(repacked(SURVEY, lambda name, content: changed.get(name, content))))
