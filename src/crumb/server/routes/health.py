"""GET /health/live: the process answers. /health/ready: it would answer a request. /metrics: how it has done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson
from fastapi import APIRouter, Response
from pydantic import BaseModel

from crumb.server.metrics import CONTENT_TYPE, Metrics
from crumb.server.routes.documented import GUARDED

_REMEMBERED_SECONDS = 1.0
_PROBE_SECONDS = 10.0


class Health(BaseModel):
    """`status`: "alive", "ready", "loading", "draining" or "failing"; `reason` with the last."""

    status: str
    reason: str | None = None


class Readiness:
    """Asks the engine for a real forward pass, at most once a second.

    Args:
        state: "loading", "draining", "failing: why" or "ready", as far as is known without asking the engine.
        probe: a forward pass.
    """

    def __init__(self, state: Callable[[], str], probe: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._probe = probe
        self._asking: asyncio.Task[str] | None = None
        self._answer = ""
        self._answered = float("-inf")

    async def status(self) -> str:
        """Now, or within the last second."""
        state = self._state()
        if state != "ready":
            return state
        if time.monotonic() - self._answered > _REMEMBERED_SECONDS and self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            return await asyncio.shield(self._asking)
        return self._answer

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe()
            self._answer = "ready"
        except TimeoutError:
            self._answer = f"failing: no forward pass within {_PROBE_SECONDS:g} s"
        except Exception as error:
            self._answer = f"failing: a forward pass raised {type(error).__name__}"
        self._answered = time.monotonic()
        self._asking = None
        return self._answer


def router(readiness: Readiness, metrics: Metrics, gauges: Callable[[], None]) -> APIRouter:
    """The routes; `gauges` brings the gauges up to date."""
    routes = APIRouter(tags=["operation"])
    unready = {"model": Health, "description": "Loading, draining or failing"}

    @routes.get("/health/live", summary="The process answers")
    async def live() -> Health:
        return Health(status="alive")

    @routes.get(
        "/health/ready",
        summary="A request would be answered: a forward pass succeeded within the last second",
        response_class=Response,
        responses={200: {"model": Health}, 503: unready},
    )
    async def ready() -> Response:
        status, _, reason = (await readiness.status()).partition(": ")
        body = {"status": status, "reason": reason or None}
        headers = {} if status == "ready" else {"retry-after": "1"}
        return Response(orjson.dumps(body), 200 if status == "ready" else 503, headers, "application/json")

    @routes.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **GUARDED},
    )
    async def page() -> Response:
        gauges()
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    return routes
