"""Every limit of the server: at its edge a request is served, over it the answer names the limit and its flag."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from asking import EMBEDDINGS, Answer, ask, connect, embed, head, log_lines, metric, received, wait_for
from serving import Server, crumb_server

SIMILARITY, TOKENIZE = "/v1/similarity", "/v1/tokenize"
LIMITS = {
    "--max-items": 3,
    "--max-characters": 50,
    "--max-prompt-characters": 10,
    "--max-request-tokens": 40,
    "--max-body-bytes": 600,
    "--max-held-bytes": 900,
    "--max-pairs": 6,
    "--max-concurrent": 5,
    "--max-connections": 20,
    "--header-bytes": 2048,
}
LONG = "the quick brown fox jumps over the lazy dog " * 30  # fills the context


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    flags = [word for flag, limit in LIMITS.items() for word in (flag, str(limit))]
    with crumb_server(*flags, "--log-level", "debug") as found:
        yield found
        assert not [line for line in log_lines(found) if "exception" in line]


def told(answer: Answer, flag: str, *statuses: int, limits: dict[str, int] = LIMITS) -> str:
    """The message of a refusal, which must name the flag and the limit."""
    message = answer.refused(*statuses)
    assert f"(the server's {flag})" in message
    assert str(limits[flag]) in message.replace(",", "")
    return message


# -- what a request may ask for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field"), [(EMBEDDINGS, "input"), (SIMILARITY, "input"), (SIMILARITY, "against"), (TOKENIZE, "input")]
)
def test_texts_of_a_request(server: Server, path: str, field: str) -> None:
    body: dict[str, Any] = {"model": "crumb", "input": ["a"]} | ({"against": ["b"]} if path == SIMILARITY else {})
    assert ask(server, path, {**body, field: ["a"] * 3}).status == 200
    answer = ask(server, path, {**body, field: ["a"] * 4})
    assert told(answer, "--max-items", 422).startswith(f"{field} has 4 texts")
    assert answer.json["error"]["param"] == field

    assert ask(server, path, {**body, field: ["", "é" * 50]}).status == 200  # characters, not bytes
    answer = ask(server, path, {**body, field: ["", "é" * 51]})
    assert told(answer, "--max-characters", 422).startswith(f"{field}: text 1 has 51 characters")
    assert answer.json["error"]["param"] == field
    told(ask(server, path, {**body, field: "a" * 51}), "--max-characters", 422)


@pytest.mark.parametrize(
    ("path", "field"),
    [(EMBEDDINGS, "prompt"), (SIMILARITY, "prompt"), (SIMILARITY, "against_prompt"), (TOKENIZE, "prompt")],
)
def test_characters_of_a_prompt(server: Server, path: str, field: str) -> None:
    body = {"model": "crumb", "input": ["a"]}
    assert ask(server, path, {**body, field: "é" * 10}).status == 200
    answer = ask(server, path, {**body, field: "é" * 11})
    assert told(answer, "--max-prompt-characters", 422).startswith(f"{field} has 11 characters")
    assert answer.json["error"]["param"] == field


def test_tokens_of_a_request(server: Server) -> None:
    answer = embed(server, ["a " * 18] * 2)  # and two special tokens each
    assert answer.json["usage"]["prompt_tokens"] == 40
    message = told(embed(server, ["a " * 18, "a " * 19]), "--max-request-tokens", 413)
    assert "have 41 tokens" in message
    told(embed(server, ["a " * 17] * 2, prompt="a a a "), "--max-request-tokens", 413)  # a prompt counts each time
    told(
        ask(server, SIMILARITY, {"model": "crumb", "input": ["a"], "against": ["a " * 18] * 3}),
        "--max-request-tokens",
        413,
    )


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("path", [EMBEDDINGS, SIMILARITY, TOKENIZE])
def test_bytes_of_a_body(server: Server, path: str, chunked: bool) -> None:
    def sent(size: int) -> Answer:
        body = json.dumps({"model": "crumb", "input": "a"}).encode().ljust(size)
        with connect(server) as sock:
            packed = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body) if chunked else body
            sock.sendall(head(None if chunked else size, path=path) + packed)
            return received(sock)

    assert sent(600).status == 200
    answer = sent(601)
    told(answer, "--max-body-bytes", 413)
    assert answer.headers["connection"] == "close"


def test_scores_of_a_request(server: Server) -> None:
    two, three = ["a", "b"], ["a", "b", "c"]
    assert ask(server, SIMILARITY, {"model": "crumb", "input": two, "against": three}).status == 200
    assert ask(server, SIMILARITY, {"model": "crumb", "input": two}).status == 200
    for body in ({"input": three, "against": three}, {"input": three}):
        message = told(ask(server, SIMILARITY, {"model": "crumb", **body}), "--max-pairs", 413)
        assert message.startswith("9 scores")


def test_what_the_model_can_do(server: Server) -> None:
    for field, most in (("dimensions", 384), ("layers", 6)):
        for path in (EMBEDDINGS, SIMILARITY):
            body = {"model": "crumb", "input": ["a"]}
            answer = ask(server, path, {**body, field: most})
            assert answer.json[field] == most if field in answer.json else answer.status == 200
            assert str(most) in ask(server, path, {**body, field: most + 1}).refused(422)
            assert ask(server, path, {**body, field: 1}).status == 200


# -- how much at a time ------------------------------------------------------------------------------------------------


def test_requests_at_a_time(server: Server) -> None:
    """They count from their headers on, whatever they wait for."""
    rejected = 'crumb_rejected_requests_total{reason="concurrent"}'
    before = metric(server, rejected)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(server)).sendall(head(10))
        wait_for(lambda: metric(server, "crumb_requests_in_flight") == 5)  # with the one that asks
        assert embed(server, "a").status == 200
        fifth = stack.enter_context(connect(server))
        fifth.sendall(head(10))
        wait_for(lambda: embed(server, "a").status == 429)
        answer = embed(server, "a")
        told(answer, "--max-concurrent", 429)
        assert answer.headers["retry-after"] == "1"
        assert ask(server, "/health/ready").status == 200
        assert ask(server, "/health/live").status == 200
    wait_for(lambda: embed(server, "a").status == 200)
    assert metric(server, rejected) >= before + 2


def test_bytes_at_a_time(server: Server) -> None:
    """Of bodies that are there in part, too."""
    with connect(server) as sock, connect(server) as other:
        sock.sendall(head(600) + b" " * 500)
        wait_for(lambda: metric(server, "crumb_requests_in_flight") == 2)
        body = json.dumps({"model": "crumb", "input": "a"}).encode()
        assert ask(server, body=body.ljust(400)).status == 200
        other.sendall(head(600) + b" " * 401)
        answer = received(other)
        told(answer, "--max-held-bytes", 429)
        assert answer.headers["retry-after"] == "1"
        sock.sendall(body.rjust(100))  # who was there first goes on
        assert received(sock).status == 200
    assert ask(server, body=body.ljust(600)).status == 200


def test_connections_at_a_time(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(19):
            stack.enter_context(connect(server))
        assert embed(server, "a").status == 200  # over the twentieth
        stack.enter_context(connect(server))
        answer = embed(server, "a")
        told(answer, "--max-connections", 503)
        assert answer.headers["retry-after"] == "1"
        assert ask(server, "/health/ready").status == 200
    wait_for(lambda: embed(server, "a").status == 200)


def test_bytes_of_headers(server: Server) -> None:
    assert ask(server, "/", headers={"x-large": "a" * 1800}).status == 200
    told(ask(server, "/", headers={"x-large": "a" * 2100}), "--header-bytes", 431)


QUEUE = {"--max-queue-tokens": 3000}


@pytest.fixture(scope="module")
def queueing() -> Iterator[Server]:
    with crumb_server("--max-queue-tokens", "3000", "--threads", "1") as found:
        yield found


def test_one_request_may_be_larger_than_the_queue(queueing: Server) -> None:
    """Or it could never be served."""
    answer = embed(queueing, [LONG] * 14)
    assert answer.status == 200
    assert answer.json["usage"]["prompt_tokens"] > 3000


def test_tokens_that_wait(queueing: Server) -> None:
    """Of four requests at once one fits: the others are refused, told for how long, and let in when that is over."""
    together = threading.Barrier(4)

    def client() -> list[float]:
        """How long it was told to wait, each time."""
        waits: list[float] = []
        together.wait(60)
        while (answer := embed(queueing, [LONG] * 10)).status != 200:
            told(answer, "--max-queue-tokens", 429, limits=QUEUE)
            waits.append(float(answer.headers["retry-after-ms"]) / 1000)
            assert 0 < waits[-1] <= int(answer.headers["retry-after"]) < waits[-1] + 1.01
            time.sleep(waits[-1])
        return waits

    embed(queueing, [LONG] * 10)  # now it knows how fast it is
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        waits = [found.result() for found in [pool.submit(client) for _ in range(4)]]
    all_of_them = time.monotonic() - began
    refusals = sum(map(len, waits))
    assert refusals >= 1
    assert metric(queueing, 'crumb_rejected_requests_total{reason="queue"}') == refusals
    # A forecast, on a machine that may get other work meanwhile: no longer than all of them took, and not so short
    # that clients ask over and over.
    assert max(wait for each in waits for wait in each[:1]) < all_of_them
    assert max(map(len, waits)) <= 20


# -- deadlines ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hurried() -> Iterator[Server]:
    with crumb_server("--request-seconds", "0.2", "--threads", "1", "--log-format", "text") as found:
        yield found


def test_no_answer_in_time(hurried: Server) -> None:
    """Its texts leave the queue, and whoever comes next is served."""
    for path in (EMBEDDINGS, SIMILARITY):
        answer = ask(hurried, path, {"model": "crumb", "input": [LONG] * 500})
        assert "no answer within 0.2 s (the server's --request-seconds)" in answer.refused(503)
        assert answer.headers["retry-after"] == "1"
    wait_for(lambda: metric(hurried, "crumb_queue_tokens") == 0)
    assert metric(hurried, 'crumb_rejected_requests_total{reason="deadline"}') == 2
    wait_for(lambda: embed(hurried, "a").status == 200)


def test_a_deadline_of_requests_is_none_of_readiness() -> None:
    """A busy engine is ready, however little time its requests are given."""
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            embed(server, [LONG] * 40)

    with (
        crumb_server("--request-seconds", "0.02", "--threads", "1", ready=False) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        wait_for(lambda: ask(server, "/v1/models").status == 200)
        for _ in range(4):
            pool.submit(client)
        try:
            wait_for(lambda: metric(server, 'crumb_rejected_requests_total{reason="deadline"}') > 4)
            for _ in range(2):
                assert ask(server, "/health/ready").json["status"] == "ready"
                time.sleep(1.05)  # an answer is remembered for a second
        finally:
            ended.set()


# -- what every answer has, and the log --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/health/live", "/v1/models", "/no/such/route", "/metrics"])
def test_a_safe_request_id_comes_back(server: Server, path: str) -> None:
    for given in ("a", "A.b-c_9", "0" * 64, "6f1c2d4e-0000-4000-8000-000000000000"):
        assert ask(server, path, headers={"x-request-id": given}).headers["x-request-id"] == given
    for given in ("", "0" * 65, "a b", "<script>", "é", 'a"b', "a\tb", "a/b", "a;b", "%0a"):
        found = ask(server, path, headers={"x-request-id": given.encode()}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", found), given


def test_request_ids_differ(server: Server) -> None:
    assert len({ask(server, "/").headers["x-request-id"] for _ in range(50)}) == 50


def test_the_log_has_facts_and_no_texts(server: Server) -> None:
    answer = embed(server, ["secret a", "secret b"], prompt="a secret")
    refused = embed(server, ["secret " * 10])
    refused.refused(422)
    ask(server, TOKENIZE, {"model": "secret model", "input": "secret"}).refused(404)
    by_id: dict[str, dict[str, Any]] = {}

    def logged() -> bool:
        by_id.update({line["id"]: line for line in log_lines(server) if line["message"] == "request"})
        return {answer.headers["x-request-id"], refused.headers["x-request-id"]} <= by_id.keys()

    wait_for(logged)
    line = by_id[answer.headers["x-request-id"]]
    assert line["status"] == 200
    assert (line["method"], line["path"], line["inputs"]) == ("POST", EMBEDDINGS, 2)
    assert line["tokens"] == answer.json["usage"]["prompt_tokens"]
    assert line["level"] == "info"
    assert line["client"] == "127.0.0.1"
    assert line["ms"] >= line["queue_ms"] >= 0
    assert by_id[refused.headers["x-request-id"]]["status"] == 422
    assert "secret" not in server.stderr


def test_a_path_cannot_forge_a_line_of_the_log(hurried: Server) -> None:
    forged = "/a%0a12:00:00%20info%20forged%1b[2J%e2%80%a8%c2%85end"
    ask(hurried, forged).refused(404)
    wait_for(lambda: "forged" in hurried.stderr)
    (line,) = [line for line in hurried.stderr.splitlines() if "forged" in line]
    assert "path=/a\\n12:00:00 info forged\\x1b[2J\\u2028\\x85end status=404" in line


def test_nobody_else_may_ask_from_a_browser(server: Server) -> None:
    """No origin was named."""
    for answer in (
        ask(server, "/", headers={"origin": "https://a.example"}),
        ask(server, body={"model": "crumb", "input": "a"}, headers={"origin": "https://a.example"}),
        ask(
            server,
            EMBEDDINGS,
            method="OPTIONS",
            headers={"origin": "https://a.example", "access-control-request-method": "POST"},
        ),
    ):
        assert answer.status in (200, 405)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_429_reaches_a_page_of_a_named_origin() -> None:
    with crumb_server("--max-concurrent", "1", "--cors-origin", "https://a.example") as server, connect(server) as sock:
        sock.sendall(head(10))
        wait_for(lambda: embed(server, "a").status == 429)
        answer = ask(server, body={"model": "crumb", "input": "a"}, headers={"origin": "https://a.example"})
        answer.refused(429)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert "retry-after" in answer.headers["access-control-expose-headers"]
