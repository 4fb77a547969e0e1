"""The page at /ui in a real Chromium, before the real server: what it shows is what the library computes."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import crumb
from crumb.server.page import INDEX, assets

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs a Chromium on the path", allow_module_level=True)
for needed in ("fastapi", "uvicorn"):
    pytest.importorskip(needed, reason="needs the extra [serve]")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect

# texts that break what quotes badly: for a shell, for Python, for JSON and for HTML
AWKWARD = [
    """It's "quoted" `twice` and $HOME, $(id), 100 % \\ off \\n!""",
    "<img src=x onerror=alert(1)> & <b>bold</b>",
    "naïve café, 東京, 🙂 and ''' or \"\"\" too",
    "-d @/etc/hostname; #comment",
]


@contextmanager
def serving(env: dict[str, str], *flags: str) -> Iterator[str]:
    """The address of a real `crumb serve` that is ready, for as long as the block runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "crumb.cli", "serve", "--port", str(port), *flags]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                if get(f"{url}/health/ready")[0] == 200:
                    break
            except OSError:
                pass  # nothing listens yet
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def server(crumb_env: dict[str, str]) -> Iterator[str]:
    # the parent's pipe is not read while it runs: no line for every request
    with serving(crumb_env, "--log-level", "warning") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # of this module, not of the session: until Playwright ends an event loop counts as running in this thread, and
    # whatever test calls asyncio.run fails
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, which containers run tests as
        yield (started := playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]))
        started.close()


class Visit:
    """One visitor's page, and all that it complained of or asked for."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, view: str = "similarity") -> Page:
        self.page.goto("about:blank")  # or the address would differ in its fragment only, and nothing be loaded
        self.page.goto(f"{self.url}/ui#{view}")
        self.settled(view)
        return self.page

    def settled(self, view: str) -> None:
        # a control's change is noticed in the same turn of the event loop: by now the result is either due or done
        self.page.wait_for_selector(f"#{view}-result[aria-busy=false]", state="attached")

    def fill(self, field: str, lines: list[str], view: str) -> None:
        self.page.fill(field, "\n".join(lines))
        self.settled(view)

    def matrix(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        rows = self.page.locator("#matrix tbody tr")
        cells = rows.evaluate_all(
            "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText))"
        )
        return np.array([[float(cell.replace("−", "-")) for cell in row] for row in cells])

    def rankings(self) -> list[list[dict[str, Any]]]:
        return self.page.locator("#ranking article").evaluate_all(
            """lists => lists.map(list => [...list.querySelectorAll("li")].map(item => ({
                passage: Number(item.dataset.passage), place: item.value, text: item.querySelector(".text").innerText,
                score: Number(item.querySelector(".figure").innerText.replace("−", "-")),
                move: item.querySelector(".move")?.textContent ?? null,
            })))"""
        )


@pytest.fixture(scope="module")
def visitor(browser: Browser, server: str) -> Iterator[Visit]:
    found = Visit(browser, server)
    yield found
    found.context.close()


@pytest.fixture
def visit(visitor: Visit) -> Iterator[Visit]:
    """A visitor who has nothing to complain of, and asks nobody else; the page is loaded anew for every test."""
    visitor.complaints.clear()
    visitor.requests.clear()
    yield visitor
    assert visitor.complaints == []
    allowed = (f"{visitor.url}/ui", f"{visitor.url}/v1/")
    elsewhere = [url for url in visitor.requests if not url.startswith(allowed) and url != f"{visitor.url}/"]
    assert elsewhere == []


def fields(page: Page, name: str) -> list[str]:
    return page.input_value(f"#{name}").split("\n")


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# The files


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def test_every_file_is_served_and_kept_by_its_etag(server: str) -> None:
    paths = {"/ui": assets()[INDEX], **{f"/ui/{name}": asset for name, asset in assets().items()}}
    for path, asset in paths.items():
        status, headers, body = get(server + path)
        assert (status, body, headers["etag"]) == (200, asset.body, asset.etag)
        assert headers["content-type"] == asset.content_type
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert get(server + path, if_none_match=f'"other", W/{asset.etag}')[0] == 304
        assert get(server + path, if_none_match='"other"')[0] == 200
    assert get(f"{server}/ui/nothing.js")[0] == 404
    assert get(f"{server}/ui/..%2F__init__.py")[0] == 404
    assert get(f"{server}/ui/__init__.py")[0] == 404


def test_the_files_name_one_another_and_nobody_else() -> None:
    page = assets()[INDEX].body.decode()
    named = set(re.findall(r'(?:src|href)="ui/([^"]+)"', page))
    for name, asset in assets().items():
        text = asset.body.decode()
        found = set(re.findall(r'from "\./([^"]+)"', text))
        assert found <= assets().keys()
        named |= found
        outside = [url for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text) if "w3.org" not in url]
        assert outside == [], name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|setAttribute\(.style", text
        ), name
    assert named == assets().keys() - {INDEX}
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)


