"""openai, the Python client: a base URL that ends in /v1, base64 unless told otherwise, and the list of models."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from serving import Server

from clients.conftest import KEY, LONG_NAME, NAME, TEXTS, Expected

openai = pytest.importorskip("openai", reason='the client is not installed: pip install ".[clients]"')


@pytest.fixture
def answers() -> list[Any]:
    """Every HTTP answer that `client` got, those that it retried included."""
    return []


@pytest.fixture
def client(server: Server, answers: list[Any]) -> Any:
    http = openai.DefaultHttpxClient(event_hooks={"response": [answers.append]})
    return openai.OpenAI(api_key=KEY, base_url=f"{server.url}/v1", http_client=http)


def embeddings(answer: Any) -> list[Any]:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def test_base64_is_its_default(client: Any, expected: Expected, texts: list[str]) -> None:
    """It decodes what it asked for itself."""
    answer = client.embeddings.create(model=NAME, input=texts[:40])
    expected.check("float", embeddings(answer), texts[:40])
    assert answer.encoding_format == "base64"
    assert (answer.object, answer.model) == ("list", NAME)
    tokens = expected.tokens(texts[:40])
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (tokens, tokens)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
@pytest.mark.parametrize("dimensions", [64, 384])
def test_formats(client: Any, expected: Expected, encoding_format: str, dimensions: int) -> None:
    answer = client.embeddings.create(
        model=NAME, input=TEXTS, encoding_format=encoding_format, dimensions=dimensions, user="somebody"
    )
    expected.check(encoding_format, embeddings(answer), TEXTS, dimensions=dimensions)


def test_one_string(client: Any, expected: Expected) -> None:
    expected.check("float", embeddings(client.embeddings.create(model=NAME, input=TEXTS[0])), TEXTS[:1])


def test_fields_of_ours(client: Any, expected: Expected) -> None:
    extra = {"prompt": "query: ", "normalized": False, "no_such_field": {"a": [None]}}
    answer = client.embeddings.create(model=NAME, input=TEXTS, extra_body=extra)
    expected.check("float", embeddings(answer), [f"query: {text}" for text in TEXTS], normalized=False)


def test_models(client: Any) -> None:
    models = list(client.models.list())
    assert [model.id for model in models] == [NAME]
    assert models[0].object == "model"
    assert isinstance(models[0].created, int)
    assert isinstance(models[0].owned_by, str)
    for name in (NAME, LONG_NAME):
        assert client.models.retrieve(name).id == NAME
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.models.retrieve("no-such-model")


def test_async(server: Server, expected: Expected) -> None:
    async def ask() -> tuple[list[str], Any]:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{server.url}/v1") as client:
            names = [model.id async for model in client.models.list()]
            return names, await client.embeddings.create(model=NAME, input=TEXTS, dimensions=64)

    names, answer = asyncio.run(ask())
    assert names == [NAME]
    expected.check("float", embeddings(answer), TEXTS, dimensions=64)


def test_a_base_url_without_v1(server: Server, expected: Expected) -> None:
    client = openai.OpenAI(api_key=KEY, base_url=server.url)
    expected.check("float", embeddings(client.embeddings.create(model=NAME, input=TEXTS)), TEXTS)


def test_unknown_model(client: Any, answers: list[Any]) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="text-embedding-3-small", input="a text")
    assert "text-embedding-3-small" in caught.value.message
    assert NAME in caught.value.message
    assert caught.value.param == "model"
    assert isinstance(caught.value.type, str)
    assert len(answers) == 1


def test_bad_key(server: Server) -> None:
    client = openai.OpenAI(api_key="another", base_url=f"{server.url}/v1")
    for ask in (lambda: client.embeddings.create(model=NAME, input="a text"), client.models.list):
        with pytest.raises(openai.AuthenticationError):
            ask()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"input": ["a text"] * 257}, "--max-items"),
        ({"input": [[1, 2, 3]]}, "token ids"),
        ({"input": [1, 2, 3]}, "token ids"),
        ({"dimensions": 1000}, "384"),
    ],
    ids=["items", "lists of token ids", "token ids", "dimensions"],
)
def test_the_callers_faults_are_said_once(client: Any, answers: list[Any], wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(openai.APIStatusError, match=reason) as caught:
        client.embeddings.create(**{"model": NAME, "input": "a text", **wrong})
    assert caught.value.status_code in (400, 413, 422)
    assert len(answers) == 1
