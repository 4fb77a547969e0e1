"""mixedbread, the Python client generated from Mixedbread's OpenAPI: sync and async, every field, every error."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from serving import Server, crumb_server

from clients.conftest import FORMATS, KEY, LONG_NAME, NAME, TEXTS, Expected, array

mixedbread = pytest.importorskip("mixedbread", reason='the client is not installed: pip install ".[clients]"')

PROMPT = "Represent this sentence for searching relevant passages: "


@pytest.fixture
def answers() -> list[Any]:
    """Every HTTP answer that `client` got, those that it retried included."""
    return []


@pytest.fixture
def client(server: Server, answers: list[Any]) -> Any:
    return make_client(server, answers)


def make_client(server: Server, answers: list[Any], **options: Any) -> Any:
    http = mixedbread.DefaultHttpxClient(event_hooks={"response": [answers.append]})
    return mixedbread.Mixedbread(**{"api_key": KEY, "base_url": server.url, "http_client": http, **options})


def embeddings(answer: Any) -> list[Any]:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def check_body(error: Any) -> Any:
    """What stands under "error" in a body that every client can read."""
    body = error.body
    assert set(body) == {"error", "message"} | ({"detail"} if error.status_code == 422 else set())
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert body["message"] == body["error"]["message"]
    assert body["error"]["code"] == error.status_code
    assert isinstance(body["error"]["type"], str)
    return body["error"]


@pytest.mark.parametrize("encoding_format", FORMATS)
def test_one_format(client: Any, expected: Expected, encoding_format: str) -> None:
    answer = client.embed(model=NAME, input=TEXTS, encoding_format=encoding_format)
    expected.check(encoding_format, embeddings(answer), TEXTS)
    assert {item.object for item in answer.data} == {"embedding"}
    assert (answer.object, answer.model, answer.dimensions) == ("list", NAME, 384)
    assert (answer.encoding_format, answer.normalized) == (encoding_format, True)
    tokens = expected.tokens(TEXTS)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (tokens, tokens)
    assert answer.usage.completion_tokens is None


@pytest.mark.parametrize("formats", [["float"], ["float", "int8"], list(FORMATS)])
def test_a_list_of_formats(client: Any, expected: Expected, formats: list[str]) -> None:
    answer = client.embeddings.create(model=NAME, input=TEXTS, encoding_format=formats, dimensions=256)
    assert answer.encoding_format == formats
    assert {item.object for item in answer.data} == {"embedding_dict"}
    found = [embedding.to_dict() for embedding in embeddings(answer)]
    assert {frozenset(each) for each in found} == {frozenset(formats)}
    for encoding_format in formats:
        expected.check(encoding_format, [each[encoding_format] for each in found], TEXTS, dimensions=256)


def test_both_ways_of_asking_are_one(client: Any) -> None:
    answers = [ask(model=NAME, input=TEXTS[0]) for ask in (client.embed, client.embeddings.create)]
    assert answers[0] == answers[1]
    assert answers[0].encoding_format == "float"


@pytest.mark.parametrize("dimensions", [1, 100, 384, None])
@pytest.mark.parametrize("encoding_format", ["base64", "ubinary"])
def test_dimensions(client: Any, expected: Expected, encoding_format: str, dimensions: int | None) -> None:
    answer = client.embed(model=NAME, input=TEXTS, dimensions=dimensions, encoding_format=encoding_format)
    expected.check(encoding_format, embeddings(answer), TEXTS, dimensions=dimensions)
    assert answer.dimensions == (dimensions or 384)


@pytest.mark.parametrize("prompt", [PROMPT, None])
def test_prompt(client: Any, expected: Expected, prompt: str | None) -> None:
    answer = client.embed(model=NAME, input=TEXTS, prompt=prompt)
    expected.check("float", embeddings(answer), [(prompt or "") + text for text in TEXTS])
    assert answer.usage.prompt_tokens == expected.tokens(TEXTS, prompt or "")


def test_not_normalized(client: Any, expected: Expected) -> None:
    formats = ["float", "float16", "base64", "binary"]
    answer = client.embed(model=NAME, input=TEXTS, normalized=False, encoding_format=formats)
    assert answer.normalized is False
    for encoding_format in formats:
        found = [embedding.to_dict()[encoding_format] for embedding in embeddings(answer)]
        expected.check(encoding_format, found, TEXTS, normalized=False)


@pytest.mark.parametrize("name", [NAME, LONG_NAME])
def test_every_name_of_the_model(client: Any, expected: Expected, name: str) -> None:
    expected.check("float", embeddings(client.embed(model=name, input="a text")), ["a text"])


def test_long_texts_are_cut_and_counted(client: Any, answers: list[Any], expected: Expected, texts: list[str]) -> None:
    texts = texts[:60]
    answer = client.embed(model=NAME, input=texts, encoding_format="base64")
    expected.check("base64", embeddings(answer), texts)
    assert answer.usage.prompt_tokens == expected.tokens(texts)
    cut = expected.model.encode(texts, truncation="end", return_report=True)[1]
    assert len(answer.truncated) == cut.truncated_texts > 0
    assert sum(each["cut"] for each in answer.truncated) == cut.tokens_cut
    assert answers[-1].headers["x-truncated-inputs"] == str(cut.truncated_texts)


def test_info(client: Any) -> None:
    import crumb

    info = client.info()
    assert (info.name, info.version) == ("crumb", crumb.__version__)


def test_a_base_url_that_ends_in_v1(server: Server, expected: Expected) -> None:
    client = mixedbread.Mixedbread(api_key=KEY, base_url=f"{server.url}/v1")
    assert client.info().name == "crumb"
    expected.check("float", embeddings(client.embed(model=NAME, input=TEXTS)), TEXTS)


def test_base_url_from_the_environment(server: Server, expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXEDBREAD_BASE_URL", server.url)
    monkeypatch.setenv("MXBAI_API_KEY", KEY)
    expected.check("float", embeddings(mixedbread.Mixedbread().embed(model=NAME, input=TEXTS)), TEXTS)


def test_async(server: Server, expected: Expected, texts: list[str]) -> None:
    """Many requests at a time, each with its own answer."""

    async def ask() -> tuple[Any, ...]:
        async with mixedbread.AsyncMixedbread(api_key=KEY, base_url=server.url) as client:
            info = await client.info()
            assert info.name == "crumb"
            requests = (client.embed(model=NAME, input=[text], encoding_format="base64") for text in texts[:40])
            return await asyncio.gather(*requests)

    answers = asyncio.run(ask())
    expected.check("base64", [embeddings(answer)[0] for answer in answers], texts[:40])


def test_unknown_model(client: Any, answers: list[Any]) -> None:
    with pytest.raises(mixedbread.NotFoundError, match="no-such-model") as caught:
        client.embed(model="no-such-model", input="a text")
    assert NAME in str(caught.value)
    assert check_body(caught.value)["param"] == "model"
    assert len(answers) == 1


@pytest.mark.parametrize("key", ["another key", KEY + "x", KEY[:-1]])
def test_bad_key(server: Server, answers: list[Any], key: str) -> None:
    with pytest.raises(mixedbread.AuthenticationError) as caught:
        make_client(server, answers, api_key=key).embed(model=NAME, input="a text")
    assert key not in str(caught.value)
    check_body(caught.value)
    assert len(answers) == 1


FAULTS = {
    "too many inputs": ({"input": ["a text"] * 257}, "256.*--max-items|--max-items.*256"),
    "an empty text by itself": ({"input": ""}, "empty"),
    "no input": ({"input": []}, "input"),
    "too long a text": ({"input": "a" * 64_001}, "64,?000.*--max-characters|--max-characters.*64,?000"),
    "too many dimensions": ({"dimensions": 385}, "384"),
    "no dimensions": ({"dimensions": 0}, "dimensions"),
    "an unknown format": ({"encoding_format": "float64"}, "encoding_format"),
    "a list with an unknown format": ({"encoding_format": ["float", "float64"]}, "encoding_format"),
    "an empty list of formats": ({"encoding_format": []}, "encoding_format"),
    "no text": ({"input": [1.5]}, "input"),
    "bytes of no unit vectors": ({"normalized": False, "encoding_format": ["float", "int8"]}, "normalized"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_callers_faults_are_said_once(client: Any, answers: list[Any], what: str) -> None:
    """In an error that the client knows, with the reason in it, and not tried again."""
    wrong, reason = FAULTS[what]
    errors = (mixedbread.BadRequestError, mixedbread.UnprocessableEntityError, mixedbread.APIStatusError)
    with pytest.raises(errors, match=reason) as caught:
        client.embed(**{"model": NAME, "input": "a text", **wrong})
    assert caught.value.status_code in (400, 413, 422)
    check_body(caught.value)
    assert len(answers) == 1


def test_truncation_strategy_none_refuses(client: Any, answers: list[Any]) -> None:
    """The newer client has no argument for it, but sends what it is given."""
    with pytest.raises(mixedbread.APIStatusError, match="256") as caught:
        client.embed(model=NAME, input=["short", "word " * 300], extra_body={"truncation_strategy": "none"})
    assert caught.value.status_code in (400, 413, 422)
    assert len(answers) == 1


def test_whoever_comes_too_early_is_served_when_the_models_are_there(
    served_env: dict[str, str], expected: Expected
) -> None:
    """503 and when to come back, and no connection that is refused or cut: each attempt has an answer."""
    answers: list[Any] = []
    with crumb_server(env=served_env, ready=False) as server:
        client = make_client(server, answers, max_retries=50)
        with_raw = client.with_raw_response.embed(model=NAME, input=TEXTS)
    expected.check("float", embeddings(with_raw.parse()), TEXTS)
    assert with_raw.retries_taken == len(answers) - 1
    assert [answer.status_code for answer in answers] == [503] * (len(answers) - 1) + [200]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[:-1])


def test_retry_after_is_obeyed(served_env: dict[str, str], expected: Expected) -> None:
    """Two requests come at once of which the queue holds one: the other is refused, and served when it comes back."""
    bulk = [f"passage {i}: " + "some of its words, " * 20 for i in range(40)]
    tokens = expected.tokens(bulk)
    answered: dict[int, Any] = {}
    times: dict[int, list[float]] = {0: [], 1: []}
    answers: dict[int, list[Any]] = {0: [], 1: []}

    def ask(i: int, server: Server) -> None:
        hooks = {
            "request": [lambda request: times[i].append(time.monotonic())],
            "response": [answers[i].append, lambda answer: times[i].append(time.monotonic())],
        }
        http = mixedbread.DefaultHttpxClient(event_hooks=hooks)
        client = make_client(server, [], http_client=http, max_retries=100)
        answered[i] = client.embed(model=NAME, input=bulk, encoding_format="base64")

    with crumb_server("--max-queue-tokens", str(tokens + 100), env=served_env) as server:
        threads = [threading.Thread(target=ask, args=(i, server)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert embeddings(answered[0]) == embeddings(answered[1])
    expected.check("base64", embeddings(answered[0]), bulk)
    for i in (0, 1):
        assert [answer.status_code for answer in answers[i]] == [429] * (len(answers[i]) - 1) + [200]
    refused = [(i, n) for i in (0, 1) for n in range(len(answers[i]) - 1)]
    assert refused
    for i, n in refused:
        headers = answers[i][n].headers
        milliseconds = int(headers["retry-after-ms"])
        assert 0 < milliseconds <= 60_000, "the client would not heed it"
        assert int(headers["retry-after"]) * 1000 >= milliseconds
        assert times[i][2 * n + 2] - times[i][2 * n + 1] >= milliseconds / 1000, "the client came back too soon"


def test_array_refuses_what_is_no_code() -> None:
    """The comparison of these tests itself: numbers that are not of the format's dtype do not pass as equal."""
    for encoding_format, wrong in (("int8", [128]), ("uint8", [-1]), ("binary", [0.5]), ("float16", [0.1])):
        with pytest.raises(AssertionError):
            array(encoding_format, wrong)
