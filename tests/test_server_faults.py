"""A real server and everything that may befall it. After each fault it answers a correct vector and is ready.

What is below the application (headers, connections, signals to the processes) is in test_serve_process.py; here every
request reaches the application, and the model is real.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from asking import (
    EMBEDDINGS,
    PATIENCE,
    Answer,
    Answers,
    ask,
    connect,
    embed,
    head,
    log_lines,
    metric,
    received,
    wait_for,
    workers,
)
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from serving import Server, crumb_server

import crumb

WORD = 1_000_000  # characters
OK = b'{"model":"crumb","input":"x"}'
TEXTS = ["A man is eating food.", "", "Grüße aus Köln, 東京 und 🌍!"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests that leave it as it was; the texts that they send are not in its log."""
    flags = ["--max-characters", str(2 * WORD), "--body-seconds", "0.6", "--log-level", "debug", "--log-format", "json"]
    with crumb_server(*flags) as found:
        yield found
        assert found.process.poll() is None, found.stderr
        lines = log_lines(found)
        assert not [line for line in lines if "exception" in line]
        assert not [word for word in ("secret", "eating", "Köln") if word in found.stderr]


@pytest.fixture(autouse=True)
def _still_right(request: pytest.FixtureRequest, default: crumb.Model) -> Iterator[None]:
    server = request.getfixturevalue("server") if "server" in request.fixturenames else None
    yield
    if server is not None:
        assert_right(server, default)


def assert_right(server: Server, model: crumb.Model) -> None:
    """Its vectors are those of the library, to the bit, and it says that it is ready."""
    answer = embed(server, TEXTS)
    np.testing.assert_array_equal(np.array(answer.vectors, dtype=np.float32), model.encode(TEXTS))
    assert ask(server, "/health/ready").json == {"status": "ready", "reason": None}


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("path", [EMBEDDINGS, "/v1/similarity", "/v1/tokenize"])
def test_a_body_that_drips_is_told_the_limit(server: Server, path: str, chunked: bool) -> None:
    with connect(server) as sock:
        sock.sendall(head(None if chunked else 1000, path=path))
        sock.settimeout(0.05)
        began, first = time.monotonic(), b""
        while not first:
            sock.sendall(b"1\r\n{\r\n" if chunked else b"{")
            with contextlib.suppress(TimeoutError):
                first = sock.recv(1, socket.MSG_PEEK)
            assert time.monotonic() - began < PATIENCE
        sock.settimeout(PATIENCE)
        answer = received(sock)
        assert "within 0.6 s (the server's --body-seconds)" in answer.refused(408)
        assert answer.headers["connection"] == "close"
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""


