"""The official JavaScript clients under node: one small script a client (node/*.mjs), driven from here."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Server

from clients.conftest import FORMATS, KEY, LONG_NAME, NAME, TEXTS, Expected

NODE = Path(__file__).parent / "node"

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(server: Server, served_env: dict[str, str]) -> Ask:
    """ask(script, (method, params), …): what became of each call."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (NODE / "node_modules").is_dir():
        pytest.skip("the JavaScript clients are not installed: npm ci --prefix tests/clients/node")

    def ask(script: str, *calls: tuple[str, dict[str, Any]], key: str = KEY, url: str = server.url) -> Any:
        said = {"url": url, "key": key, "calls": [{"method": method, "params": params} for method, params in calls]}
        try:
            done = subprocess.run(
                [node, str(NODE / f"{script}.mjs")],
                input=json.dumps(said),
                env=served_env,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=300,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"{late}\n{late.stderr!r}\nthe server said last:\n{server.stderr[-5000:]}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def embeddings(outcome: dict[str, Any]) -> list[Any]:
    data = outcome["value"]["data"]
    assert [item["index"] for item in data] == list(range(len(data)))
    return [item["embedding"] for item in data]


def test_mixedbread(ask: Ask, expected: Expected) -> None:
    one = [("embed", {"model": NAME, "input": TEXTS, "encoding_format": each, "dimensions": 256}) for each in FORMATS]
    several = {"model": LONG_NAME, "input": TEXTS, "encoding_format": list(FORMATS), "dimensions": None, "prompt": None}
    plain = {"model": NAME, "input": TEXTS[0], "prompt": "query: ", "normalized": False}
    *answers, dicts, raw, info = ask("mixedbread", *one, ("create", several), ("create", plain), ("info", {}))
    for encoding_format, answer in zip(FORMATS, answers, strict=True):
        expected.check(encoding_format, embeddings(answer), TEXTS, dimensions=256)
        assert answer["value"]["encoding_format"] == encoding_format
        assert answer["value"]["usage"]["prompt_tokens"] == expected.tokens(TEXTS)
    assert dicts["value"]["encoding_format"] == list(FORMATS)
    for encoding_format in FORMATS:
        expected.check(encoding_format, [each[encoding_format] for each in embeddings(dicts)], TEXTS)
    expected.check("float", embeddings(raw), [f"query: {TEXTS[0]}"], normalized=False)
    assert info["value"]["name"] == "crumb"


def test_mixedbread_errors(ask: Ask, server: Server) -> None:
    """The error's text is the body's own message, and nothing is asked twice."""
    unknown, many, wide = ask(
        "mixedbread",
        ("embed", {"model": "no-such-model", "input": "a text"}),
        ("embed", {"model": NAME, "input": ["a text"] * 257}),
        ("embed", {"model": NAME, "input": "a text", "dimensions": 1000}),
    )
    assert (unknown["error"]["name"], unknown["error"]["status"]) == ("NotFoundError", 404)
    assert NAME in unknown["error"]["message"]
    assert many["error"]["status"] in (400, 413, 422)
    assert "--max-items" in many["error"]["message"]
    assert wide["error"]["status"] in (400, 422)
    assert "384" in wide["error"]["message"]
    (refused,) = ask("mixedbread", ("info", {}), key="another")
    assert (refused["error"]["name"], refused["error"]["status"]) == ("AuthenticationError", 401)
    assert {outcome["requests"] for outcome in (unknown, many, wide, refused)} == {1}


def test_mixedbread_with_a_base_url_that_ends_in_v1(ask: Ask, server: Server, expected: Expected) -> None:
    (answer,) = ask("mixedbread", ("embed", {"model": NAME, "input": TEXTS}), url=f"{server.url}/v1")
    expected.check("float", embeddings(answer), TEXTS)


def test_openai(ask: Ask, expected: Expected, texts: list[str]) -> None:
    default, plain, coded, models, model = ask(
        "openai",
        ("create", {"model": NAME, "input": texts[:40]}),
        ("create", {"model": NAME, "input": TEXTS, "encoding_format": "float", "dimensions": 100}),
        ("create", {"model": NAME, "input": TEXTS, "encoding_format": "base64"}),
        ("list", {}),
        ("retrieve", {"model": LONG_NAME}),
    )
    expected.check("float", embeddings(default), texts[:40])
    assert default["value"]["usage"]["total_tokens"] == expected.tokens(texts[:40])
    expected.check("float", embeddings(plain), TEXTS, dimensions=100)
    expected.check("base64", embeddings(coded), TEXTS)
    assert [each["id"] for each in models["value"]] == [NAME]
    assert model["value"]["id"] == NAME


def test_openai_errors(ask: Ask) -> None:
    unknown, many, ids = ask(
        "openai",
        ("create", {"model": "no-such-model", "input": "a text"}),
        ("create", {"model": NAME, "input": ["a text"] * 257}),
        ("create", {"model": NAME, "input": [[1, 2, 3]]}),
    )
    assert (unknown["error"]["name"], unknown["error"]["status"]) == ("NotFoundError", 404)
    assert NAME in unknown["error"]["message"]
    assert many["error"]["status"] in (400, 413, 422)
    assert "--max-items" in many["error"]["message"]
    assert "token ids" in ids["error"]["message"]
    (refused,) = ask("openai", ("list", {}), key="another")
    assert (refused["error"]["name"], refused["error"]["status"]) == ("AuthenticationError", 401)
    assert {outcome["requests"] for outcome in (unknown, many, ids, refused)} == {1}


def test_mixedbread_ai(ask: Ask, expected: Expected) -> None:
    """In this client's own spelling of the fields; it knows no float16."""
    formats = [each for each in FORMATS if each != "float16"]
    long = "first " + "middle " * 300 + "last"
    *answers, dicts, cut, unknown, refused = ask(
        "mixedbread-ai",
        *(("embeddings", {"model": NAME, "input": TEXTS, "encodingFormat": each}) for each in formats),
        ("embeddings", {"model": NAME, "input": TEXTS, "encodingFormat": ["float", "int8"], "dimensions": 64}),
        ("embeddings", {"model": NAME, "input": [long], "truncationStrategy": "start", "prompt": "query: "}),
        ("embeddings", {"model": "no-such-model", "input": "a text"}),
        ("embeddings", {"model": NAME, "input": [long], "truncationStrategy": "none"}),
    )
    for encoding_format, answer in zip(formats, answers, strict=True):
        expected.check(encoding_format, embeddings(answer), TEXTS)
        assert answer["value"]["usage"]["promptTokens"] == expected.tokens(TEXTS)
    for encoding_format in ("float", "int8"):
        found = [each[encoding_format] for each in embeddings(dicts)]
        expected.check(encoding_format, found, TEXTS, dimensions=64)
    expected.check("float", embeddings(cut), [long], prompt="query: ", truncation="start")
    assert (unknown["error"]["name"], unknown["error"]["status"]) == ("NotFoundError", 404)
    assert NAME in unknown["error"]["body"]["message"]
    assert refused["error"]["status"] in (400, 413, 422)
    (bad,) = ask("mixedbread-ai", ("embeddings", {"model": NAME, "input": "a text"}), key="another")
    assert (bad["error"]["name"], bad["error"]["status"]) == ("UnauthorizedError", 401)