def test_inline_code_and_other_origins_are_refused(visitor: Visit) -> None:
    page = visitor.open()
    visitor.complaints.clear()
    page.evaluate("""() => {
        const inline = document.createElement("script");
        inline.textContent = "window.ran = true";
        const outside = document.createElement("img");
        outside.src = "http://127.0.0.1:9/picture.png";
        document.body.append(inline, outside);
    }""")
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert page.evaluate("window.ran") is None
    refused = [complaint for complaint in visitor.complaints if "Content Security Policy" in complaint]
    assert len(refused) >= 3


# Similarity


def test_the_heat_map_holds_the_librarys_similarities(visit: Visit, default: crumb.Model) -> None:
    page = visit.open()
    texts = fields(page, "texts")
    vectors = default.encode(texts)
    expected = crumb.similarity(vectors, vectors)
    np.testing.assert_allclose(visit.matrix(), expected, atol=0.00501)
    # a table to whoever hears it: each header says its text
    assert [cell.split(" ", 1)[1] for cell in page.locator("#matrix th[scope=row]").all_text_contents()] == texts
    assert [cell.rsplit(" ", 1)[0] for cell in page.locator("#matrix th[scope=col]").all_text_contents()] == texts

    pairs = [(expected[i, j], i + 1, j + 1) for i in range(len(texts)) for j in range(i + 1, len(texts))]
    (_, i, j), (_, k, m) = max(pairs), min(pairs)
    expect(page.locator("#similarity-summary")).to_contain_text(f"Most alike: {i} and {j}")
    expect(page.locator("#similarity-summary")).to_contain_text(f"Least: {k} and {m}")

    page.hover("#matrix td[data-row='1'][data-column='4']")
    shown = page.locator("#pair")
    assert float(shown.locator("strong").inner_text().replace("−", "-")) == pytest.approx(expected[1, 4], abs=5.1e-5)
    assert shown.locator(".text").all_inner_texts() == [texts[1], texts[4]]


def test_texts_are_parted_at_blank_lines_if_there_are_any(visit: Visit, default: crumb.Model) -> None:
    page = visit.open()
    visit.fill("#texts", ["", "first line", "second line", "", " \t", "other", ""], "similarity")
    texts = ["first line\nsecond line", "other"]
    vectors = default.encode(texts)
    np.testing.assert_allclose(visit.matrix(), crumb.similarity(vectors, vectors), atol=0.00501)
    expect(page.locator("#texts-read")).to_contain_text("Parted at blank lines.")
    page.get_by_role("button", name="Take every line as a text").click()
    visit.settled("similarity")
    assert visit.matrix().shape == (3, 3)
    visit.fill("#texts", ["  "], "similarity")
    expect(page.locator("#similarity-summary")).to_have_text("Paste some texts to see how alike they are.")
    visit.fill("#texts", ["alone"], "similarity")
    assert visit.matrix().shape == (1, 1)