def test_a_body_that_never_begins(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(head(10))
        assert "--body-seconds" in received(sock).refused(408)


def test_a_body_in_many_pieces_arrives(server: Server, default: crumb.Model) -> None:
    body = json.dumps({"model": "crumb", "input": TEXTS}, ensure_ascii=False).encode()
    with connect(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head(None))
        for place in range(len(body)):  # in the middle of characters too
            sock.sendall(b"1\r\n" + body[place : place + 1] + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        answer = received(sock)
    np.testing.assert_array_equal(np.array(answer.vectors, dtype=np.float32), default.encode(TEXTS))


def test_requests_that_do_not_wait_for_answers(server: Server) -> None:
    """Twenty in one packet, and one whose body an early answer did not need: each gets its own, in order."""
    words = [f"word {n}" for n in range(20)]
    bodies = [json.dumps({"model": "crumb", "input": [word] * (n % 3 + 1)}).encode() for n, word in enumerate(words)]
    with connect(server) as sock:
        answers = Answers(sock)
        sock.sendall(b"".join(head(len(body)) + body for body in bodies))
        assert [len(answers.next().vectors) for _ in bodies] == [n % 3 + 1 for n in range(20)]
        sock.sendall(head(1000, path="/no/such/route"))
        answers.next().refused(404)
        sock.sendall(b"a" * 1000 + head(len(OK)) + OK)
        assert answers.next().status == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_64_mb(server: Server, chunked: bool) -> None:
    """The client hears why, although it sends all of it; the server does not keep it."""
    piece = b"a" * (1 << 20)
    before = metric(server, "process_resident_memory_bytes")
    with connect(server) as sock:
        sock.sendall(head(None if chunked else 64 << 20))
        for _ in range(64):
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        answer = received(sock)
    assert "(the server's --max-body-bytes)" in answer.refused(413)
    assert str(32 << 20) in answer.json["message"]
    assert metric(server, "process_resident_memory_bytes") - before < 60e6


def test_64_mb_that_ask_first_are_not_sent(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(head(64 << 20, "expect: 100-continue"))
        received(sock).refused(413)
    with connect(server) as sock:
        sock.sendall(head(len(OK), "expect: 100-continue"))
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        sock.sendall(OK)
        assert received(sock).status == 200


def test_less_promised_than_sent(server: Server) -> None:
    """The rest is no request, and nothing of it is taken for one; that is said, and the connection ends."""
    for length, sent in ((len(OK), OK + b"secret rest\r\n\r\n"), (len(OK) - 2, OK)):
        with connect(server) as sock:
            sock.sendall(head(length) + sent)
            answers = sock.makefile("rb").read()
        assert b"HTTP/1.1 400" in answers
        assert answers.count(b"HTTP/1.1 ") == 1 + answers.count(b"HTTP/1.1 200") <= 2


def test_more_promised_than_sent(server: Server) -> None:
    """Nobody is left to be answered, and no text is encoded."""
    gone = 'crumb_requests_total{route="/v1/embeddings",status="499"}'
    before, batches = metric(server, gone), metric(server, 'crumb_tokens_total{model="all-MiniLM-L6-v2"}')
    with connect(server) as sock:
        sock.sendall(head(len(OK) + 1) + OK)
    wait_for(lambda: metric(server, gone) == before + 1)
    assert metric(server, 'crumb_tokens_total{model="all-MiniLM-L6-v2"}') == batches


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "x" * 300])
def test_a_compressed_body_is_not_taken(server: Server, coding: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(64 << 20)))
    assert len(bomb) < 1000
    answer = ask(server, body=bomb, headers={"content-encoding": coding})
    assert "send plain JSON" in answer.refused(415)
    assert len(answer.body) < 500


def test_a_compressed_body_that_does_not_say_so(server: Server) -> None:
    ask(server, body=gzip.compress(OK)).refused(400)
    ask(server, body=gzip.compress(OK), headers={"transfer-encoding": "gzip, chunked"}).refused(400)
    assert ask(server, body=OK, headers={"content-encoding": "identity"}).status == 200


# -- JSON --------------------------------------------------------------------------------------------------------------

DEEP = 10_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        OK[:-1],
        OK[:-3],
        OK + b"}",
        OK + OK,
        b"\xef\xbb\xbf" + OK,
        OK.decode().encode("utf-16"),
        b"\x1f\x8b\x08",
        bytes(1000),
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b'{"model":"crumb","input":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"model":"crumb","input":"x","unknown":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"model":"crumb","input":"\xff"}',
        b'{"model":"crumb","input":"\xc0\x80"}',
        b'{"model":"crumb","input":"\xed\xa0\x80"}',
        b'{"model":"crumb","input":"\xf0\x9f"}',
        b'{"model":"crumb","input":"\\ud83c"}',
        b'{"model":"crumb","input":"\\udf0d\\ud83c"}',
        b'{"model":"crumb","input":"x","\\ud83c":1}',
        b'{"model":"\\ud83c","input":"x"}',
        b'{"model":"crumb","input":"a\x00b"}',
        b'{"model":"crumb","input":"a\nb"}',
        b"{'model':'crumb','input':'x'}",
        b'{"model":"crumb","input":"x",}',
        b'{"model":"crumb","input":"x","dimensions":1' + b"0" * 5000 + b"}",
        b'{"model":"crumb","input":"x","dimensions":0x10}',
        b"crumb",
        b"model=crumb&input=x",
    ],
    ids=lambda body: repr(body[:40])[2:-1],
)
def test_what_is_not_json(server: Server, body: bytes) -> None:
    message = ask(server, body=body).refused(400)
    assert message.startswith("the body is not JSON: ")
    assert len(message) < 200


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b"1", b'"x"', b"NaN", b"[" + OK + b"]"])
def test_json_that_is_no_request(server: Server, body: bytes) -> None:
    ask(server, body=body).refused(422)


