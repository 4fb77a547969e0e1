"""Who may ask: every route needs a key but health; keys come and go while the server runs, and no log has them."""

from __future__ import annotations

import base64
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from asking import EMBEDDINGS, Answer, ask, embed, log_lines, metric, wait_for
from hypothesis import given
from hypothesis import strategies as st
from serving import Server, crumb_server

from crumb.server.app import App
from crumb.server.keys import Keys
from crumb.server.settings import Settings, SettingsError

FIRST, SECOND, FILED, ACCENTED = "key-one-AAAA", "key two BBBB", "key-of-the-file-CCCC", "schlüssel-ключ-DDDD"
OPEN = {"/health/live", "/health/ready"}
ORIGIN = "https://app.example"


def paths_of(app: Any) -> Iterator[tuple[str, str]]:
    """Path and method of every route of an application, however deep it lies behind middleware, routers and mounts."""
    if not hasattr(app, "routes"):
        yield from paths_of(getattr(app, "app", None) or app._app)
        return
    for route in app.routes:
        if hasattr(route, "endpoint"):
            yield from ((route.path, method) for method in route.methods or {"GET"})
        elif hasattr(route, "original_router"):  # FastAPI's place for a router that was included
            assert not route.include_context.prefix
            yield from paths_of(route.original_router)
        else:
            yield route.path + "/x", "GET"  # a mount: something in it
            if hasattr(route.app, "routes"):
                yield from ((route.path + path, method) for path, method in paths_of(route.app))


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    return sorted(set(paths_of(App(Settings()).asgi)))


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"\ufeff{FILED}\n\n# of somebody who has left\n  {ACCENTED}  \n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(key_file: Path) -> Iterator[Server]:
    flags = ["--api-key", FIRST, "--key-file", str(key_file), "--cors-origin", ORIGIN]
    with crumb_server(
        *flags, "--log-level", "debug", "--log-format", "json", env={"CRUMB_API_KEY": "not-used"}
    ) as found:
        yield found
        said = found.stderr
        assert log_lines(found)  # JSON, every line
        for secret in (
            FIRST,
            SECOND,
            FILED,
            "schl",
            "wrong-key-EEEE",
            "a secret text",
            base64.b64encode(FILED.encode()),
        ):
            assert (secret if isinstance(secret, str) else secret.decode()) not in said


def asked_with(server: Server, authorization: str | bytes | None, path: str = EMBEDDINGS) -> Answer:
    body = {"model": "crumb", "input": "a secret text"} if path == EMBEDDINGS else None
    return ask(server, path, body, headers={} if authorization is None else {"authorization": authorization})


def test_the_list_of_routes_is_whole(routes: list[tuple[str, str]]) -> None:
    """What is known to be there is in it: or the test below would prove little."""
    known = {"/", "/v1/embeddings", "/embeddings", "/v1/v1/embeddings", "/v1/similarity", "/v1/tokenize", "/v1/models"}
    known |= {"/v1/models/{name:path}", "/metrics", "/docs", "/docs/{name}", "/openapi.json", *OPEN}
    assert known <= {path for path, _ in routes}


@pytest.mark.parametrize("authorization", [None, "Bearer wrong-key-EEEE"], ids=["without", "wrong"])
def test_every_route_needs_a_key_but_health(
    server: Server, routes: list[tuple[str, str]], authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    for template, method in routes:
        path = template.replace("{name:path}", "crumb").replace("{name}", "swagger-ui.css").replace("{path:path}", "x")
        assert "{" not in path, path
        for way in {method, "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}:
            answer = ask(server, path, b"{}" if way == "POST" else None, method=way, headers=headers)
            if path in OPEN:
                assert answer.status == (200 if way == "GET" else 405), (way, path)
                continue
            assert answer.status == 401, (way, path, answer.body)
            if way != "HEAD":
                assert "Authorization: Bearer KEY" in answer.refused(401)
            assert answer.headers["www-authenticate"].startswith(
                "Basic " if path.startswith(("/docs", "/ui")) else "Bearer"
            )


@pytest.mark.parametrize(
    "path", ["/no/such/route", "/health", "/health/live/", "/health/ready/..", "//health/live", "/v1"]
)
def test_what_is_no_route_needs_a_key_too(server: Server, path: str) -> None:
    ask(server, path).refused(401)


def test_a_question_before_the_question_tells_nothing(server: Server) -> None:
    """OPTIONS as a browser sends it is answered without a key, by the origins alone and not by a route."""
    headers = {"origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-a"}
    answers = [ask(server, path, method="OPTIONS", headers=headers) for path in (EMBEDDINGS, "/no/such/route")]
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"OK")}
    assert answers[0].headers["access-control-allow-origin"] == ORIGIN
    assert "x-a" in answers[0].headers["access-control-allow-headers"]
    other = ask(server, method="OPTIONS", headers={**headers, "origin": "https://evil.example"})
    assert other.status == 400
    assert "access-control-allow-origin" not in other.headers
    ask(server, method="OPTIONS", headers={"access-control-request-method": "POST"}).refused(401)


