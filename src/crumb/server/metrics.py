"""What Prometheus may ask for.

Enters: events of requests and batches. Leaves: the text of /metrics. Knows nothing of how they come about. With several
workers the supervisor sets PROMETHEUS_MULTIPROC_DIR, and any of them answers for all.
"""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from crumb import __version__
from crumb.server.batching.scheduler import Done

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384, 65536, 262144)


class Metrics:
    """All series; the attributes are prometheus_client's, but for `several`: whether other workers count too."""

    def __init__(self) -> None:
        self.several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        # with several workers the series live in files that are read together
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("crumb_requests", "Requests answered.", ("route", "status"), registry=registry)
        self.duration = Histogram(
            "crumb_request_duration_seconds",
            "From the request's arrival to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = self._gauge("crumb_requests_in_flight", "Requests at work or waiting.")
        self.inputs = Histogram("crumb_request_inputs", "Texts in a request.", buckets=_COUNTS, registry=registry)
        self.tokens = Counter("crumb_tokens", "Tokens read by models.", ("model",), registry=registry)
        self.request_tokens = Histogram(
            "crumb_request_tokens", "Tokens in a request.", buckets=_TOKENS, registry=registry
        )
        self.truncated = Counter("crumb_truncated_inputs", "Texts that lost tokens.", ("model",), registry=registry)
        self.queue_seconds = Histogram(
            "crumb_queue_seconds", "From the queue's entry to the first batch.", buckets=_SECONDS, registry=registry
        )
        self.tokenize_seconds = Histogram(
            "crumb_tokenize_seconds", "Tokenising a request.", buckets=_SECONDS, registry=registry
        )
        self.queue_tokens = self._gauge("crumb_queue_tokens", "Tokens that wait for the engine.")
        self.queue_jobs = self._gauge("crumb_queue_requests", "Requests that wait for the engine.")
        self.drain_rate = self._gauge("crumb_drain_tokens_per_second", "How fast the engine works the queue off.")
        self.batch_seconds = Histogram(
            "crumb_batch_seconds", "The engine on a batch.", buckets=_SECONDS, registry=registry
        )
        self.batch_tokens = Histogram("crumb_batch_tokens", "Tokens in a batch.", buckets=_TOKENS, registry=registry)
        self.batch_texts = Histogram("crumb_batch_texts", "Texts in a batch.", buckets=_COUNTS, registry=registry)
        self.rejected = Counter("crumb_rejected_requests", "Requests refused for load.", ("reason",), registry=registry)
        info = self._gauge("crumb_info", "The version that runs.", ("version",), mode="livemax")
        info.labels(__version__).set(1)
        if not self.several:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)

    def batch(self, done: Done) -> None:
        """Counts a batch."""
        self.batch_seconds.observe(done.seconds)
        self.batch_tokens.observe(done.tokens)
        self.batch_texts.observe(done.texts)

    def text(self) -> bytes:
        """The page of /metrics."""
        if self.several:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)

    def _gauge(self, name: str, help: str, labels: tuple[str, ...] = (), mode: Any = "livesum") -> Gauge:
        """A gauge; `mode` says what becomes of the values of several workers."""
        return Gauge(name, help, labels, registry=self._registry, multiprocess_mode=mode)