def test_pairs_of_surrogates_and_nul_are_text(server: Server, default: crumb.Model) -> None:
    """A character may be written as two escapes; NUL is a character as any other (BERT's tokenizer leaves it out)."""
    body = b'{"model":"crumb","input":["\\ud83c\\udf0d","a\\u0000b","\\u0000"],"x":"\\u0000"}'
    answer = ask(server, body=body)
    expected = default.encode(["🌍", "a\0b", "\0"])
    np.testing.assert_array_equal(np.array(answer.vectors, dtype=np.float32), expected)


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "1.5", "385", "1" + "0" * 400, "-1" + "0" * 4000]
OTHERS = ["true", '"3"', '""', "[]", "[1]", "{}", '{"a":[null]}', '"\\u0000"']


@pytest.mark.parametrize("path", [EMBEDDINGS, "/v1/similarity"])
@pytest.mark.parametrize("field", ["dimensions", "layers"])
def test_a_number_that_cannot_be(server: Server, path: str, field: str) -> None:
    for value in NUMBERS + OTHERS:
        body = f'{{"model":"crumb","input":["x"],"{field}":{value}}}'.encode()
        answer = ask(server, path, body)
        assert field in answer.refused(422), value
        assert answer.json["error"]["param"] == field
    body = f'{{"model":"crumb","input":["x"],"{field}":2.0}}'  # which is whole
    assert ask(server, path, body.encode()).json.get(field, 2) == 2


# what each field must not be; whatever is not named here may be refused or taken, but nothing fails
WRONG = {
    "model": ["null", "1", "[]", "{}", '""', "true", "NaN", '"' + "a" * 501 + '"'],
    "input": [
        "null",
        "1",
        "[]",
        "{}",
        '""',
        "true",
        "NaN",
        "[1]",
        '["x",1]',
        "[null]",
        "[[]]",
        '[["x"]]',
        "[{}]",
        "[1.5]",
    ],
    "prompt": ["1", "[]", "{}", "true", "NaN"],
    "normalized": ["[]", "{}", "NaN", '"perhaps"', "2"],
    "normalize": ["[]", "{}", '"perhaps"'],
    "encoding_format": ["1", "[]", "{}", "true", '"json"', '["float","json"]', "[1]", "[[]]", '"Float"', "[null]"],
    "truncation_strategy": ["1", "[]", "{}", "true", '"middle"', '""'],
    "against": ["1", "[]", "{}", '""', "true", "[1]", "[null]"],
    "against_prompt": ["1", "[]", "{}", "true"],
    "code": ["1", "[]", "{}", '"ubinary"', '["float"]'],
}
FIELDS = {
    EMBEDDINGS: ("model", "input", "prompt", "normalized", "normalize", "encoding_format", "truncation_strategy"),
    "/v1/similarity": ("model", "input", "against", "prompt", "against_prompt", "code", "truncation_strategy"),
    "/v1/tokenize": ("model", "input", "prompt", "truncation_strategy"),
}


