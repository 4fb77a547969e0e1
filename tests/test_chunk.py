"""Chunking: structure by hand-made documents, the promises (order, cover, nothing lost, budget) by made-up ones."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from crumb.text.chunk import MIN_BUDGET, Count, Passage, chunk
from crumb.text.structure import Kind, kind_of

KINDS: tuple[Kind, ...] = ("markdown", "html", "python", "code", "text")


def wordpiece() -> Tokenizer:
    """BERT's tokenizer with a vocabulary of single characters and a few words: everything else is pieces or [UNK]."""
    characters = [chr(c) for c in range(33, 127)] + list("äé中文")
    words = ["[UNK]", *characters, *(f"##{c}" for c in characters), "def", "class", "return", "hello", "##ing"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


TOKENIZER = wordpiece()
LONE = re.compile("[\ud800-\udfff]")


def count(texts: Sequence[str]) -> list[int]:
    return [len(encoding) for encoding in TOKENIZER.encode_batch(list(texts), add_special_tokens=False)]


def offsets(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = TOKENIZER.encode(text, add_special_tokens=False).offsets
    return found


def words(texts: Sequence[str]) -> list[int]:
    """Another way to count, where the whole of a document costs more than its lines: every line end is a token."""
    return [len(text.split()) + text.count("\n") for text in texts]


def word_offsets(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    return spans


def passages(text: str, kind: Kind, budget: int = 10_000) -> list[Passage]:
    return chunk(textwrap.dedent(text).strip("\n"), kind, budget=budget, count=count, offsets=offsets)


def spans(found: list[Passage]) -> list[tuple[int, int, str]]:
    return [(p.start_line, p.end_line, p.heading) for p in found]


def squeezed(text: str) -> str:
    return "".join(text.split())


# --- the promises, for whatever comes

STRUCTURE = """
# One|## Two ##|### A > B|Title|=====|---|```|```python|~~~|- item|> quote|    indented|#|\t|<h1>Head</h1>|<td>1</td>
def f(x):|class C:|    def m(self):|        return 1|@decorator|async def g(): pass|'''|x = '''a|&amp; &lt;
}|};|fn main() {|    call();|// note|/* c */|<p>para|<b>bold</b> and <i>it</i>
"""
LINES = st.one_of(
    st.sampled_from(STRUCTURE.strip("\n").replace("\n", "|").split("|")),
    st.sampled_from(["", "", " ", "\x0c"]),
    st.text(st.sampled_from("ab cd.!? é中文。\u200b\ud800(){}'\"#-=`"), max_size=60),
    st.text(max_size=20),
    st.integers(1, 40).map(lambda n: "hello world. " * n),
    st.integers(1, 200).map(lambda n: "x" * n),
)
DOCUMENTS = st.lists(LINES, max_size=30).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines))
)


def check_promises(found: list[Passage], text: str, budget: int, counting: Count) -> None:
    # Lines as universal newlines has them (HTML is checked by its visible words below).
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ranges = [(p.start_line, p.end_line) for p in found]
    assert ranges == sorted(ranges)
    assert all(a[1] <= b[0] for a, b in pairwise(ranges))
    covered = {line for start, end in ranges for line in range(start, end + 1)}
    assert {i for i, line in enumerate(lines, 1) if line.strip()} <= covered
    assert squeezed("".join(p.text for p in found)) == squeezed(text)
    for p in found:
        assert p.text.strip()
        assert squeezed(p.text) in squeezed("".join(lines[p.start_line - 1 : p.end_line]))
        assert counting([p.embedding_text])[0] <= budget


def clean(texts: Sequence[str]) -> list[int]:
    """As a model's tokenizer does: lone surrogates have no UTF-8 form."""
    return count([LONE.sub("\ufffd", text) for text in texts])


def clean_offsets(text: str) -> list[tuple[int, int]]:
    return offsets(LONE.sub("\ufffd", text))


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.sampled_from([k for k in KINDS if k != "html"]), st.integers(MIN_BUDGET, 60))
def test_promises(text: str, kind: Kind, budget: int) -> None:
    found = chunk(text, kind, budget=budget, count=clean, offsets=clean_offsets)
    check_promises(found, text, budget, clean)


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS, st.sampled_from([k for k in KINDS if k != "html"]), st.integers(MIN_BUDGET, 60))
def test_promises_where_a_whole_counts_more_than_its_lines(text: str, kind: Kind, budget: int) -> None:
    found = chunk(text, kind, budget=budget, count=words, offsets=word_offsets)
    check_promises(found, text, budget, words)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.sampled_from(KINDS), st.integers(2 * MIN_BUDGET, 60), st.data())
