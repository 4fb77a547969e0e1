"""Spans as a collector receives them: a real server, real OTLP over HTTP, decoded with OpenTelemetry's own protobuf."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
pytest.importorskip("opentelemetry.sdk", reason="the extra [otel] is not installed")

from asking import PATIENCE, wait_for
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from replicas import Replica, free_port, post, replica

from crumb.server.settings import SettingsError
from crumb.server.tracing import collector_url

KEY = "a-key-that-stays-here"
TEXT = "words nobody else should read"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes in what is exported."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.paths: set[str] = set()
        taken = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                taken.paths.add(self.path)
                taken.raw.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def resources(self) -> list[Any]:
        return [item for raw in self.raw for item in ExportTraceServiceRequest.FromString(raw).resource_spans]

    def spans(self) -> list[Span]:
        return [span for item in self.resources() for scope in item.scope_spans for span in scope.spans]

    def of(self, request_id: str) -> Span:
        """A request's span, once it is here."""

        def found() -> list[Span]:
            return [span for span in self.spans() if told(span).get("crumb.request.id") == request_id]

        wait_for(lambda: bool(found()))
        (span,) = found()
        return span

    def children(self, span: Span) -> list[Span]:
        found = [other for other in self.spans() if other.parent_span_id == span.span_id]
        return sorted(found, key=lambda child: child.start_time_unix_nano)


def told(item: Any) -> dict[str, Any]:
    """Attributes of a span or a resource."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in item.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collecting = Collector()
    yield collecting
    collecting.server.shutdown()
    collecting.server.server_close()


@pytest.fixture(scope="module")
def env(crumb_env: dict[str, str]) -> dict[str, str]:
    return {
        **crumb_env,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }


@pytest.fixture(scope="module")
def server(env: dict[str, str], collector: Collector) -> Iterator[Replica]:
    with replica("--otlp-endpoint", collector.url, "--api-key", KEY, env=env) as running:
        yield running


def sent(server: Replica, name: str, path: str, body: object = None, **headers: str) -> int:
    given = {"x-request-id": name, "authorization": f"Bearer {KEY}", "user-agent": "the-test/1", **headers}
    return post(server.port, path, body, given).status


def test_a_request_is_a_span_of_its_callers_trace(server: Replica, collector: Collector) -> None:
    texts = {"model": "crumb", "input": [TEXT, "word " * 600]}
    parent = f"00-{TRACE}-{PARENT}-01"
    assert sent(server, "first", "/v1/embeddings?secret=1", texts, traceparent=parent) == 200
    span = collector.of("first")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert (span.name, span.kind) == ("POST /v1/embeddings", Span.SPAN_KIND_SERVER)
    assert span.status.code == Status.STATUS_CODE_UNSET
    attributes = told(span)
    assert attributes.pop("crumb.batches") >= 1
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/embeddings",
        "http.response.status_code": 200,
        "url.path": "/v1/embeddings",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "user_agent.original": "the-test/1",
        "crumb.request.id": "first",
        "crumb.model": "all-MiniLM-L6-v2",
        "crumb.inputs": 2,
        "crumb.tokens": attributes["crumb.tokens"],
        "crumb.truncated": 1,
    }
    (line,) = (line for line in server.requests() if line["id"] == "first")
    assert (line["trace"], line["tokens"]) == (TRACE, attributes["crumb.tokens"])

    tokenize, queue, engine = children = collector.children(span)
    assert [child.name for child in children] == ["tokenize", "queue", "engine"]
    assert {child.trace_id.hex() for child in children} == {TRACE}
    assert span.start_time_unix_nano <= tokenize.start_time_unix_nano + 1_000_000  # clocks are read a moment apart
    assert tokenize.end_time_unix_nano <= queue.start_time_unix_nano + 1_000
    assert queue.end_time_unix_nano <= engine.start_time_unix_nano + 1_000
    assert engine.end_time_unix_nano <= span.end_time_unix_nano + 1_000_000
    lasted = (engine.end_time_unix_nano - engine.start_time_unix_nano) / 1e6
    assert lasted == pytest.approx(line["engine_ms"], abs=0.01)


def test_who_sends_the_spans(server: Replica, collector: Collector) -> None:
    assert sent(server, "who", "/v1/models") == 200
    collector.of("who")
    (resource, *others) = (told(item.resource) for item in collector.resources())
    assert all(other == resource for other in others)
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("crumb", "test")
    assert collector.paths == {"/v1/traces"}


def test_refusals_are_spans_and_no_errors(server: Replica, collector: Collector) -> None:
    assert sent(server, "no-key", "/v1/models", authorization="Bearer wrong") == 401
    assert sent(server, "no-route", "/nowhere/at/all") == 404
    assert sent(server, "no-model", "/v1/embeddings", {"model": "other", "input": TEXT}) == 404
    for name, status in (("no-key", 401), ("no-route", 404), ("no-model", 404)):
        span = collector.of(name)
        assert told(span)["http.response.status_code"] == status
        assert span.status.code == Status.STATUS_CODE_UNSET
        assert not span.parent_span_id  # without a traceparent it begins a trace
    assert collector.of("no-route").name == "GET"  # a path is no name: there would be any number of them
    assert "http.route" not in told(collector.of("no-route"))


def test_both_sides_of_a_similarity_are_told(server: Replica, collector: Collector) -> None:
    body = {"model": "crumb", "input": ["one"], "against": ["two", "three"]}
    assert sent(server, "both", "/v1/similarity", body) == 200
    span = collector.of("both")
    assert told(span)["crumb.inputs"] == 3
    assert [child.name for child in collector.children(span)] == ["tokenize", "queue", "engine"] * 2


def test_a_caller_that_does_not_sample_is_obeyed_and_a_broken_parent_is_none(
    server: Replica, collector: Collector
) -> None:
    assert sent(server, "unsampled", "/v1/models", traceparent=f"00-{TRACE}-{PARENT}-00") == 200
    assert sent(server, "broken", "/v1/models", traceparent="00-zz-\xff") == 200
    assert post(server.port, "/health/ready").status == 200
    assert post(server.port, "/metrics", headers={"authorization": KEY}).status == 200
    assert sent(server, "last", "/v1/models") == 200
    assert collector.of("broken").trace_id.hex() != TRACE
    collector.of("last")
    assert not [span for span in collector.spans() if told(span).get("crumb.request.id") == "unsampled"]
    (line,) = (line for line in server.requests() if line["id"] == "unsampled")
    assert "trace" not in line
    # whoever asks every second is no request that anybody follows
    assert not [span for span in collector.spans() if told(span).get("url.path") in ("/health/ready", "/metrics")]


def test_neither_texts_nor_keys_nor_queries_leave(server: Replica, collector: Collector) -> None:
    assert (
        sent(server, "private", f"/v1/embeddings?key={KEY}", {"model": "crumb", "input": TEXT, "prompt": TEXT}) == 200
    )
    assert sent(server, "private-2", "/v1/embeddings", b'{"model": "crumb", "input": "' + TEXT.encode()) == 400
    collector.of("private")
    collector.of("private-2")
    everything = b"".join(collector.raw)
    assert KEY.encode() not in everything
    assert TEXT.encode() not in everything
    assert b"secret" not in everything


def test_the_last_spans_are_sent_before_the_end(crumb_env: dict[str, str], collector: Collector) -> None:
    env = {**crumb_env, "OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_SERVICE_NAME": "other"}
    with replica("--otlp-endpoint", f"{collector.url}/v1/traces", env=env) as server:
        assert post(server.port, "/v1/models", headers={"x-request-id": "at-the-end"}).status == 200
        assert server.terminate() == 0
    collector.of("at-the-end")
    assert "other" in {told(item.resource)["service.name"] for item in collector.resources()}


@pytest.mark.parametrize("collector_is", ["down", "silent"])
def test_a_collector_that_does_not_answer_harms_no_request(env: dict[str, str], collector_is: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1] if collector_is == "silent" else free_port()
        with replica("--otlp-endpoint", f"http://127.0.0.1:{port}", "--grace-seconds", "5", env=env) as server:
            if collector_is == "silent":
                post(server.port, "/v1/models")
                silent.settimeout(PATIENCE)
                connected, _ = silent.accept()  # an export hangs from now on
                connected.recv(1)
            body = {"model": "crumb", "input": TEXT}
            assert [post(server.port, "/v1/embeddings", body).status for _ in range(50)] == [200] * 50
            assert server.terminate() == 0


def test_without_the_flag_nothing_is_imported_or_sent(crumb_env: dict[str, str], collector: Collector) -> None:
    """An audit hook ends the process at the first look at the network, whatever the standard variables say."""
    code = """