@pytest.mark.parametrize(("path", "field"), [(path, field) for path, fields in FIELDS.items() for field in fields])
def test_wrong_types(server: Server, path: str, field: str) -> None:
    for value in WRONG[field]:
        fields = {"model": '"crumb"', "input": '["secret"]', field: value}
        body = "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"
        answer = ask(server, path, body.encode())
        message = answer.refused(422)
        assert message.startswith(field), value
        assert "secret" not in answer.body.decode()
        assert len(answer.body) < 4000
    if field not in ("model", "input"):
        body = f'{{"model":"crumb","input":["x"],"{field}":null}}'
        assert ask(server, path, body.encode()).status == 200


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(FIELDS)), st.dictionaries(st.sampled_from([*WRONG, "dimensions", "layers"]), anything))
def test_whatever_fields_hold_nothing_fails(server: Server, path: str, fields: dict[str, Any]) -> None:
    answer = ask(server, path, {"model": "crumb", "input": ["x"], **fields})
    if answer.status != 200:
        answer.refused(404, 422)


def test_10k_texts(server: Server) -> None:
    for path in FIELDS:
        answer = ask(server, path, {"model": "crumb", "input": ["secret"] * 10_000})
        assert "has 10000 texts, more than 2048 (the server's --max-items)" in answer.refused(422)
    for value in (1, None, []):  # one complaint, not ten thousand
        answer = ask(server, body={"model": "crumb", "input": [value] * 10_000})
        answer.refused(422)
        assert len(answer.body) < 1000
    answer = ask(server, body={"model": "crumb", "input": "x", "encoding_format": ["float"] * 10_000})
    assert answer.status == 200
    assert list(answer.json["data"][0]["embedding"]) == ["float"]
    answer = ask(server, body={"model": "crumb", "input": "x", "encoding_format": ["json"] * 10_000})
    answer.refused(422)
    assert len(answer.body) < 1000


@pytest.mark.parametrize("value", ["[]", "{}", '""', "0", "null", "[0]", "[", '"[{,\\\\\\""'])
@pytest.mark.parametrize("field", ["input", "unknown"])
def test_millions_of_values(server: Server, field: str, value: str) -> None:
    """Each takes a hundred times its bytes once it is a value: they are refused before they are."""
    most = (32 << 20) // (len(value) + 1) - 100
    body = f'{{"model":"crumb","{field}":[{(value + ",") * most}{value}]}}'.encode()
    before = peak(server)
    assert "more than 14096 values" in ask(server, body=body).refused(422)
    assert peak(server) - before < 200e6


def peak(server: Server) -> float:
    """Bytes of memory that the worker had at most."""
    (worker,) = workers(server)
    (line,) = [line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return float(line.split()[1]) * 1024


def test_what_is_in_a_string_is_no_value(server: Server) -> None:
    text = '[{,"' * 15_000
    body = {"model": "crumb", "input": [text, "\\" + text], "unknown": [[text]] * 3, "dimensions": 4}
    assert len(embed(server, ["x"]).vectors) == 1
    assert len(ask(server, body=body).vectors) == 2


@pytest.mark.parametrize("character", ["a", "東", "\u0301", " ", "\0", "🌍", "é"], ids=ascii)
def test_a_word_of_a_million_characters(server: Server, default: crumb.Model, character: str) -> None:
    text = character * WORD
    answer = embed(server, text)
    np.testing.assert_array_equal(np.array(answer.vectors, dtype=np.float32), default.encode([text], truncation="end"))
    tokens = ask(server, "/v1/tokenize", {"model": "crumb", "input": text})
    if character == "東":  # each a word of its own
        assert "have 1000000 tokens, more than 200000" in tokens.refused(422)
    else:
        (found,) = tokens.json["data"]
        assert found["count"] == answer.json["usage"]["prompt_tokens"] == len(found["tokens"]) + 2


@hypothesis_settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=4), st.text(max_size=8))
def test_any_text_has_a_vector_and_tokens(server: Server, texts: list[str], prompt: str) -> None:
    asked = {"model": "crumb", "input": texts, "prompt": prompt, "truncation_strategy": "start"}
    embedded, counted = ask(server, body=asked), ask(server, "/v1/tokenize", asked)
    assert np.isfinite(embedded.vectors).all()
    assert counted.json["usage"] == embedded.json["usage"]
    for text, item in zip(texts, counted.json["data"], strict=True):
        for token in item["tokens"]:
            assert token["text"] == (prompt + text)[token["start"] : token["end"]]