def test_overlap_puts_the_end_of_the_passage_above_before_each(
    text: str, kind: Kind, budget: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, budget // 2))
    plain = chunk(text, kind, budget=budget - overlap, count=clean, offsets=clean_offsets)
    found = chunk(text, kind, budget=budget, count=clean, offsets=clean_offsets, overlap=overlap)
    assert len(found) == len(plain)
    assert found[:1] == plain[:1]
    for above, short, long in zip(plain, plain[1:], found[1:], strict=False):
        assert (long.end_line, long.heading) == (short.end_line, short.heading)
        assert long.text.endswith(short.text)
        repeated = long.text.removesuffix(short.text)
        assert squeezed(above.text).endswith(squeezed(repeated))
        assert clean([repeated])[0] <= overlap
        assert above.start_line <= long.start_line <= short.start_line
        assert above.heading == short.heading or not repeated
        assert clean([long.embedding_text])[0] <= budget


def test_overlap_takes_whole_lines_or_else_words() -> None:
    def overlapping(text: str, budget: int, overlap: int) -> list[str]:
        found = chunk(text, "text", budget=budget, count=count, offsets=offsets, overlap=overlap)
        return [p.text for p in found]

    lines = "aa bb\ncc dd\nee ff\ngg hh"  # four tokens a line
    assert overlapping(lines, 12, 4) == ["aa bb\ncc dd", "cc dd\nee ff\ngg hh"]
    assert overlapping(lines, 11, 3) == ["aa bb\ncc dd", "dd\nee ff\ngg hh"]
    assert overlapping(lines, 9, 1) == ["aa bb\ncc dd", "ee ff\ngg hh"]  # no word is cut
    assert overlapping("# A\n\none", 20, 5) == ["# A\n\none"]
    with pytest.raises(ValueError, match="20 tokens can overlap by 0 to 10 tokens, got 11"):
        overlapping(lines, 20, 11)


TAGS = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            "<b>",
            "</b>",
            "<br>",
            "<h1>",
            "</h1>",
            "<h3>",
            "</h3>",
            "<li>",
            "<td>",
            "</td>",
            "<pre>",
            "</pre>",
        ),
        *("<div class='a b'>", "</div>", "<title>", "</title>", "<!-- gone -->", "<img alt=hidden>", "\n", "\r\n", " "),
        *("<script>var hidden = '<p>hidden</p>';</script>", "<style>\np { hidden }\n</style>"),
    ]
)
VISIBLE = st.text(st.sampled_from("abc <>&é中.;"), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(TAGS, VISIBLE.map(lambda t: ("text", t))), max_size=40), st.integers(MIN_BUDGET, 40))
def test_html_keeps_all_that_is_visible(parts: list[str | tuple[str, str]], budget: int) -> None:
    source = "".join(part if isinstance(part, str) else html.escape(part[1]) for part in parts)
    visible = "".join(part[1] for part in parts if not isinstance(part, str))
    found = chunk(source, "html", budget=budget, count=count, offsets=offsets)
    assert squeezed("".join(p.text for p in found)) == squeezed(visible)
    ranges = [(p.start_line, p.end_line) for p in found]
    assert ranges == sorted(ranges)
    lines = source.replace("\r\n", "\n").split("\n")
    for p in found:
        assert squeezed(html.escape(p.text.strip()[0])) in squeezed(lines[p.start_line - 1])
        assert squeezed(html.escape(p.text.strip()[-1])) in squeezed(lines[p.end_line - 1])
        assert count([p.embedding_text])[0] <= budget


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("<>!-[]/&#;abcx \n\"'="), max_size=60))
def test_broken_html_is_no_error(source: str) -> None:
    for p in chunk(source, "html", budget=20, count=count, offsets=offsets):
        assert count([p.embedding_text])[0] <= 20


# --- Markdown


