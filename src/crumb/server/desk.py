"""What a route that encodes needs at hand, and how it waits for an answer.

Enters: a request and what the client wants. Leaves: encoded texts, counted and noted; nothing if the client has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from crumb.server.body import Bodies
from crumb.server.encoding import Encoded, Encoding
from crumb.server.errors import ApiError
from crumb.server.metrics import Metrics
from crumb.server.middleware import Facts, facts_of
from crumb.server.registry import Registry, Served
from crumb.server.schema import TextsRequest
from crumb.server.settings import Settings
from crumb.server.tracing import Stage

T = TypeVar("T", bound=TextsRequest)
R = TypeVar("R")


@dataclass(frozen=True)
class Desk:
    """What routes share.

    Attributes:
        registry: gives the models, or 503 while they load.
    """

    settings: Settings
    registry: Callable[[], Registry]
    encoding: Encoding
    bodies: Bodies
    metrics: Metrics

    async def take(self, request: Request, schema: type[T]) -> tuple[T, Served, list[str]]:
        """The body of a request, the model that is meant, and the texts of `input`, all within the limits.

        Raises:
            ApiError: see `Bodies.read`; 404, no such model; 503, the models are not loaded.
            ClientDisconnect: the client left before it was all there.
        """
        asked = await self.bodies.read(request, schema)
        served = self.registry().get(asked.model)
        texts = asked.texts_of()
        self.bodies.check_texts(texts, "input")
        self.bodies.check_prompt(asked.prompt)
        facts = facts_of(request.scope)
        facts.model, facts.inputs = served.name, len(texts)
        return asked, served, texts

    async def encode(
        self,
        request: Request,
        served: Served,
        texts: Sequence[str],
        *,
        prompt: str | None,
        truncation: str | None,
        layers: int | None,
    ) -> Encoded:
        """Encodes texts for a request, and counts them.

        Raises:
            ApiError: see `Encoding.encode`.
            ClientDisconnect: nobody waits any more; the texts have left the queue.
        """
        facts = facts_of(request.scope)
        try:
            found = await while_connected(
                request, self.encoding.encode(served, texts, prompt=prompt, truncation=truncation, layers=layers)
            )
        except ApiError as error:
            if error.status in (429, 503):
                self.metrics.rejected.labels("queue" if error.status == 429 else "deadline").inc()
            raise
        self._note(facts, served, len(texts), found)
        return found

    def _note(self, facts: Facts, served: Served, texts: int, found: Encoded) -> None:
        facts.tokens = (facts.tokens or 0) + found.tokens
        facts.truncated = (facts.truncated or 0) + len(found.cut)
        facts.queue_ms = round(found.queue_seconds * 1000, 2)
        facts.engine_ms = round(found.engine_seconds * 1000, 2)
        facts.batches = found.batches
        started = found.started_at
        for name, seconds in (
            ("tokenize", found.tokenize_seconds),
            ("queue", found.queue_seconds),
            ("engine", found.engine_seconds),
        ):
            facts.stages.append(Stage(name, started, seconds))
            started += seconds
        metrics = self.metrics
        metrics.inputs.observe(texts)
        metrics.request_tokens.observe(found.tokens)
        metrics.tokens.labels(served.name).inc(found.tokens)
        metrics.queue_seconds.observe(found.queue_seconds)
        metrics.tokenize_seconds.observe(found.tokenize_seconds)
        if found.cut:
            metrics.truncated.labels(served.name).inc(len(found.cut))


def timing(found: Encoded) -> str:
    """The `server-timing` header: where the time went, in milliseconds."""
    return (
        f"tokenize;dur={found.tokenize_seconds * 1000:.2f}, queue;dur={found.queue_seconds * 1000:.2f}, "
        f"engine;dur={found.engine_seconds * 1000:.2f}"
    )


async def while_connected(request: Request, work: Awaitable[R]) -> R:
    """Waits for `work`, which is cancelled when the client leaves. The request's body must have been read.

    Raises:
        ClientDisconnect: it left.
    """
    task: asyncio.Future[R] = asyncio.ensure_future(work)
    gone = False

    def leave(_: asyncio.Future[Any]) -> None:
        nonlocal gone
        if not watch.cancelled() and not task.done():
            gone = True
            task.cancel()

    watch = asyncio.ensure_future(request.receive())  # after the body, all that can come is the client's leaving
    watch.add_done_callback(leave)
    try:
        return await task
    except asyncio.CancelledError:
        if gone:
            raise ClientDisconnect from None
        task.cancel()
        raise
    finally:
        watch.cancel()
