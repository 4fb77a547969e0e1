"""A real evaluation of a small model, as a report: its pages read by other parsers (lxml, markdown-it) and by Chromium,
its figures against report.json, and measured again with the data, a figure or the kernels changed."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import FLOAT32
from evaluation_models import tiny_model
from hypothesis import given
from hypothesis import strategies as st

from crumb.evaluation.catalogue import find_tasks
from crumb.evaluation.contamination import Contamination, contamination
from crumb.evaluation.evaluate import Asked, evaluate
from crumb.evaluation.forms import Form, forms_of
from crumb.evaluation.generated.hide import Recipe
from crumb.evaluation.generated.passkey import generate
from crumb.evaluation.measure import load_for, measure
from crumb.evaluation.relevant import by_length
from crumb.evaluation.report.beside import Beside
from crumb.evaluation.report.blocks import Cell, Code, Page, Paragraph, Section, clean, table
from crumb.evaluation.report.html import as_html
from crumb.evaluation.report.markdown import as_markdown
from crumb.evaluation.report.outcome import outcome
from crumb.evaluation.report.palette import COLOURS, STEPS, ink_on
from crumb.evaluation.report.plots import Axis, Line, heat, lines
from crumb.evaluation.report.record import Record, ReportError, read_record
from crumb.evaluation.report.reproduce import (
    ReproductionError,
    asked_here,
    check_data,
    check_models,
    compared,
    reproduce,
)
from crumb.evaluation.report.svg import standalone
from crumb.evaluation.report.words import percent
from crumb.evaluation.report.write import write_report
from crumb.evaluation.retained import Retention, with_shares
from crumb.evaluation.settings import Setting
from crumb.evaluation.tasks import digests

pytest.importorskip("matplotlib", reason="needs the extra [eval]")
lxml_html = pytest.importorskip("lxml.html", reason="needs lxml")

# what breaks pages that quote badly, in Markdown, in HTML and in matplotlib's formulas
AWKWARD = "a|b <img src=x onerror=alert(1)> $x_1$ *é* `c` [d](e)"
SVG = "{http://www.w3.org/2000/svg}"


def write_set(folder: Path, corpus: dict[str, str], queries: dict[str, str], qrels: dict[str, dict[str, int]]) -> None:
    folder.mkdir(parents=True)
    for name, texts in (("corpus", corpus), ("queries", queries)):
        rows = [json.dumps({"_id": i, "text": text}) + "\n" for i, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    rows = [f"{q}\t{d}\t{grade}\n" for q, grades in qrels.items() for d, grade in grades.items()]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> SimpleNamespace:
    """An evaluation with everything that a report shows, of a random model that goes by the name of a published one."""
    home = tmp_path_factory.mktemp("report")
    folder = tiny_model(home, context=256).rename(home / "all-MiniLM-L6-v2")
    documents = sorted({text for text in texts if len(text) > 60}, key=len)[:90]
    for name, some in (("lemb-qmsum", documents[::2]), (AWKWARD, documents[1::2])):
        corpus = {f"d{i}&<{i}>": text for i, text in enumerate(some)}
        queries = {f"q{i}|": text[20:60] for i, text in enumerate(some)}
        qrels: dict[str, dict[str, int]] = {q: {d: 1} for q, d in zip(queries, corpus, strict=True)}
        next(iter(qrels.values()))[list(corpus)[1]] = 2
        write_set(home / "data" / name, corpus, queries, qrels)
    hidden = [part.data for part in generate(Recipe((64, 128, 256, 512), documents=12, queries=10)).values()]
    write_set(
        home / "data" / "passkey-gen",
        {i: text for part in hidden for i, text in part.corpus.items()},
        {i: text for part in hidden for i, text in part.queries.items()},
        {i: grades for part in hidden for i, grades in part.qrels.items()},
    )
    pairs = [f"{text[:30]}\t{text[20:50]}\t{i % 5}" for i, text in enumerate(re.sub(r"\s", " ", t) for t in documents)]
    (home / "data" / "pairs").mkdir()
    (home / "data" / "pairs" / "test.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(pairs[:20]) + "\n")
    asked = Asked(
        model=str(folder),
        tasks=("lemb-qmsum", AWKWARD, "passkey-gen", "pairs"),
        data=str(home / "data"),
        compare=str(folder),
        compare_setting=Setting(layers=1),
        rivals=True,
    )
    command = ("crumb", "eval", str(folder), "--tasks", AWKWARD, "it's\n```\nso")

    def measure_again(question: Asked) -> Record:
        licences = {"lemb-qmsum": "CC BY 4.0"}
        return Record.of(evaluate(question), command, licences, small_forms(question), trained(question))

    record = measure_again(asked)
    write_report(record, home / "out")
    return SimpleNamespace(
        home=home,
        asked=asked,
        measure=measure_again,
        record=record,
        folder=home / "out",
        json=json.loads((home / "out" / "report.json").read_text()),
        html=(home / "out" / "report.html").read_text(encoding="utf-8"),
        markdown=(home / "out" / "report.md").read_text(encoding="utf-8"),
    )


def small_forms(asked: Asked) -> Retention:
    """What small forms of the model keep on two of the tasks."""
    layers, dimensions, encodings = [2, 1], [32, 16, 8], ["float32", "binary"]
    tasks = find_tasks(("lemb-qmsum", AWKWARD), Path(asked.data or ""))
    values: dict[Form, dict[str, float]] = {}
    for form in forms_of(["float32"], layers, dimensions, encodings):
        setting = form.setting(asked.setting)
        model = load_for(asked.model, setting)
        values[form] = {task.name: measure(model, task, setting).value for task in tasks}
    return Retention(
        model.name,
        model.fingerprint,
        model.engine.isa,
        model.context,
        asked.setting,
        {task.name: task.main for task in tasks},
        {task.name: dict(digests(task)) for task in tasks},
        ["float32"],
        layers,
        dimensions,
        encodings,
        with_shares(list(values), values, {("float32", 2): 1000.0, ("float32", 1): 1900.0}),
    )


def trained(asked: Asked) -> Contamination:
    """What the sets share with training texts that have some of their documents, whole and in part."""
    home = Path(asked.data or "").parent
    rows = [json.loads(line) for line in (home / "data/lemb-qmsum/corpus.jsonl").read_text().splitlines()]
    file = home / "training" / f"{AWKWARD}.jsonl"
    file.parent.mkdir(exist_ok=True)
    texts = [rows[30]["text"], rows[40]["text"][: len(rows[40]["text"]) // 2], "nothing of the kind"]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return contamination(find_tasks(("lemb-qmsum", AWKWARD), home / "data"), [file])


def light(record: Record) -> Record:
    """The same without what takes time to draw."""
    return replace(record, retention=None, evaluation=replace(record.evaluation, rivals=[], base=[], differences=[]))


def words(text: str) -> str:
    return " ".join(text.split())


def tables_of(html: str) -> list[list[list[str]]]:
    """The cells of every table, headers first, as another parser reads them."""
    return [
        [[words(cell.text_content()) for cell in row.xpath("./th | ./td")] for row in found.xpath(".//tr")]
        for found in lxml_html.fromstring(html).xpath("//table")
    ]


def rendered(markdown: str) -> str:
    """Markdown as markdown-it renders it, HTML and tables and all."""
    library = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    return str(library.MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


# the record


def test_what_is_read_is_what_was_written(made: SimpleNamespace, tmp_path: Path) -> None:
    found = read_record(made.folder)
    assert found == made.record
    assert found == read_record(made.folder / "report.json")
    write_report(found, tmp_path / "again")
    files = [path.relative_to(made.folder) for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) >= 4 + 3
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_values_of_queries_are_in_a_file_of_their_own(made: SimpleNamespace, tmp_path: Path) -> None:
    with gzip.open(made.folder / "per_query.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    by_name = {(row["group"], row["task"]): row["per_query"] for row in rows}
    for m in made.json["results"]:
        assert "per_query" not in m
        if m["main"] != "Spearman":
            values = by_name["results", m["task"]]
            assert np.mean([np.mean(list(part.values())) for part in values.values()]) == pytest.approx(
                m["metrics"][m["main"]]
            )
    alone = tmp_path / "report.json"
    alone.write_bytes((made.folder / "report.json").read_bytes())
    assert not read_record(alone).complete
    (tmp_path / "per_query.jsonl.gz").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(ReportError, match="not the file that the report was written with"):
        read_record(alone)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read.*expected a folder that --report wrote"),
        ("{", "is no report of crumb eval"),
        ("[]", "is no report of crumb eval"),
        ('{"format": 99}', "format 99; this crumb reads format 1"),
        ('{"format": 1}', "damaged"),
    ],
)
def test_what_is_no_report(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(ReportError, match=message):
        read_record(tmp_path)


def test_a_full_disk_leaves_the_older_report_alone(made: SimpleNamespace, tmp_path: Path) -> None:
    write_report(light(made.record), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # a limit on the size of files stands in for the disk; report.html is the largest
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from crumb.evaluation.report.record import read_record\n"
        "from crumb.evaluation.report.write import write_report\n"
        "record = read_record(Path(sys.argv[1]))\n"
        "from dataclasses import replace; record = replace(record, created='later')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "write_report(record, Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_drawings_of_an_older_report_go(made: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "mine.svg").write_text("kept: there was no report here")
    write_report(made.record, tmp_path)
    assert (tmp_path / "plots" / "mine.svg").exists()
    write_report(light(made.record), tmp_path)
    named = set(re.findall(r"\]\(plots/([^)]*)\)", (tmp_path / "report.md").read_text()))
    assert {path.name for path in (tmp_path / "plots").iterdir()} == named


# the pages


def test_both_pages_hold_the_same_tables(made: SimpleNamespace) -> None:
    from_html, from_markdown = tables_of(made.html), tables_of(rendered(made.markdown))
    assert len(from_html) > 8
    assert from_markdown == from_html


def test_figures_are_those_of_the_record(made: SimpleNamespace) -> None:
    tables = tables_of(made.html)
    results = {row[0]: row for row in tables[0][1:]}
    for m in made.json["results"]:
        row = results[m["task"]]
        shown = dict(zip(tables[0][0], row, strict=True))
        assert (shown["metric"], shown["value"]) == (m["main"], f"{100 * m['metrics'][m['main']]:.2f}")
        for name in ("R@100", "RR@10", "AP@1000"):
            assert shown[name] == (f"{100 * m['metrics'][name]:.2f}" if name in m["metrics"] else "")
        assert shown["queries"].replace(",", "") == str(m["queries"])
    against = next(t for t in tables if t[0][:3] == ["task", "model", "base"])
    assert [row[0] for row in against[1:]] == [d["task"] for d in made.json["differences"]]
    for row, d in zip(against[1:], made.json["differences"], strict=True):
        assert row[1:4] == [f"{100 * d['model']:.2f}", f"{100 * d['base']:.2f}", f"{100 * d['difference']:+.2f}"]
        assert row[4] == f"{100 * d['low']:+.2f} to {100 * d['high']:+.2f}"
        assert (row[5] == "no") == (d["low"] <= 0 <= d["high"])
    published = next(t for t in tables if "reproduced" in t[0])
    assert published[1][:3] == ["lemb-qmsum", "all-MiniLM-L6-v2", "256"]
    assert published[1][4] == "16.32"
    assert published[1][7] == "no"


def test_what_is_kept_is_a_share_of_the_full_size(made: SimpleNamespace) -> None:
    cells = made.json["retention"]["cells"]
    full = cells[0]["values"]
    kept = next(t for t in tables_of(made.html) if "worst task" in t[0])
    assert len(kept) == 1 + len(cells) == 1 + 2 * 3 + 3
    for row, cell in zip(kept[1:], cells, strict=True):
        shares = {task: value / full[task] for task, value in cell["values"].items()}
        name = "{precision}, {layers} layers, {dimensions} dimensions, {encoding}".format(**cell)
        assert row[:4] == [
            name,
            percent(float(np.mean(list(shares.values())))),
            percent(min(shares.values())),
            words(clean(min(shares, key=lambda task: shares[task]))),
        ]
    assert {"dimensions", "encodings", "layers", "grid", "rates"} <= set(
        re.findall(r"\]\(plots/([a-z]+)\.svg\)", made.markdown)
    )


def test_every_row_by_length_has_a_name_of_its_own(made: SimpleNamespace) -> None:
    rows = next(t for t in tables_of(made.html) if "of its ceiling" in t[0])[1:]
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names) == 5
    ways = ("256 tokens", "mean of 256-token chunks", "best of 256-token chunks", "256 tokens, layers=1")
    assert names[:4] == [f"all-MiniLM-L6-v2, {way}" for way in ways]
    # what a perfect reader of 256 tokens finds in 64, 128, 256 and 512
    assert rows[-1][1:] == ["100.00", "100.00", "100.00", "50.00", "87.50", ""]
    whole = next(m for m in made.json["results"] if m["task"] == "passkey-gen")
    assert rows[0][-1] == percent(whole["metrics"]["nDCG@1"] / 0.875)


def test_what_tests_share_with_training_texts_is_told(made: SimpleNamespace) -> None:
    shared = next(t for t in tables_of(made.html) if "verbatim" in t[0])
    (row,) = [dict(zip(shared[0], r, strict=True)) for r in shared[1:] if r[:2] == ["lemb-qmsum", "passages"]]
    assert (row["texts"], row["verbatim"], row["shared"]) == ("45", f"1 ({percent(1 / 45)})", f"2 ({percent(2 / 45)})")
    most = next(t for t in tables_of(made.html) if "longest run of words" in t[0])
    assert ["lemb-qmsum", "passages", "d30&<30>", "100 %"] in [r[:4] for r in most]


def test_nothing_that_was_cut_goes_unsaid(made: SimpleNamespace) -> None:
    cut = next(t for t in tables_of(made.html) if "tokens lost" in t[0])
    lost = [
        (m["task"], side, m[f"{side}_cost"]["tokens_cut"])
        for group in ("results", "base", "rivals")
        for m in made.json[group]
        for side in ("query", "document")
        if m[f"{side}_cost"]["tokens_cut"]
    ]
    assert lost
    shown = [(row[0], {"queries": "query", "documents": "document"}[row[2]], row[5]) for row in cut[1:]]
    assert shown == [(task, side, f"{n:,}") for task, side, n in lost]


def test_the_command_versions_and_digests_are_there(made: SimpleNamespace) -> None:
    parsed = lxml_html.fromstring(made.html)
    text = parsed.text_content()
    shown = parsed.xpath("//pre/code")[0].text_content()
    assert subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True
    ).stdout.decode().split("\0")[:-1] == list(made.record.command)
    assert shown in rendered(made.markdown).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    for m in made.json["results"]:
        assert m["fingerprint"] in text
        for digest in m["data"].values():
            assert digest in text
    for name, version in made.json["machine"]["versions"].items():
        assert name in text
        assert version in text


def test_the_page_needs_nothing_from_anywhere(made: SimpleNamespace) -> None:
    parsed = lxml_html.fromstring(made.html)
    assert parsed.xpath("//script | //link | //iframe | //object | //img | //@onerror | //@onload") == []
    targets = [*parsed.xpath("//@href"), *parsed.xpath("//@src")]
    assert targets
    assert all(target.startswith("#") for target in targets)
    ids = parsed.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in targets} <= set(ids)
    assert re.findall(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", made.html) == []


def test_every_table_has_headers_and_every_drawing_says_what_it_shows(made: SimpleNamespace) -> None:
    parsed = lxml_html.fromstring(made.html)
    for found in parsed.xpath("//table"):
        assert found.xpath("./caption")
        assert all(th.get("scope") == "col" for th in found.xpath("./thead/tr/th"))
        assert all(len(row.xpath("./th[@scope='row']")) == 1 for row in found.xpath("./tbody/tr"))
    drawings = parsed.xpath("//*[local-name()='svg']")
    assert len(drawings) >= 3
    for svg in drawings:
        named = svg.get("aria-labelledby").split()
        assert [len(parsed.get_element_by_id(name).text) > 5 for name in named] == [True, True]
    levels = [int(h.tag[1]) for h in parsed.xpath("//h1 | //h2 | //h3")]
    assert levels == [1] + [2] * (len(levels) - 1)
    assert parsed.get("lang") == "en"


def test_drawings_stand_alone(made: SimpleNamespace) -> None:
    named = re.findall(r"!\[[^\n]*\]\((plots/[^)]*)\)", made.markdown)
    assert len(named) >= 3
    for name in named:
        root = ET.parse(made.folder / name).getroot()
        assert root.tag == f"{SVG}svg"
        assert root.find(f"{SVG}title") is not None
        assert [element.tag for element in root.iter() if element.tag.endswith(("image", "script"))] == []


text = st.text(st.characters(codec="utf-8"), max_size=40) | st.text(
    "ab1 |\\`*_{}[]()<>#+-.!~$@&=:/\"'\n\t", max_size=40
)


@given(name=text, other=text, caption=text)
def test_any_text_is_shown_as_it_is(name: str, other: str, caption: str) -> None:
    rows = [[name, Cell(other)], [other, Cell("yes", "good")]]
    page = Page(
        name, (Paragraph(other),), (Section("s", caption, (table("c", ["x", other], rows), Code(other))),), caption
    )
    expected = [words(clean(t)) for t in ("x", other, name, other, other, "yes")]
    for html in (as_html(page), rendered(as_markdown(page))):
        parsed = lxml_html.fromstring(html)
        cells = parsed.xpath("//th | //td")
        assert [words(cell.text_content()) for cell in cells] == expected
        assert words(parsed.xpath("//h1")[0].text_content()) == words(clean(name))
        assert words(parsed.xpath("//h2")[0].text_content()) == words(clean(caption))
        lines = [clean(line) for line in other.split("\n")]
        assert parsed.xpath("//pre")[0].text_content().rstrip("\n") == "\n".join(lines).rstrip("\n")
        paragraphs = [words(p.text_content()) for p in parsed.xpath("//p")]
        assert [p for p in (words(clean(other)), words(clean(caption))) if p and p not in paragraphs] == []


def test_text_that_would_turn_the_page_is_spelled_out() -> None:
    assert clean("a\u202eb\x00\n\ud800") == "a\\u202eb\\x00\\n\\ud800"
    assert clean("é東🙂") == "é東🙂"


def test_an_image_of_any_names_is_well_formed() -> None:
    series = [Line(name, [1, 2], [3, 4]) for name in (AWKWARD, "_hidden", "$\\frac{1", "\x01\ud800 & 東")]
    drawn = lines("n", AWKWARD, "\x00<", Axis(AWKWARD, ticks={1: "$a$", 2: "_b"}), Axis("y"), series)
    root = ET.fromstring(standalone(drawn.svg))
    shown = [element.text for element in root.iter(f"{SVG}text")]
    for line in series:
        assert clean(line.name) in [t.strip() for t in shown if t]
    assert {AWKWARD, "$a$", "_b"} <= set(shown)


def test_a_heat_map_orders_its_steps_by_value() -> None:
    values = [[0.0, 0.5, None], [0.25, 1.0, 0.75]]
    shown = [["" if v is None else f"{v}" for v in row] for row in values]
    drawn = heat("h", "t", "d", ("x", ["1", "2", "3"]), ("y", ["a", "b"]), values, shown)
    steps = [int(step) for step in re.findall(r"fill: var\(--h(\d)\)", drawn.svg)]
    assert steps == [0, 5, 2, 9, 7]
    assert [t for t in ET.fromstring(drawn.svg).itertext() if t in ("0.0", "0.5", "0.25", "1.0", "0.75")] == [
        "0.0", "0.5", "0.25", "1.0", "0.75",
    ]  # fmt: skip


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return float(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_everything_can_be_told_from_its_ground(scheme: int) -> None:
    colours = {name: pair[scheme] for name, pair in COLOURS.items()}
    for name in ("ink", "faint", "accent", "good", "bad"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["ink"], colours["card"]) >= 4.5
    for name in (n for n in colours if re.fullmatch(r"s\d", n)):
        assert contrast(colours[name], colours["paper"]) >= 3, name
    for step in range(STEPS):
        assert contrast(colours[ink_on(step)], colours[f"h{step}"]) >= 4.5, step
    steps = [luminance(colours[f"h{step}"]) for step in range(STEPS)]
    assert steps == sorted(steps, reverse=scheme == 0)


# in a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs a Chromium on the path")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, which containers run tests as
        yield (started := playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]))
        started.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_browser_shows_it(made: SimpleNamespace, chromium: Any, width: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((made.folder / "report.html").as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("table:visible").count() == len(tables_of(made.html))
    colours = page.evaluate("""() => {
        const of = (node, what) => getComputedStyle(node)[what];
        const paper = of(document.querySelector("svg path"), "fill");
        const texts = [...document.querySelectorAll("figure:not(#plot-grid) text")].map(node => of(node, "fill"));
        return [of(document.body, "backgroundColor"), paper, of(document.body, "color"), ...new Set(texts)];
    }""")
    ground, drawn_on, *inks = ["#" + "".join(f"{int(x):02x}" for x in re.findall(r"\d+", c)[:3]) for c in colours]
    assert ground == drawn_on == COLOURS["paper"][scheme == "dark"]
    assert all(contrast(ink, ground) >= 4.5 for ink in inks)
    # letters of drawings keep a size that can be read
    sizes = page.evaluate("""() => [...document.querySelectorAll("svg text")].map(node =>
        parseFloat(getComputedStyle(node).fontSize) * node.ownerSVGElement.getScreenCTM().a)""")
    assert min(sizes) > 7
    image = page.context.new_page()
    image.goto((made.folder / "plots" / "length.svg").as_uri())
    assert image.evaluate("getComputedStyle(document.querySelector('path')).fill") == colours[1]
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("file:")] == []
    assert len(requests) == 1


# lengths


def test_means_by_length_against_a_direct_form(made: SimpleNamespace) -> None:
    from transformers import BertTokenizerFast

    tokenizer = BertTokenizerFast(str(made.home / "all-MiniLM-L6-v2" / "vocab.txt"), do_lower_case=True)
    measured = made.record.evaluation.results[0]
    rows = [json.loads(line) for line in (made.home / "data/lemb-qmsum/corpus.jsonl").read_text().splitlines()]
    tokens = {row["_id"]: len(tokenizer(row["text"])["input_ids"]) for row in rows}
    relevant: dict[str, list[int]] = {}
    for line in (made.home / "data/lemb-qmsum/qrels.tsv").read_text().splitlines()[1:]:
        query, document, _ = line.split("\t")
        relevant.setdefault(query, []).append(tokens[document])
    expected = {query: float(np.mean(found)) for query, found in relevant.items()}
    assert measured.relevant_tokens == {"": expected}
    values = measured.per_query[""]
    found = by_length(values, expected)
    assert sum(b.queries for b in found) == len(values)
    for b in found:
        inside = [values[query] for query, n in expected.items() if b.low < n <= b.high]
        assert b.queries == len(inside)
        assert b.mean == pytest.approx(np.mean(inside))
        assert b.error == pytest.approx(np.std(inside, ddof=1) / len(inside) ** 0.5 if len(inside) > 1 else 0)


def test_a_length_at_a_bound_and_a_query_without_length() -> None:
    found = by_length({"a": 1.0, "b": 0.0, "c": 0.5}, {"a": 32, "b": 64, "c": 64.5})
    assert [(b.low, b.high, b.queries) for b in found] == [(0, 32, 1), (32, 64, 1), (64, 128, 1)]
    with pytest.raises(ValueError, match="1 queries have no length.*'b'"):
        by_length({"a": 1.0, "b": 0.0}, {"a": 32})


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1e-6, "< 0.1 %"), (0.5, "50 %"), (0.99999, "> 99.9 %"), (1, "100 %")]
)
def test_a_share_never_looks_like_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("ours", "reproduced"), [(64.91, True), (64.11, True), (64.92, False), (None, None)])
def test_a_difference_of_just_the_tolerance_is_within_it(ours: float | None, reproduced: bool | None) -> None:
    assert Beside("t", "m", 256, None, 64.51, 0.4, ours, "").reproduced is reproduced


# measured again


def test_measured_again_it_is_equal_to_the_last_bit(made: SimpleNamespace) -> None:
    record = read_record(made.folder)
    found = reproduce(record, asked_here(record, data=str(made.home / "data")), made.measure)
    assert found.reproduced
    assert (found.changes, found.broken, found.unchecked) == ([], [], [])
    assert {check.verdict for check in found.checks} == {"equal"}
    names = {check.figure for check in found.checks}
    assert {"nDCG@10", "R@100", "Spearman", "nDCG@1 of 512", "low", "document tokens cut"} <= names
    assert (
        outcome(found).splitlines()[-1] == f"reproduced: of {len(found.checks):,} figures {len(found.checks):,} equal"
    )


def test_a_figure_that_was_changed_is_named(made: SimpleNamespace, tmp_path: Path) -> None:
    data = json.loads(json.dumps(made.json))
    value = data["results"][1]["metrics"]["RR@10"]
    data["results"][1]["metrics"]["RR@10"] = value + 0.01
    (tmp_path / "report.json").write_text(json.dumps(data))
    found = compared(read_record(tmp_path), made.record)
    assert not found.reproduced
    wrong = [check for check in found.checks if check.verdict == "differs"]
    assert [(check.figure, check.then, check.now) for check in wrong] == [("RR@10", value + 0.01, value)]
    assert AWKWARD in wrong[0].of
    assert found.unchecked == ["the report came without the values of each query"]
    assert re.search(rf"RR@10 +{value + 0.01:.5f} +{value:.5f}  differs", outcome(found))
    assert "NOT reproduced" in outcome(found)


def test_other_data_are_refused_before_anything_is_measured(made: SimpleNamespace, tmp_path: Path) -> None:
    data = shutil.copytree(made.home / "data", tmp_path / "data")
    check_data(made.record, find_tasks(made.asked.tasks, data))
    file = data / "lemb-qmsum" / "corpus.jsonl"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    with pytest.raises(ReproductionError, match="lemb-qmsum: corpus.jsonl is [0-9a-f]{16}…, in the report") as caught:
        check_data(made.record, find_tasks(made.asked.tasks, data))
    assert "qrels" not in str(caught.value)
    with pytest.raises(ReproductionError, match="pairs is not here"):
        check_data(made.record, find_tasks(["lemb-qmsum"], made.home / "data"))


def test_another_model_is_refused_before_anything_is_measured(made: SimpleNamespace, tmp_path: Path) -> None:
    check_models(made.record, asked_here(made.record))
    folder = Path(shutil.copytree(made.asked.model, tmp_path / "all-MiniLM-L6-v2"))
    check_models(made.record, asked_here(made.record, model=str(folder)))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ReproductionError, match="all-MiniLM-L6-v2 is not the model of the report"):
        check_models(made.record, asked_here(made.record, model=str(folder)))


def test_other_data_and_another_model_reproduce_nothing(made: SimpleNamespace) -> None:
    now = made.record.evaluation
    first = now.results[0]
    other = replace(first, fingerprint="0" * 64, data={**first.data, "qrels.tsv": "f" * 64})
    found = compared(made.record, replace(made.record, evaluation=replace(now, results=[other, *now.results[1:]])))
    assert not found.reproduced
    assert [check for check in found.checks if check.verdict == "differs"] == []
    assert ["fingerprint" in found.broken[0], "qrels.tsv" in found.broken[1]] == [True, True]
    found = compared(made.record, replace(made.record, evaluation=replace(now, results=now.results[:-1])))
    assert found.broken == ["results: pairs was not measured again"]
    assert not found.reproduced
    found = compared(made.record, replace(made.record, retention=None))
    assert found.broken == ["retention: was not measured again"]
    found = compared(made.record, replace(made.record, contamination=None))
    assert [found.reproduced, "training texts" in found.unchecked[0]] == [True, True]
    cells = made.record.retention.cells
    cut = replace(made.record.retention, cells=cells[:-1], fingerprint="1" * 64)
    found = compared(made.record, replace(made.record, retention=cut))
    assert [(check.now, check.verdict) for check in found.checks if check.verdict != "equal"] == [(None, "differs")] * 2
    assert "1111111111111111…" in found.broken[0]


@pytest.mark.skipif(len(FLOAT32) < 2, reason="this CPU runs one kernel only")
def test_on_other_kernels_figures_may_differ_a_little(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    record = made.record
    used = record.evaluation.results[0].isa
    other = next(name for name in FLOAT32 if name != used)
    monkeypatch.setenv("CRUMB_ISA", other)
    asked = asked_here(record)
    found = reproduce(record, asked, made.measure)
    assert found.changes == [f"kernels: float32 on {used} then, float32 on {other} now"]
    assert found.broken == []
    metrics = [check for check in found.checks if check.figure == "nDCG@10"]
    # 45 queries in each set, 40 where a pass key is hidden
    assert {round(check.tolerance, 9) for check in metrics} == {round(0.02 / n**0.5, 9) for n in (45, 40)}
    assert {check.tolerance for check in found.checks if check.figure == "document tokens"} == {0.0}


def test_what_else_differs_is_said(made: SimpleNamespace) -> None:
    here = json.loads(json.dumps(made.record.machine))
    here["versions"]["crumb"] = "9.9.9"
    here["cpu"] = "Another"
    found = compared(made.record, replace(made.record, machine=here))
    assert found.changes == [
        f"crumb: {made.record.machine['versions']['crumb']} then, 9.9.9 now",
        f"CPU: {made.record.machine['cpu']} then, Another now",
    ]
    assert found.reproduced
    assert "changed since: crumb" in outcome(found)


def test_the_precision_that_was_chosen_then_is_asked_for(made: SimpleNamespace) -> None:
    evaluation = replace(made.record.evaluation, asked=replace(made.asked, setting=Setting(precision="auto")))
    record = replace(made.record, evaluation=evaluation)
    assert asked_here(record).setting.precision == made.record.evaluation.results[0].precision
    assert asked_here(record).tasks == made.asked.tasks
    assert asked_here(record, data="elsewhere").data == "elsewhere"


def test_the_model_of_the_report_is_the_one_that_was_measured(made: SimpleNamespace) -> None:
    model = load_for(made.asked.model, made.asked.setting)
    assert made.json["results"][0]["fingerprint"] == model.fingerprint