def test_markdown_sections_and_trails() -> None:
    text = """
        before

        # Guide

        ## Keys

        Rotate them.

        ```sh
        # no heading

        rotate
        ```

        ## Locks ##
        Change them.
        # Other
        end
        """
    assert spans(passages(text, "markdown")) == [
        (1, 1, ""),
        (3, 13, "Guide > Keys"),  # a heading with nothing below it but a deeper one goes along with that
        (15, 16, "Guide > Locks"),
        (17, 18, "Other"),
    ]


def test_markdown_setext_headings_and_what_looks_like_them() -> None:
    text = """
        ---
        title: x
        ---
        First
        =====
        a
        Second
        line
        ----
        b

        - item
        ---
        c

        ***
        d

            # indented code

        #hashtag
        """
    assert spans(passages(text, "markdown")) == [
        (1, 3, ""),
        (4, 21, "First > a Second line"),
    ]


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# A", "A"),
        ("###### A", "A"),
        ("####### A", ""),
        ("   # A", "A"),
        ("    # A", ""),
        ("# A #", "A"),
        ("# A#", "A#"),
        ("# A \t##  ", "A"),
        ("#\tA", "A"),
        ("#A", ""),
        ("#", ""),
    ],
)
def test_markdown_atx(line: str, heading: str) -> None:
    # as the examples of CommonMark 0.31, section 4.2
    assert chunk(f"{line}\ntext", "markdown", budget=99, count=count, offsets=offsets)[0].heading == heading


@pytest.mark.parametrize("fence", ["```", "~~~~", "- ```", "  1. ```"])
def test_markdown_fences(fence: str) -> None:
    mark = fence.split()[-1]
    text = f"# A\n{fence}\n# in\n{mark[0] * 2}\n# in\n{mark}\n# out"
    assert spans(passages(text, "markdown")) == [(1, 6, "A"), (7, 7, "out")]


def test_an_unclosed_fence_goes_to_the_end() -> None:
    assert spans(passages("# A\n```\n# in\n\n# in", "markdown")) == [(1, 5, "A")]


# --- code

PYTHON = '''
import os

LIMIT = 3


# what the comment says
@decorator(
    1
)
async def fetch(url):
    """Doc."""

    return url


class Store:
    """A store."""

    size = 0

    def put(self, key):
        text = """
def not_a_function():
"""
        return key + text

    @property
    def all(self):
        return [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
'''


def test_python_functions_and_classes() -> None:
    lines = PYTHON.strip("\n").split("\n")
    fetch, store = lines.index("# what the comment says"), lines.index("class Store:")
    put, every = lines.index("    def put(self, key):"), lines.index("    @property")
    # room for each definition with its heading, for no two of them
    budget = count(["class Store\n" + "\n".join(lines[every:])])[0]
    found = chunk("\n".join(lines), "python", budget=budget, count=count, offsets=offsets)
    assert spans(found) == [
        (1, 3, ""),
        (fetch + 1, store - 2, ""),
        (store + 1, put - 1, "class Store"),
        (put + 1, every - 1, "class Store"),
        (every + 1, len(lines), "class Store"),
    ]


def test_small_neighbours_are_merged() -> None:
    assert len(passages(PYTHON, "python")) == 1


def test_a_split_function_carries_its_name() -> None:
    text = "class A:\n    x = 1\n\n    def long(self):\n" + "\n".join(f"        call({i})" for i in range(40))
    found = passages(text, "python", budget=60)
    assert {p.heading for p in found[1:]} == {"class A > def long"}
    assert found[1].embedding_text == found[1].text.replace("    def", "class A\n    def", 1)  # "def long" is in it
    assert found[2].embedding_text == f"class A > def long\n{found[2].text}"


def test_broken_python_goes_by_its_indentation() -> None:
    text = "def f(:\n    a\n\ndef g():\n    b"
    assert spans(passages(text, "python", budget=10)) == [(1, 2, ""), (4, 5, "")]


def test_other_languages() -> None:
    text = """
        package main

        // Add adds.
        // It really does.
        func Add(a int, b int) int {
        \treturn a + b

        \t// still inside
        }
        func Sub(a int, b int) int {
        \treturn a - b
        }
        """
    # every function fits, no two do
    sizes = count(["package main", "".join(text.split("\n")[3:10]), "".join(text.split("\n")[10:13])])
    budget = max(sizes)
    assert sum(sizes[1:]) > budget
    assert [(p.start_line, p.end_line) for p in passages(text, "code", budget)][-2:] == [(3, 9), (10, 12)]