def test_text_stays_text(visit: Visit) -> None:
    page = visit.open()
    visit.fill("#texts", AWKWARD, "similarity")
    page.hover("#matrix td[data-row='0'][data-column='1']")
    assert page.locator("#pair .text").all_inner_texts() == AWKWARD[:2]
    assert page.locator("main img, main b").count() == 0
    page.click("#tab-search")
    visit.fill("#queries", AWKWARD, "search")
    visit.fill("#passages", AWKWARD, "search")
    assert page.locator("#ranking h3").all_inner_texts() == AWKWARD
    assert page.locator("main img, main b").count() == 0


def test_only_the_first_texts_are_drawn_and_the_page_says_so(visit: Visit) -> None:
    page = visit.open()
    visit.fill("#texts", [f"text number {i}" for i in range(75)], "similarity")
    assert visit.matrix().shape == (60, 60)
    expect(page.locator("#similarity-summary")).to_contain_text("The first 60 of 75 texts.")


def test_what_lies_behind_the_context_is_marked(visit: Visit, model_folder: Path, default: crumb.Model) -> None:
    from tokenizers import Tokenizer

    # characters of two UTF-16 units before the cut: places count characters, not units
    long = "🙂 beginning " + "one word after another 🙂🙃 " * 60 + "unread"
    page = visit.open()
    visit.fill("#texts", ["short", long], "similarity")
    library = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    offsets = library.encode(long, add_special_tokens=False).offsets
    room = default.context - 2
    assert len(offsets) > room
    expected = long[offsets[room][0] :]

    row = page.locator("#texts-read li").nth(1)
    assert row.locator("del").evaluate("mark => mark.lastChild.data") == expected
    assert row.locator(".text").evaluate("text => text.firstChild.data") == long[: offsets[room][0]]
    expect(row.locator(".figure")).to_have_text(f"{default.context} of {len(offsets) + 2} tokens")
    assert page.locator("#texts-read li").nth(0).locator("del").count() == 0
    expect(page.locator("#texts-read summary")).to_contain_text("1 cut")
    expect(page.locator("#texts-read .note")).to_contain_text(f"{len(offsets) - room} tokens of 1 text")
    expect(row.locator("del")).to_be_visible()


# Search


@pytest.mark.parametrize(("dimensions", "layers"), [(384, 6), (384, 2), (40, 3)])
def test_the_ranking_is_brute_force(visit: Visit, default: crumb.Model, dimensions: int, layers: int) -> None:
    page = visit.open("search")
    queries, passages = fields(page, "queries"), fields(page, "passages")
    page.fill("#dimensions", str(dimensions))
    page.fill("#layers", str(layers))
    visit.settled("search")
    page.get_by_role("button", name="Show all").click()

    def scores(d: int, n: int) -> Any:
        q, p = (unit(default.encode(texts, layers=n, normalized=False)[:, :d]) for texts in (queries, passages))
        return q @ p.T

    reduced, full = scores(dimensions, layers), scores(384, 6)
    whole = (dimensions, layers) == (384, 6)
    overlaps = []
    for shown, row, before in zip(visit.rankings(), reduced, full, strict=True):
        order, places = np.argsort(-row, kind="stable"), np.argsort(np.argsort(-before, kind="stable"))
        assert [item["passage"] for item in shown] == order.tolist()
        assert [item["text"] for item in shown] == [passages[i] for i in order]
        np.testing.assert_allclose([item["score"] for item in shown], row[order], atol=0.000501)
        for item in shown if not whole else []:
            moved = int(places[item["passage"]]) - (item["place"] - 1)
            sign = "=" if moved == 0 else f"{'▲' if moved > 0 else '▼'}{abs(moved)}"
            assert item["move"].startswith(sign)
        overlaps.append(len(set(order[:10]) & set(np.argsort(-before, kind="stable")[:10])))
    if whole:
        assert all(item["move"] is None for shown in visit.rankings() for item in shown)
        expect(page.locator("#effect")).to_contain_text("All of the model")
    else:
        notes = page.locator("#ranking article > .note").all_inner_texts()
        assert [int(re.findall(r"Top 10: (\d+) of 10", note)[0]) for note in notes] == overlaps
        mean = f"{np.mean(overlaps):.1f}".removesuffix(".0")
        expect(page.locator("#effect")).to_contain_text(f"{mean} of 10 the same as the full model finds")