@pytest.mark.parametrize(
    "target",
    [
        b"/\xff",
        b"/%ff",
        b"/%00",
        b"/%0a%1b[31mready",
        b"/%ed%a0%80",
        b"/" + b"a" * 60_000,
        b"*",
        b"//",
        b"/?" + b"a=b&" * 9000,
    ],
)
def test_paths_that_nobody_means(server: Server, target: bytes) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET " + target + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = received(sock)
    if answer.status != 200:
        answer.refused(400, 404)


# -- clients that leave ------------------------------------------------------------------------------------------------

LONG = "the quick brown fox jumps over the lazy dog " * 25


def leave(sock: socket.socket) -> None:
    """Closes as a process does that is killed: with a reset, and whatever was unread."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("how", [leave, socket.socket.close], ids=["reset", "close"])
def test_a_client_that_leaves_takes_its_texts_along(server: Server, how: Any) -> None:
    texts = 2000
    body = json.dumps({"model": "crumb", "input": [LONG] * texts}).encode()
    per_text = ask(server, "/v1/tokenize", {"model": "crumb", "input": LONG}).json["data"][0]["count"]
    batched = metric(server, "crumb_batch_tokens_sum")
    gone = 'crumb_requests_total{route="/v1/embeddings",status="499"}'
    before = metric(server, gone)
    sock = connect(server)
    sock.sendall(head(len(body)) + body)
    wait_for(lambda: metric(server, "crumb_queue_tokens") > texts * per_text / 2)
    how(sock)
    wait_for(lambda: metric(server, "crumb_queue_tokens") == 0)
    wait_for(lambda: metric(server, gone) == before + 1)
    assert metric(server, "crumb_queue_requests") == 0
    assert metric(server, "crumb_batch_tokens_sum") - batched < texts * per_text / 2


def test_many_clients_that_leave(server: Server) -> None:
    body = json.dumps({"model": "crumb", "input": [LONG] * 20}).encode()
    socks = [connect(server) for _ in range(100)]
    for sock in socks:
        sock.sendall(head(len(body)) + body)
    for sock in socks:
        leave(sock)
    wait_for(lambda: metric(server, "crumb_requests_in_flight") == 1)  # the one that asks
    assert metric(server, "crumb_queue_tokens") == 0


def test_a_client_that_leaves_in_the_middle_of_its_answer(server: Server) -> None:
    """The answer is larger than what the two ends hold back, so that some of it is still to be sent."""
    forms = ["float", "float16", "base64", "int8", "binary"]
    body = json.dumps({"model": "crumb", "input": ["x"] * 500, "encoding_format": forms}).encode()
    with connect(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head(len(body)) + body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        leave(sock)
    wait_for(lambda: metric(server, "crumb_requests_in_flight") == 1)


def test_counting_tokens_holds_nobody_up(server: Server) -> None:
    """A text whose tokens take seconds to place: meanwhile others are answered."""
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(ask, server, "/v1/tokenize", {"model": "crumb", "input": "é" * (2 * WORD)})
        wait_for(lambda: metric(server, "crumb_requests_in_flight") == 2)
        assert embed(server, "x").status == 200
        assert not long.done()
        assert long.result().json["data"][0]["count"] == 3


# -- many clients ------------------------------------------------------------------------------------------------------


def test_a_thousand_connections_that_ask(server: Server, default: crumb.Model) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip(f"this process may have {hard} open files, the test needs 1,400")
    if soft < 1400:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1400, hard))
    words = [f"number {n}" for n in range(1000)]
    expected = default.encode(words)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(server)) for _ in words]
        for sock, word in zip(socks, words, strict=True):
            body = json.dumps({"model": "crumb", "input": word}).encode()
            sock.sendall(head(len(body)) + body)
        found = [received(sock).vectors[0] for sock in socks]
    np.testing.assert_array_equal(np.array(found, dtype=np.float32), expected)


# -- the engine fails --------------------------------------------------------------------------------------------------

RARE = "antarctica"  # one token


@pytest.fixture(scope="module")
def fragile(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model, but the embedding of one rare word is so large that float32 overflows on it."""
    folder = tmp_path_factory.mktemp("models") / "fragile"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    (name,) = [name for name in weights if name.endswith("word_embeddings.weight")]
    (token,) = crumb.load(folder).tokenizer.encode([RARE])[0]
    weights[name] = weights[name].astype(np.float32)
    weights[name][token] = 1e38
    save_file(weights, folder / "model.safetensors")
    return folder