def test_methods_of_other_languages() -> None:
    body = "        call(one, two, three, four);\n\n        call(five, six, seven, eight, nine);\n    }"
    methods = [f"    void method{i}() {{\n{body}" for i in range(4)]
    lines = ["public class Big {", *"\n\n".join(methods).split("\n"), "}"]
    # room for one method and a heading, or for one and the lines around it
    budget = count(["public class Big {\n" + methods[0] + "\n} public class Big"])[0]
    found = passages("\n".join(lines), "code", budget)
    starts = [i for i, line in enumerate(lines, 1) if "void" in line]
    assert [(p.start_line, p.heading) for p in found] == [(i, "public class Big") for i in (1, *starts[1:])]


# --- HTML


def test_html_lines_and_headings() -> None:
    text = """
        <!doctype html><html><head><title>Keys &amp; locks</title>
        <script>
        var x = "<p>no</p>";
        </script></head>
        <body><h1>Rotating <b>keys</b></h1>

        <p>First
        second &lt;here&gt;.</p><h2>Sub</h2>
        <table><tr><td>a</td><td>b</td></tr></table>
        """
    found = passages(text, "html")
    assert spans(found) == [(1, 8, "Keys & locks > Rotating keys"), (8, 9, "Keys & locks > Rotating keys > Sub")]
    assert found[0].text == "Keys & locks\n\nRotating keys\n\nFirst\nsecond <here>."
    assert found[1].text.split() == ["Sub", "a", "b"]


# --- plain text, and the rest


def test_text_is_split_between_paragraphs_then_lines_then_sentences_then_words() -> None:
    a, b = "aa aa aa aa", "bb bb bb bb"  # 8 tokens each
    assert [p.text for p in passages(f"{a}\n\n\n\n{b}", "text", 17)] == [f"{a}\n\n\n{b}"]
    assert [p.text for p in passages(f"{a}\n\n{b}\n{b}", "text", 17)] == [a, f"{b}\n{b}"]
    assert [p.text for p in passages(f"{a}\n{b}\n{a}", "text", 17)] == [f"{a}\n{b}", a]
    one, two = "aa bb cc.", "dd ee ff."  # 7 tokens each
    assert [p.text for p in passages(f"{one} {two} {one} {two}", "text", 15)] == [f"{one} {two}"] * 2
    for p in passages("aa " * 50, "text", 9):
        assert set(p.text.split()) == {"aa"}  # no word is cut
    assert [len(p.text) for p in passages("x" * 20, "text", 8)] == [
        6,
        6,
        8,
    ]  # pieces of six, to leave room for a heading


def test_a_very_long_line() -> None:
    text = "word " * 5_000 + "x" * 30_000
    found = chunk(text, "text", budget=100, count=count, offsets=offsets)
    assert squeezed("".join(p.text for p in found)) == squeezed(text)
    assert {(p.start_line, p.end_line) for p in found} == {(1, 1)}


def test_headings_take_a_quarter_of_the_budget_at_most() -> None:
    title = "ab " * 20  # 40 tokens
    found = chunk(f"# aa\n## {title}\ntext\n### bb\nmore", "markdown", budget=40, count=count, offsets=offsets)
    assert {p.heading for p in found if "more" not in p.text} == {""}
    assert [p.heading for p in found if "more" in p.text] == ["bb"]


def test_embedding_text_does_not_repeat_headings() -> None:
    assert Passage("## B\n\ntext", 1, 3, "A > B").embedding_text == "A\n## B\n\ntext"
    assert Passage("text", 5, 5, "A > B").embedding_text == "A > B\ntext"
    assert Passage("text", 5, 5, "").embedding_text == "text"


@pytest.mark.parametrize("text", ["", "\n\n", " \t\n"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_has_no_passages(text: str, kind: Kind) -> None:
    assert chunk(text, kind, budget=20, count=count, offsets=offsets) == []


def test_a_budget_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {MIN_BUDGET} tokens, got 3"):
        passages("a", "text", 3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.MD", "markdown"),
        ("a.py", "python"),
        ("a.htm", "html"),
        ("a.rs", "code"),
        ("a.rst", "text"),
        ("LICENSE", "text"),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    assert kind_of(PurePath(name)) == kind