def test_bits_are_scored_as_bits_and_every_codes_bytes_are_shown(visit: Visit, default: crumb.Model) -> None:
    page = visit.open("search")
    queries, passages = fields(page, "queries"), fields(page, "passages")
    cost = page.locator("#cost")
    expect(cost).to_have_text("1,536 bytes a vector, 1.54 GB for a million.")
    page.get_by_label("binary", exact=True).check()
    page.fill("#dimensions", "128")
    visit.settled("search")
    expect(cost).to_have_text("16 bytes a vector, 16 MB for a million; 96 times less than the full model.")
    q, p = (unit(default.encode(texts, normalized=False)[:, :128]) for texts in (queries, passages))
    scores = q @ (np.where(p > 0, 1, -1) / np.sqrt(128)).T
    for shown, row in zip(visit.rankings(), scores, strict=True):
        assert [item["passage"] for item in shown] == np.argsort(-row, kind="stable")[:5].tolist()
        np.testing.assert_allclose([item["score"] for item in shown], np.sort(row)[::-1][:5], atol=0.000501)

    page.get_by_label("int8", exact=True).check()
    visit.settled("search")
    expect(cost).to_have_text("128 bytes a vector, 128 MB for a million; 12 times less than the full model.")

    page.get_by_role("button", name="Full model").click()
    visit.settled("search")
    expect(cost).to_have_text("1,536 bytes a vector, 1.54 GB for a million.")
    assert page.evaluate("document.activeElement.id") == "model"


def test_a_prompt_goes_before_queries_and_is_counted(visit: Visit, default: crumb.Model) -> None:
    page = visit.open("search")
    queries, passages = fields(page, "queries"), fields(page, "passages")
    visit.fill("#prompt", ["🙂 question: "], "search")
    scores = default.encode(queries, prompt="🙂 question: ") @ default.encode(passages).T
    for shown, row in zip(visit.rankings(), scores, strict=True):
        assert [item["passage"] for item in shown] == np.argsort(-row, kind="stable")[:5].tolist()
    counts = [n + 2 for n in default.tokenizer.count([f"🙂 question: {query}" for query in queries])]
    page.click("#queries-read summary")
    assert page.locator("#queries-read .figure").all_inner_texts() == [f"{n} tokens" for n in counts]
    # the mark of what is cut does not count the prompt's characters
    visit.fill("#queries", ["word " * 300], "search")
    room = default.context - 2 - default.tokenizer.count(["🙂 question: "])[0]
    assert page.locator("#queries-read .text").evaluate("text => text.firstChild.data") == "word " * room


