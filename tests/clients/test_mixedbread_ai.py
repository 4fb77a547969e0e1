"""mixedbread_ai, the older Python client: a key without "Bearer", answers parsed strictly by pydantic."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from serving import Server

from clients.conftest import KEY, NAME, TEXTS, Expected

_REASON = 'the client is not installed: pip install ".[clients]"'
mixedbread_ai = pytest.importorskip("mixedbread_ai", reason=_REASON)
errors = pytest.importorskip("mixedbread_ai.errors", reason=_REASON)
core = pytest.importorskip("mixedbread_ai.core", reason=_REASON)

MAX_CHARACTERS = 64_000


@pytest.fixture
def client(server: Server) -> Any:
    from mixedbread_ai.client import MixedbreadAI

    return MixedbreadAI(api_key=KEY, base_url=server.url)


@pytest.mark.parametrize("encoding_format", ["float", "base64", "binary", "ubinary", "int8", "uint8"])
def test_one_format(client: Any, expected: Expected, encoding_format: str) -> None:
    """float16 is left out: this client's list of formats is older than it."""
    answer = client.embeddings(model=NAME, input=TEXTS, encoding_format=encoding_format)
    expected.check(encoding_format, [item.embedding for item in answer.data], TEXTS)
    assert answer.encoding_format.value == encoding_format
    assert (answer.model, answer.dimensions, answer.normalized) == (NAME, 384, True)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == expected.tokens(TEXTS)
    assert answer.usage.completion_tokens is None


def test_several_formats(client: Any, expected: Expected) -> None:
    """base64 is left out: beside other formats this client takes it for a list of strings, which nobody sends."""
    formats = ["float", "binary", "ubinary", "int8", "uint8"]
    answer = client.embeddings(model=NAME, input=TEXTS, encoding_format=formats)
    assert [each.value for each in answer.encoding_format] == formats
    attributes = {"float": "float_", "int8": "int_8", "uint8": "uint_8"}
    for encoding_format in formats:
        name = attributes.get(encoding_format, encoding_format)
        expected.check(encoding_format, [getattr(item.embedding, name) for item in answer.data], TEXTS)


def test_explicit_nulls(client: Any, expected: Expected) -> None:
    """None is sent as null."""
    answer = client.embeddings(
        model=NAME,
        input=TEXTS,
        normalized=None,
        encoding_format=None,
        truncation_strategy=None,
        dimensions=None,
        prompt=None,
    )
    expected.check("float", [item.embedding for item in answer.data], TEXTS)


@pytest.mark.parametrize("side", ["start", "end"])
def test_truncation_strategy(client: Any, expected: Expected, side: str) -> None:
    long = "first " + "middle " * 300 + "last"
    answer = client.embeddings(model=NAME, input=[long], truncation_strategy=side)
    expected.check("float", [item.embedding for item in answer.data], [long], truncation=side)
    assert answer.usage.prompt_tokens == 256


def test_what_is_too_long_is_refused_where_asked(client: Any) -> None:
    with pytest.raises(core.ApiError) as caught:
        client.embeddings(model=NAME, input=["word " * 300], truncation_strategy="none")
    assert caught.value.status_code in (400, 413, 422)
    assert "256" in str(caught.value)


def test_async(server: Server, expected: Expected) -> None:
    from mixedbread_ai.client import AsyncMixedbreadAI

    client = AsyncMixedbreadAI(api_key=KEY, base_url=server.url)
    answer = asyncio.run(client.embeddings(model=NAME, input=TEXTS, dimensions=100, normalized=True, prompt="query: "))
    expected.check("float", [item.embedding for item in answer.data], [f"query: {t}" for t in TEXTS], dimensions=100)


def test_unknown_model(client: Any) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        client.embeddings(model="no-such-model", input="a text")
    assert "no-such-model" in caught.value.body.message
    assert NAME in caught.value.body.message


def test_bad_key(server: Server) -> None:
    from mixedbread_ai.client import MixedbreadAI

    with pytest.raises(errors.UnauthorizedError) as caught:
        MixedbreadAI(api_key="another", base_url=server.url).embeddings(model=NAME, input="a text")
    assert caught.value.body.message


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"input": ["a text"] * 257}, "--max-items"),
        ({"input": "a" * (MAX_CHARACTERS + 1)}, "--max-characters"),
        ({"dimensions": 1000}, "384"),
    ],
    ids=["items", "characters", "dimensions"],
)
def test_the_callers_faults(client: Any, wrong: dict[str, Any], reason: str) -> None:
    """Whatever class it is: the client can parse it, and the reason is in it."""
    with pytest.raises(core.ApiError) as caught:
        client.embeddings(**{"model": NAME, "input": "a text", **wrong})
    assert caught.value.status_code in (400, 413, 422)
    assert reason in str(caught.value)
