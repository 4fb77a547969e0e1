"""A span for each request, for whoever collects OpenTelemetry traces.

Enters: requests as the middleware sees them, with the stages that routes have noted. Leaves: spans, sent in batches by
a thread of their own to the collector that `--otlp-endpoint` names. Knows nothing of texts and keys, so that neither
can get out: what a span says is listed in `_asked` and `_told`.

Without the flag neither the SDK nor an exporter is imported, whatever OTEL_ variables say. With it the standard
variables hold that say how (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER,
OTEL_EXPORTER_OTLP_HEADERS and others of the SDK); where to is the flag's alone. A collector that is down costs its
spans and lines in the log, never a request.

Names are those of OpenTelemetry's HTTP semantic conventions 1.23 and later
(opentelemetry.io/docs/specs/semconv/http/http-spans), and `crumb.…` for what is ours.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from starlette.types import Scope

from crumb import __version__
from crumb.errors import MissingExtraError
from crumb.server.settings import SettingsError, flag

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from crumb.server.middleware import Facts

_PATH = "/v1/traces"
# what may still be sent after the last answer: the process is about to end, and whoever ends it waits
_LAST_SECONDS = 1.0
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_LONGEST = 200  # characters of what a client may say as it likes


class Stage(NamedTuple):
    """A part of a request's time: "tokenize", "queue" or "engine"; seconds of `time.perf_counter`."""

    name: str
    started: float
    seconds: float


def collector_url(endpoint: str) -> str:
    """Where spans are posted: `endpoint` with /v1/traces at its end, as the OTLP specification has it for a base URL.

    Raises:
        SettingsError: it is no http or https URL.
    """
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            f"{flag('otlp_endpoint')} must be the URL of a collector that takes OTLP over HTTP, such as "
            f"http://127.0.0.1:4318, got {endpoint!r}"
        )
    base = endpoint.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


class Tracing:
    """Makes spans and sends them.

    Args:
        endpoint: the collector's URL.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
        SettingsError: no URL.
    """

    def __init__(self, endpoint: str) -> None:
        url = collector_url(endpoint)
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingExtraError(
                f'{flag("otlp_endpoint")} needs OpenTelemetry ({error}): pip install "crumb-embed[otel]"'
            ) from None
        ours = {
            "service.name": "crumb",
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
        # the operator's variables over ours
        resource = Resource(ours).merge(OTELResourceDetector().detect())
        # `stop` ends it: at the interpreter's exit a collector that is down would hold the process
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("crumb.server", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace

    def begin(self, scope: Scope) -> Span:
        """The span of a request that arrives now; the client's, if it sent a `traceparent`, is its parent."""
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        return self._tracer.start_span(
            _method(scope),
            context=self._propagator.extract(carrier, self._trace.set_span_in_context(self._trace.INVALID_SPAN)),
            kind=self._trace.SpanKind.SERVER,
            attributes=_asked(scope),
        )

    def end(self, span: Span, scope: Scope, facts: Facts, status: int) -> None:
        """Ends a request's span, with what is known of it by now; `status` 0 if nobody was answered."""
        if not span.is_recording():  # not sampled
            span.end()
            return
        route = facts.route or getattr(scope.get("route"), "path", None)
        if route:
            span.update_name(f"{_method(scope)} {route}")
            span.set_attribute("http.route", route)
        span.set_attributes(_told(facts, status))
        if status >= 500:  # 4xx is the client's fault and no error of a server's span
            span.set_attribute("error.type", str(status))
            span.set_status(self._trace.StatusCode.ERROR)
        self._stages(span, facts.stages)
        span.end()

    def stop(self) -> None:
        """Sends what is left, for a second at most."""
        # a daemon's thread: what the collector does not take in time must not keep the process
        ending = threading.Thread(target=self._provider.shutdown, name="crumb-trace-end", daemon=True)
        ending.start()
        ending.join(_LAST_SECONDS)

    def _stages(self, span: Span, stages: Iterable[Stage]) -> None:
        """Child spans of what is over already; OpenTelemetry wants times since 1970."""
        context = self._trace.set_span_in_context(span)
        epoch = time.time() - time.perf_counter()
        for stage in stages:
            child = self._tracer.start_span(stage.name, context, start_time=int((epoch + stage.started) * 1e9))
            child.end(int((epoch + stage.started + stage.seconds) * 1e9))


def trace_of(span: Span) -> str | None:
    """The trace's id for a log line, 32 hexadecimal digits; None if the trace is not kept."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}" if context.trace_flags.sampled else None


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in _METHODS else "HTTP"


def _asked(scope: Scope) -> dict[str, str | int]:
    """What a request says of itself; not its query, headers or body."""
    method = str(scope["method"])
    found: dict[str, str | int] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "url.path": str(scope["path"])[:_LONGEST],
        "url.scheme": str(scope.get("scheme", "http")),
        "network.protocol.version": str(scope.get("http_version", "1.1")),
    }
    if client := scope.get("client"):
        found["client.address"] = str(client[0])
    if (server := scope.get("server")) and server[1] is not None:
        found["server.address"], found["server.port"] = str(server[0]), int(server[1])
    for name, value in scope["headers"]:
        if name == b"user-agent":
            found["user_agent.original"] = value.decode("latin-1")[:_LONGEST]
    return found


def _told(facts: Facts, status: int) -> dict[str, str | int]:
    """What the server knows of a request when it is over: numbers and names."""
    found = {
        "http.response.status_code": status or None,
        "crumb.request.id": facts.id,
        "crumb.model": facts.model,
        "crumb.inputs": facts.inputs,
        "crumb.tokens": facts.tokens,
        "crumb.truncated": facts.truncated,
        "crumb.batches": facts.batches,
    }
    return {key: value for key, value in found.items() if value is not None}