def test_another_model_brings_its_sizes_and_its_prompts(
    browser: Browser, model_folder: Path, crumb_env: dict[str, str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in model_folder.iterdir():
        (other / file.name).symlink_to(file)
    prompt = "🙂 represent this: "
    settings = {"prompts": {"query": prompt}, "default_prompt_name": "query"}
    (other / "config_sentence_transformers.json").unlink(missing_ok=True)
    (other / "config_sentence_transformers.json").write_text(json.dumps(settings), encoding="utf-8")
    model = crumb.load(other)
    with serving(crumb_env, "--log-level", "warning", "--model", str(model_folder), "--model", str(other)) as server:
        visit = Visit(browser, server)
        page = visit.open("search")
        queries, passages = fields(page, "queries"), fields(page, "passages")
        page.fill("#layers", "2")
        page.select_option("#model", "other")
        visit.settled("search")
        expect(page.locator("#facts")).to_contain_text("other: 384 dimensions")
        assert page.input_value("#layers") == "6"
        assert page.locator("#prompts option").evaluate_all("all => all.map(one => one.value)") == [prompt]
        scores = model.encode(queries) @ model.encode(passages).T  # with the prompt that the model puts before all
        for shown, row in zip(visit.rankings(), scores, strict=True):
            assert [item["passage"] for item in shown] == np.argsort(-row, kind="stable")[:5].tolist()
        visit.fill("#queries", ["word " * 300], "search")
        room = model.context - 2 - model.tokenizer.count([prompt])[0]
        assert page.locator("#queries-read .text").evaluate("text => text.firstChild.data") == "word " * room
        visit.context.close()
    assert visit.complaints == []


# The same from a shell and from Python


def copied(visit: Visit, view: str, name: str) -> str:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.url)
    visit.page.locator(f"#{view}-code").get_by_role("button", name=f"Copy as {name}").click()
    expect(visit.page.locator(f"#{view}-code [role=status]")).to_have_text(f"{name} copied.")
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


def run(command: list[str], where: Path, said: str | None = None) -> str:
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, encoding="utf-8", cwd=where, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_copied_curl_runs_and_gives_the_same_numbers(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    page.fill("#dimensions", "96")
    visit.fill("#texts", AWKWARD, "similarity")
    command = copied(visit, "similarity", "curl")
    for shell in filter(shutil.which, ("sh", "bash", "zsh")):
        answer = json.loads(run([shell], tmp_path, command))
        np.testing.assert_allclose(visit.matrix(), answer["scores"], atol=0.00501)
        assert answer["dimensions"] == 96

    # more than an argument may be long
    page.fill("#dimensions", "384")
    visit.fill("#texts", [*AWKWARD, "long " * 12_000, "longer " * 9_000], "similarity")
    command = copied(visit, "similarity", "curl")
    assert len(command.encode()) > 120_000
    np.testing.assert_allclose(visit.matrix(), json.loads(run(["sh"], tmp_path, command))["scores"], atol=0.00501)


@pytest.mark.skipif(find_spec("openai") is None, reason="needs the openai client")
@pytest.mark.parametrize(("code", "view"), [("float", "similarity"), ("int8", "search"), ("binary", "search")])
def test_the_copied_python_runs_and_gives_the_same_numbers(visit: Visit, code: str, view: str, tmp_path: Path) -> None:
    page = visit.open(view)
    page.fill("#dimensions", "136")
    page.fill("#layers", "4")
    page.get_by_label(code, exact=True).check()
    if view == "similarity":
        page.fill("#texts", "\n".join(AWKWARD))
    else:
        page.fill("#queries", "\n".join(AWKWARD[:3]))
        page.fill("#passages", "\n".join(AWKWARD))
        page.fill("#prompt", AWKWARD[0])
    visit.settled(view)
    program = tmp_path / "copied.py"
    program.write_text(
        copied(visit, view, "Python") + "import json\nprint(json.dumps(scores.tolist()))\n", encoding="utf-8"
    )
    scores = np.array(json.loads(run([sys.executable, "-X", "utf8", str(program)], tmp_path).splitlines()[-1]))
    if view == "similarity":
        np.testing.assert_allclose(visit.matrix(), scores, atol=0.00501)
    else:
        for shown, row in zip(visit.rankings(), scores, strict=True):
            assert [item["passage"] for item in shown] == np.argsort(-row, kind="stable").tolist()
            np.testing.assert_allclose([item["score"] for item in shown], np.sort(row)[::-1], atol=0.000501)


def test_with_a_key_the_browser_asks_for_it_and_the_copied_curl_names_it(
    browser: Browser, crumb_env: dict[str, str], tmp_path: Path
) -> None:
    key = "a key: with a colon"
    with serving({**crumb_env, "CRUMB_API_KEY": key}, "--log-level", "warning") as server:
        status, headers, _ = get(f"{server}/ui")
        assert (status, headers["www-authenticate"].split()[0]) == (401, "Basic")
        visit = Visit(browser, server, http_credentials={"username": "", "password": key})
        page = visit.open()
        assert visit.matrix().shape == (7, 7)
        for name in ("curl", "Python"):
            text = page.locator(f"#similarity-code pre[aria-label={name}]").text_content()
            assert "CRUMB_API_KEY" in text
            assert key not in text
        if shutil.which("curl"):
            command = page.locator("#similarity-code pre[aria-label=curl]").text_content()
            answer = json.loads(run(["sh"], tmp_path, f"export CRUMB_API_KEY='{key}'\n{command}"))
            np.testing.assert_allclose(visit.matrix(), answer["scores"], atol=0.00501)
        visit.context.close()


# For everyone


def test_it_is_used_by_keyboard_alone(visit: Visit) -> None:
    page = visit.open()
    press = page.keyboard.press

    def focused() -> str:
        return str(page.evaluate("document.activeElement.id || document.activeElement.name"))

    stops = []
    for _ in range(6):
        press("Tab")
        stops.append(focused())
    # the button that goes back to the full model is no stop while there is nothing to go back to
    assert stops == ["model", "dimensions", "layers", "code", "tab-similarity", "texts"]

    # into the heat map, and around in it
    page.focus("#texts")
    while not page.evaluate("document.activeElement.matches('td')"):
        press("Tab")
    here = "[Number(document.activeElement.dataset.row), Number(document.activeElement.dataset.column)]"
    walked = []
    for key in ["ArrowRight", "ArrowDown", "End", "ArrowRight", "Control+Home", "ArrowUp", "Control+End", "Home"]:
        press(key)
        walked.append(page.evaluate(here))
    assert walked == [[0, 1], [1, 1], [1, 6], [1, 6], [0, 0], [0, 0], [6, 6], [6, 0]]
    texts = fields(page, "texts")
    assert page.locator("#pair .text").all_inner_texts() == [texts[6], texts[0]]
    assert page.locator("#matrix td[tabindex='0']").count() == 1

    page.focus("#tab-similarity")
    press("ArrowRight")
    visit.settled("search")
    assert focused() == "tab-search"
    expect(page.locator("#search-view")).to_be_visible()
    expect(page.locator("#similarity-view")).to_be_hidden()
    assert page.get_attribute("#tab-search", "aria-selected") == "true"
    page.focus("#dimensions")
    press("Home")
    page.focus("#layers")
    press("ArrowLeft")
    visit.settled("search")
    expect(page.locator("#dimensions-shown")).to_have_text("8 of 384")
    expect(page.locator("#layers-shown")).to_have_text("5 of 6")
    expect(page.locator("#cost")).to_contain_text("32 bytes")
    page.focus("input[name=code]:checked")
    press("ArrowLeft")
    visit.settled("search")
    expect(page.locator("#cost")).to_contain_text("1 byte a vector")
    page.focus("#more")
    press("Enter")
    assert [len(shown) for shown in visit.rankings()] == [24] * 4
    page.focus("#tab-search")
    press("Home")
    visit.settled("similarity")
    assert focused() == "tab-similarity"


def test_every_control_has_a_name(visit: Visit) -> None:
    page = visit.open("search")
    nameless = page.locator("input, select, textarea, button, [role=tab], [role=tabpanel]").evaluate_all(
        """nodes => nodes.filter(node => !(node.labels?.length || node.ariaLabel || node.textContent.trim()
            || node.getAttribute("aria-labelledby"))).map(node => node.outerHTML)"""
    )
    assert nameless == []
    for tab in page.locator("[role=tab]").all():
        panel = page.locator(f"#{tab.get_attribute('aria-controls')}")
        assert panel.get_attribute("aria-labelledby") == tab.get_attribute("id")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_nothing_is_wider_than_the_screen(browser: Browser, server: str, width: int, scheme: Any) -> None:
    visit = Visit(browser, server, viewport={"width": width, "height": 780}, color_scheme=scheme, has_touch=True)
    page = visit.open()
    for view in ("similarity", "search"):
        page.click(f"#tab-{view}")
        visit.settled(view)
        if view == "similarity":
            visit.fill("#texts", [*AWKWARD, "w" * 500, *(f"text {i}" for i in range(20))], view)
            page.tap("#matrix td[data-row='1'][data-column='0']")
            assert page.locator("#pair .text").all_inner_texts() == [AWKWARD[1], AWKWARD[0]]
        else:
            page.fill("#dimensions", "8")
            visit.fill("#passages", [*AWKWARD, "w" * 500, *(f"text {i}" for i in range(20))], view)
            visit.fill("#queries", [*AWKWARD, "w" * 500], view)
        for summary in page.locator(f"#{view}-view summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    visit.context.close()
    assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_step_of_the_scale_can_be_read(visit: Visit, scheme: Any) -> None:
    page = visit.open()
    page.emulate_media(color_scheme=scheme)
    colours = page.evaluate("""() => {
        const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        const rgb = colour => {
            brush.fillStyle = colour;
            brush.fillRect(0, 0, 1, 1);
            return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const cell = document.querySelector("#matrix td.heat:not(.self)");
        return [...Array(10).keys()].map(step => {
            cell.className = `heat s${step}`;
            const style = getComputedStyle(cell);
            return [rgb(style.backgroundColor), rgb(style.color)];
        });
    }""")

    def luminance(rgb: list[int]) -> float:  # WCAG 2.2, relative luminance
        share = np.array(rgb) / 255
        return float(
            np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )

    steps = [luminance(paper) for paper, _ in colours]
    assert steps == sorted(steps, reverse=scheme == "light")  # lightness alone orders them
    assert min(abs(a - b) for a, b in pairwise(steps)) > 0.003
    for paper, ink in colours:
        low, high = sorted((luminance(paper), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5
    assert (
        luminance(
            [int(x) for x in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))][:3]
        )
        > 0.5
    ) == (scheme == "light")


def test_movement_stops_for_those_who_ask(visit: Visit) -> None:
    page = visit.open()
    page.evaluate("document.querySelector('#similarity-result').setAttribute('aria-busy', 'true')")
    durations = {}
    for wish in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion=wish)
        durations[wish] = page.locator("#matrix").evaluate("node => getComputedStyle(node).transitionDuration")
    assert durations == {"no-preference": "0.2s", "reduce": "0s"}


# When things go wrong


def test_the_servers_refusal_is_shown_and_goes_away(visitor: Visit) -> None:
    page = visitor.open()
    page.evaluate("document.querySelector('#model').add(new Option('no-such-model'))")
    long = "x" * 70_000
    visitor.fill("#texts", ["short", long], "similarity")
    problem = page.locator("#problem")
    expect(problem).to_be_visible()
    said = json.loads(
        post(visitor.url, "similarity", {"model": page.input_value("#model"), "input": ["short", long]})[1]
    )["message"]
    # the field as the page calls it, and texts counted as the page counts them
    assert said.startswith("input: text 1 ")
    assert problem.inner_text() == f"“Texts”: text 2 {said.removeprefix('input: text 1 ')}."
    expect(page.locator("#similarity-result")).to_have_class("stale")
    visitor.fill("#texts", ["short", "shorter"], "similarity")
    expect(problem).to_be_hidden()
    expect(page.locator("#similarity-result")).not_to_have_class("stale")


def post(server: str, path: str, body: Any) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"{server}/v1/{path}", json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_server_that_is_gone_is_named_and_met_again(visitor: Visit) -> None:
    page = visitor.open()
    visitor.context.set_offline(True)
    page.fill("#texts", "one\ntwo")
    expect(page.locator("#problem")).to_contain_text("Is crumb serve still running?")
    visitor.context.set_offline(False)
    visitor.settled("similarity")  # by itself
    expect(page.locator("#problem")).to_be_hidden()
    assert visitor.matrix().shape == (2, 2)


def test_an_old_answer_never_replaces_a_new_one(visitor: Visit) -> None:
    page = visitor.open()
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/similarity", hold_the_first)
    with page.expect_request("**/v1/similarity") as first:
        page.fill("#texts", "old one\nold two\nold three")
    page.fill("#texts", "new one\nnew two")
    visitor.settled("similarity")
    assert visitor.matrix().shape == (2, 2)
    page.unroute_all()
    assert first.value.failure is not None  # given up by the page, so that the server need not finish it


def test_typing_asks_once_it_stops(visit: Visit) -> None:
    page = visit.open()
    before = len(visit.requests)
    page.focus("#texts")
    page.keyboard.type("typed quickly")
    visit.settled("similarity")
    assert len(visit.requests) - before <= 4  # of 13 keys: two requests each time that the typist paused, if at all
    assert "typed quickly" in page.locator("#matrix").inner_text()