import asyncio, json, os, sys
def forbid(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg",
                 "subprocess.Popen", "os.posix_spawn", "os.exec"):
        print("touched", event, args, file=sys.stderr)
        os._exit(9)
sys.addaudithook(forbid)
from crumb.server.app import App
from crumb.server.settings import Settings

async def main():
    app = App(Settings())
    await app.start()
    await app.loaded()
    body = json.dumps({"model": "crumb", "input": "hello"}).encode()
    scope = {"type": "http", "asgi": {"version": "3.0"}, "method": "POST", "path": "/v1/embeddings",
             "query_string": b"", "raw_path": b"/v1/embeddings", "root_path": "", "scheme": "http",
             "http_version": "1.1",
             "client": None, "server": None, "headers": [(b"content-type", b"application/json")]}
    inbox = [{"type": "http.request", "body": body, "more_body": False}]
    async def receive():
        if inbox:
            return inbox.pop()
        await asyncio.Event().wait()
    statuses = []
    async def send(message):
        statuses.append(message.get("status"))
    await app.asgi(scope, receive, send)
    await app.stop()
    sent_with = ("opentelemetry.sdk", "opentelemetry.exporter", "requests", "urllib3")
    found = sorted(name for name in sys.modules if name.startswith(sent_with))
    print(statuses[0], found)

asyncio.run(main())
"""
    env = {
        **crumb_env,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_EXPORTER": "otlp",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "200 []"), done.stderr


def test_a_missing_extra_is_named(crumb_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry.sdk'] = None")
    env = {**crumb_env, "PYTHONPATH": str(tmp_path)}
    server = Replica("--otlp-endpoint", "http://127.0.0.1:4318", env=env)
    assert server.ended() == 1
    assert "crumb-embed[otel]" in server.said
    assert "Traceback" not in server.said


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
        ("https://collector/prefix/", "https://collector/prefix/v1/traces"),
        ("https://collector/v1/traces", "https://collector/v1/traces"),
    ],
)
def test_where_spans_are_posted(given: str, url: str) -> None:
    assert collector_url(given) == url


@pytest.mark.parametrize(
    "given", ["127.0.0.1:4318", "localhost", "grpc://collector:4317", "http://", "http://[::1", "http://a:b"]
)
def test_what_is_no_url(given: str) -> None:
    with pytest.raises(SettingsError, match="--otlp-endpoint must be the URL"):
        collector_url(given)