def test_a_named_origin_reads_answers_and_refusals(server: Server) -> None:
    for authorization, status in ((None, 401), (f"Bearer {FIRST}", 200)):
        headers = {"origin": ORIGIN} | ({"authorization": authorization} if authorization else {})
        answer = ask(server, body={"model": "crumb", "input": "x"}, headers=headers)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
    answer = ask(server, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("key", [FIRST, FILED, ACCENTED])
def test_the_ways_to_send_a_key(server: Server, key: str) -> None:
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()
    for header in (f"Bearer {key}", f"bearer   {key} ", key, f"Basic {basic}", f"BASIC {basic}"):
        assert asked_with(server, header.encode()).status == 200, header


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic",
        b"Basic !!!",
        b"Basic \xff\xfe",
        b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
        b"Basic " + base64.b64encode(FIRST.encode()),  # no password
        b"Basic " + base64.b64encode(f"{FIRST}:".encode()),
        b"Basic " + FIRST.encode(),
        b"Token " + FIRST.encode(),
        b"Bearer Bearer " + FIRST.encode(),
        b"Bearer " + FIRST[:-1].encode(),
        b"Bearer " + FIRST.encode() + b"A",
        b"Bearer " + FIRST.lower().encode(),
        b"Bearer # of somebody who has left",
        b"Bearer not-used",  # the flag wins over the environment
        b"\xff" * 1000,
    ],
)
def test_what_is_no_key(server: Server, authorization: bytes) -> None:
    asked_with(server, authorization).refused(401)


@given(st.binary(max_size=60))
def test_no_header_breaks_the_guard(sent: bytes) -> None:
    keys = Keys([FIRST])
    for header in (sent, b"Basic " + sent, b"Basic " + base64.b64encode(sent), b"Bearer " + sent):
        assert not keys.admits(header.decode("latin-1"))


def test_keys_are_read_again(server: Server, key_file: Path) -> None:
    before = key_file.read_text(encoding="utf-8")
    try:
        assert embed(server, "x", key=SECOND).status == 401
        key_file.write_text(f"{SECOND}\n", encoding="utf-8")
        assert embed(server, "x", key=SECOND).status == 401  # not before it is told
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: embed(server, "x", key=SECOND).status == 200)
        embed(server, "x", key=FILED).refused(401)
        assert embed(server, "x", key=FIRST).status == 200  # given by itself: no file takes it away

        for broken in (b"", b"# nobody\n\n", b"\xff\xfe\xff", None):
            complaints = complaints_of(server)
            if broken is None:
                key_file.unlink()
            else:
                key_file.write_bytes(broken)
            server.process.send_signal(signal.SIGHUP)
            while complaints_of(server) == complaints:
                time.sleep(0.01)
            assert str(key_file) in complaints_of(server)[-1]
            assert embed(server, "x", key=SECOND).status == 200
            embed(server, "x", key=FILED).refused(401)
        assert ask(server, "/health/ready").status == 200
    finally:
        key_file.write_text(before, encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: embed(server, "x", key=FILED).status == 200)


def complaints_of(server: Server) -> list[str]:
    return [line["error"] for line in log_lines(server) if "the old ones stay" in line["message"]]


def test_refusals_are_counted_and_logged_without_the_key(server: Server) -> None:
    before = metric(server, 'crumb_requests_total{route="other",status="401"}', key=FIRST)
    answer = asked_with(server, "Bearer wrong-key-EEEE")
    answer.refused(401)
    assert metric(server, 'crumb_requests_total{route="other",status="401"}', key=FIRST) == before + 1
    wait_for(lambda: any(line.get("id") == answer.headers["x-request-id"] for line in log_lines(server)))


@pytest.mark.parametrize("content", [None, b"", b"# no key\n \n", b"\xff\xfe"])
def test_a_key_file_without_keys_ends_the_start(tmp_path: Path, content: bytes | None) -> None:
    """Never a server that is open because its key file was empty."""
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="--key-file"):
        App(Settings(key_file=str(path)))