def test_a_text_that_breaks_the_engine_fails_alone(fragile: Path, default: crumb.Model) -> None:
    model = crumb.load(fragile)
    with pytest.raises(ValueError, match="finite"):
        model.encode([RARE])
    with crumb_server("--model", str(fragile), "--cors-origin", "*") as server:
        for _ in range(2):  # while the engine is busy with the first, the others come together
            words = [f"word number {n}" for n in range(60)]
            words[7] = words[30] = f"a {RARE} of secret things"
            with ThreadPoolExecutor(len(words) + 1) as pool:
                blocker = pool.submit(embed, server, [LONG] * 10)
                answers = list(pool.map(lambda word: embed(server, word), words))
                assert blocker.result().status == 200
            for place, answer in enumerate(answers):
                if place in (7, 30):
                    assert_hidden(server, answer)
                else:
                    np.testing.assert_array_equal(np.float32(answer.vectors), default.encode([words[place]]))
        assert_hidden(server, embed(server, ["one", RARE, "two"]))
        assert_hidden(server, embed(server, [LONG] * 10 + [RARE]))
        assert_hidden(server, embed(server, [RARE] * 40))
        assert_hidden(server, ask(server, "/v1/similarity", {"model": "fragile", "input": ["a"], "against": [RARE]}))
        from_a_page = ask(server, body={"model": "crumb", "input": RARE}, headers={"origin": "https://a.example"})
        assert_hidden(server, from_a_page)
        assert from_a_page.headers["access-control-allow-origin"] == "*"
        wait_for(lambda: metric(server, "crumb_queue_tokens") == 0)
        assert_right(server, default)
        for word in ("secret", RARE, "fox"):
            assert word not in server.stderr


def assert_hidden(server: Server, answer: Answer) -> None:
    """A 500 that tells where to look, and a log that tells there what happened."""
    message = answer.refused(500)
    request_id = answer.headers["x-request-id"]
    assert request_id in message
    for word in ("finite", "Error", "Traceback", ".py"):
        assert word not in answer.body.decode()
    wait_for(lambda: any("exception" in line and line["id"] == request_id for line in log_lines(server)))


# -- processes that die, and the end -----------------------------------------------------------------------------------


def test_a_worker_killed_under_load_comes_back(default: crumb.Model) -> None:
    """Who was being answered loses the connection; everybody later is answered, or told that models are loaded."""
    expected = default.encode(["x"])
    outcomes: list[tuple[int, str]] = []
    killed = ended = False

    def client() -> None:
        while not ended:
            late = killed
            try:
                answer = embed(server, "x")
            except (OSError, http.client.HTTPException):
                outcomes.append((late, "lost"))
                continue
            if answer.status == 200:
                np.testing.assert_array_equal(np.float32(answer.vectors), expected)
                outcomes.append((late, "200"))
            else:
                assert "being loaded" in answer.refused(503)
                assert answer.headers["retry-after"] == "1"
                outcomes.append((late, "503"))
                time.sleep(0.01)

    with crumb_server() as server, ThreadPoolExecutor(16) as pool:
        (worker,) = workers(server)
        clients = [pool.submit(client) for _ in range(16)]
        try:
            wait_for(lambda: len(outcomes) > 100)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: not Path(f"/proc/{worker}").exists())
            killed = True
            seen = set()
            while "ready" not in seen:
                answer = ask(server, "/health/ready")
                seen.add(answer.json["status"])
                assert answer.status == (200 if answer.json["status"] == "ready" else 503)
            assert seen <= {"loading", "ready"}
            after = len(outcomes)
            wait_for(lambda: len(outcomes) > after + 100)
        finally:
            ended = True
        for found in clients:
            found.result()
        (new,) = workers(server)
        assert new != worker
        assert f"worker {worker} is gone: it was killed by SIGKILL" in server.stderr
        assert_right(server, default)
        assert server.stop() == 0
    assert (True, "200") in outcomes
    assert (True, "lost") not in outcomes


