"""The readers against files written by others: Python's csv and json writers, gzip, and bytes by hand."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crumb.cli.readers import InputError, Reader, windows
from crumb.errors import DamagedFileError

# Any text that has a UTF-8 form; every other one made of what the formats themselves are made of.
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from('a ,"\t\r\n\ufeff\u2028{'))
# What one line may hold: anything but a line feed, and no carriage return at the end, where it belongs to the line end.
LINES = TEXTS.map(lambda text: text.replace("\n", " ").rstrip("\r"))


def read(path: Path, **options: str) -> list[tuple[str | int, str]]:
    return [tuple(record) for record in Reader(**options).read([str(path)])]


@given(st.lists(LINES), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_lines_round_trip(texts: list[str], end: str, last_ends: bool) -> None:
    data = end.join(texts) + (end if texts and (last_ends or not texts[-1]) else "")
    if data.startswith("\ufeff"):
        data = "\ufeff" + data  # one mark is taken for the file's
    assert [r.text for r in Reader().lines("x", io.BytesIO(data.encode()))] == texts


# With line feeds alone Python's writer does not quote carriage returns on its own.
STYLES = [{"lineterminator": "\r\n"}, {"lineterminator": "\n", "quoting": csv.QUOTE_ALL}]


@given(st.lists(st.tuples(TEXTS, TEXTS)), st.sampled_from([",", "\t"]), st.sampled_from(STYLES))
def test_tables_round_trip(rows: list[tuple[str, str]], delimiter: str, style: dict[str, Any]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, **style)
    writer.writerows([("id", "body"), *rows])
    read_back = Reader("body").table("x", io.BytesIO(out.getvalue().encode()), delimiter)
    assert [tuple(record) for record in read_back] == rows


@given(st.lists(st.tuples(TEXTS | st.integers(), TEXTS, st.booleans())), st.booleans())
def test_json_lines_round_trip(rows: list[tuple[str | int, str, bool]], escape: bool) -> None:
    lines = [json.dumps({"text": text, "id": id_} if named else text, ensure_ascii=escape) for id_, text, named in rows]
    reader = Reader()
    got = [tuple(record) for record in reader.json_lines("x", io.BytesIO("\n".join(lines).encode()))]
    assert got == [(id_ if named else i, text) for i, (id_, text, named) in enumerate(rows)]
    assert reader.id_sources["field"] == sum(named for *_, named in rows)


@given(st.lists(TEXTS), st.integers(1, 5), st.integers(1, 20))
def test_windows_keep_order_and_bounds(texts: list[str], most: int, characters: int) -> None:
    records = list(Reader().words(texts))
    made = list(windows(records, most, characters))
    assert [record for window in made for record in window] == records
    assert all(1 <= len(window) <= most for window in made)
    assert all(sum(len(r.text) for r in window[:-1]) < characters for window in made)
    for window in made[:-1]:  # none ends before it has to
        assert len(window) == most or sum(len(r.text) for r in window) >= characters


def test_empty_lines_are_empty_texts_so_that_ids_stay_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffone\r\n\r\n\u2028 two\x85\x0b\n\nlast".encode())
    assert read(path) == [(0, "one"), (1, ""), (2, "\u2028 two\x85\x0b"), (3, ""), (4, "last")]


def test_positions_go_on_over_several_inputs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\nb\n")
    (tmp_path / "b.jsonl").write_text('"c"\n\n{"text": "d", "id": "D"}\n"e"\n')
    (tmp_path / "c.tsv").write_text('text\tid\n"two\nlines"\tE\n\n')
    reader = Reader()
    inputs = [str(tmp_path / name) for name in ("a.txt", "b.jsonl", "c.tsv")]
    assert [tuple(r) for r in reader.read(inputs)] == [
        (0, "a"), (1, "b"), (2, "c"), ("D", "d"), (4, "e"), ("E", "two\nlines"),
    ]  # fmt: skip
    assert reader.id_sources == {"position": 4, "field": 2}
    assert reader.notes == {"blank lines passed over": 2}


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.ndjson.gz", "X.CSV.GZ", "x.txt.gz"])
def test_gzip(tmp_path: Path, name: str) -> None:
    content = {"n": '{"text": "hé"}\n', "C": "text\nhé\n", "t": "hé\n", "j": '"hé"\n'}[name[2]]
    (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    assert read(tmp_path / name) == [(0, "hé")]


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"line {i * 7919}\n" for i in range(5000)).encode())
    (tmp_path / "cut.txt.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "not.txt.gz").write_bytes(b"plain\n")
    with pytest.raises(DamagedFileError, match=r"cut\.txt\.gz: damaged gzip data after line [1-9]"):
        read(tmp_path / "cut.txt.gz")
    with pytest.raises(DamagedFileError, match=r"not\.txt\.gz: damaged gzip data after line 0"):
        read(tmp_path / "not.txt.gz")


@pytest.mark.parametrize(
    ("name", "data", "options", "message"),
    [
        ("x.jsonl", b'"a"\n{"text": "b"\n', {}, r"x\.jsonl:2: not JSON .*column"),
        ("x.jsonl", b'{"body": "b"}\n', {}, r"x\.jsonl:1: no field 'text' .*there is 'body'"),
        ("x.jsonl", b"{}\n", {}, r"x\.jsonl:1: no field 'text'.*none"),
        ("x.jsonl", b'"a"\n\n{"text": 3}\n', {}, r"x\.jsonl:3: field 'text' is a number; expected a string"),
        ("x.jsonl", b'{"text": null}\n', {}, r"x\.jsonl:1: field 'text' is null; expected a string"),
        ("x.jsonl", b'["a"]\n', {}, r"x\.jsonl:1: found an array; expected an object with 'text', or a string"),
        ("x.jsonl", b"[" * 100_000, {}, r"x\.jsonl:1: JSON that cannot be read"),
        ("x.jsonl", b'{"text": "a", "id": 1.5}\n', {}, r"x\.jsonl:1: field 'id' is a number; an id is"),
        ("x.jsonl", b'{"text": "a", "id": true}\n', {}, r"x\.jsonl:1: field 'id' is true; an id is"),
        ("x.jsonl", b'{"text": "a", "id": "\\ud800"}\n', {}, r"x\.jsonl:1: the id '\\ud800' is no valid Unicode"),
        ("x.jsonl", b'{"text": "a"}\n', {"id_field": "key"}, r"x\.jsonl:1: no field 'key'"),
        ("x.jsonl", b'"a"\n', {"id_field": "key"}, r"x\.jsonl:1: a plain string has no 'key'"),
        ("x.csv", b"", {}, r"x\.csv: empty; expected a header row with a column 'text'"),
        ("x.csv", b"a,b\n1,2\n", {}, r"x\.csv:1: no column 'text'; the header has 'a', 'b'"),
        ("x.csv", b"text,text\n1,2\n", {}, r"x\.csv:1: more than one column 'text'"),
        ("x.csv", b"text\na\n", {"id_field": "key"}, r"x\.csv:1: no column 'key'"),
        ("x.csv", b'id,text\n1,"a\nb"\n2,c,d\n', {}, r"x\.csv:4: 3 cells, the header has 2"),
        ("x.csv", b'text\na\n"b\nc\n', {}, r"x\.csv:3: not CSV"),
        ("x.csv", b'text\n"a" b\n', {}, r"x\.csv:2: not CSV"),
        ("x.txt", b"fine\nna\xefve\n", {}, r"x\.txt:2: byte 3 of the line, 0xef, is not UTF-8"),
        ("x.csv", b"text\n\xff\n", {}, r"x\.csv:2: byte 1 of the line, 0xff, is not UTF-8"),
        ("x.json", b'["a"]', {}, r"x\.json: \.json is not read; expected \.jsonl"),
    ],
)
def test_errors_name_file_line_and_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, options: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(data)
    with pytest.raises(DamagedFileError if "not CSV" in message else InputError, match="^" + message):
        read(Path(name), **options)


def test_a_missing_input_is_refused_before_any_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"nowhere\.txt: no such file or folder"):
        Reader().read([str(tmp_path / "x.txt"), str(tmp_path / "nowhere.txt")])  # not even iterated


def test_half_a_surrogate_pair_is_read_as_the_replacement_character(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(r'"a\ud83d b"' + "\n" + r'"\ud83d\ude00"')
    reader = Reader()
    assert [r.text for r in reader.read([str(tmp_path / "x.jsonl")])] == ["a\ufffd b", "\U0001f600"]
    assert reader.notes == {"texts with half a surrogate pair, read as U+FFFD": 1}


def test_cells_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text\n" + "a" * 200_000 + "\n")
    assert [len(text) for _, text in read(tmp_path / "x.csv")] == [200_000]


def test_folder(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "b" / "deep").mkdir(parents=True)
    (docs / ".git").mkdir()
    (docs / ".git" / "HEAD").write_text("no")
    (docs / "z.md").write_bytes(b"\xef\xbb\xbfz\r\nz\n")
    (docs / "b" / "deep" / "é.txt").write_text("deep", encoding="utf-8")
    (docs / "b" / "empty").write_bytes(b"")
    (docs / "nul.bin").write_bytes(b"text\0text")
    (docs / "latin.txt").write_bytes(b"na\xefve")
    (docs / ".hidden").write_text("no")
    (docs / "dangling").symlink_to(tmp_path / "nowhere")
    reader = Reader()
    expected = [("z.md", "z\r\nz\n"), ("b/empty", ""), ("b/deep/é.txt", "deep")]
    assert [tuple(r) for r in reader.read([str(docs)])] == expected
    assert reader.id_sources == {"path": 3}
    assert reader.notes == {
        "files passed over that are not UTF-8 text": 2,
        "hidden files and folders passed over": 2,
        "broken links and special files passed over": 1,
    }
    os.mkfifo(docs / "pipe")  # would block if it were opened
    assert read(docs) == expected


def test_several_folders_keep_their_names_in_the_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "x.txt").write_text(folder)
    assert [tuple(r) for r in Reader().read(["a", "b/"])] == [("a/x.txt", "a"), ("b/x.txt", "b")]