def test_any_of_several_workers_counts_for_all(tmp_path: Path) -> None:
    """Those that have died included; what they had in hand is not."""
    ok = f'crumb_requests_total{{route="{EMBEDDINGS}",status="200"}}'
    with crumb_server("--workers", "2", "--threads", "1", env={"TMPDIR": str(tmp_path)}) as server:
        wait_for(lambda: len(workers(server)) == 2)
        for _ in range(40):
            assert embed(server, "x").status == 200
        assert {metric(server, ok) for _ in range(10)} == {40}
        assert metric(server, f'crumb_info{{version="{crumb.__version__}"}}') == 1
        with connect(server) as sock:
            sock.sendall(head(10))  # at work in one of them
            wait_for(lambda: metric(server, "crumb_requests_in_flight") == 2)
            before = set(workers(server))
            for worker in before:
                os.kill(worker, signal.SIGKILL)
            wait_for(lambda: len(set(workers(server)) - before) == 2)
        server.wait_until_ready()
        assert {metric(server, ok) for _ in range(10)} == {40}
        assert metric(server, "crumb_requests_in_flight") == 1
        assert server.stop() == 0
    assert not list(tmp_path.iterdir())


def test_sigterm_under_load_loses_nothing(default: crumb.Model) -> None:
    """Long requests and short ones are at work or wait when it comes: all of them are answered, and correctly."""
    short = default.encode(["x"])
    long = default.encode([LONG] * 3)
    outcomes: list[str] = []
    told = threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            while True:
                try:
                    connection.connect()
                except OSError:
                    assert told.is_set()
                    outcomes.append("refused")
                    return
                connection.request("POST", EMBEDDINGS, OK)
                response = connection.getresponse()
                answer = Answer(response.status, {}, response.read())
                if answer.status == 200:
                    np.testing.assert_array_equal(np.float32(answer.vectors), short)
                else:
                    assert told.is_set()
                    assert "shutting down" in answer.json["message"]
                outcomes.append(str(answer.status))
                connection.close()

    with crumb_server("--threads", "1", "--grace-seconds", "120") as server, ThreadPoolExecutor(24) as pool:
        clients = [pool.submit(client) for _ in range(16)]
        wait_for(lambda: len(outcomes) > 100)
        bulk = [pool.submit(embed, server, [LONG] * 8) for _ in range(4)]
        wait_for(lambda: metric(server, "crumb_queue_requests") >= 4)
        told.set()
        server.process.send_signal(signal.SIGTERM)
        for found in bulk:
            vectors = np.float32(found.result().vectors)
            np.testing.assert_array_equal(vectors[:3], long)
            assert len(vectors) == 8
        for found in clients:
            found.result()
        assert server.process.wait(PATIENCE) == 0
    assert outcomes.count("refused") == 16
    assert "Traceback" not in server.stderr


def test_a_worker_that_does_not_end_is_killed() -> None:
    with crumb_server("--grace-seconds", "0.1") as server:
        (worker,) = workers(server)
        os.kill(worker, signal.SIGSTOP)
        assert server.stop() == 1
        assert "--grace-seconds is over: workers that have not ended are killed" in server.stderr
        assert "Traceback" not in server.stderr
