"""The application: routes behind the middleware, models that load while it already answers, and an orderly end.

Enters: `Settings`. Leaves: an `App`, which whoever runs the HTTP server starts, drains and stops. Knows how the parts
fit together and nothing of sockets or signals.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from crumb import __version__
from crumb.model import Model
from crumb.server import logs
from crumb.server.batching import Scheduler
from crumb.server.batching.scheduler import Done
from crumb.server.body import Bodies
from crumb.server.desk import Desk
from crumb.server.encoding import Encoding
from crumb.server.errors import ApiError
from crumb.server.keys import Keys
from crumb.server.metrics import Metrics
from crumb.server.middleware import Guard, Observer, failed
from crumb.server.proxies import Proxied
from crumb.server.registry import Registry
from crumb.server.routes import docs, embeddings, health, models, page, similarity, tokenize
from crumb.server.settings import Settings, SettingsError
from crumb.server.shortcut import GONE, Shortcut
from crumb.server.tracing import Tracing

TITLE = "crumb"
# Recent versions of FastAPI send traces, metrics and logs by themselves where the environment asks for it, with queries
# and with what was invalid. Nothing is sent here but what `--otlp-endpoint` asks for. (Older ones pass over this.)
_NO_TELEMETRY: Any = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
log = logging.getLogger("crumb.server")


class App:
    """A server's inside.

    Args:
        settings: all of them.

    Attributes:
        asgi: what an HTTP server calls.

    Raises:
        MissingExtraError: traces are asked for and the extra is not installed.
        SettingsError: the key file cannot be read, a proxy is no address, a collector no URL, limits do not fit.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.max_body_bytes > settings.max_held_bytes:
            raise SettingsError(
                f"--max-body-bytes {settings.max_body_bytes} is more than all bodies together may have "
                f"(--max-held-bytes {settings.max_held_bytes}): lower it or raise the other"
            )
        self.settings = settings
        self._registry: Registry | None = None
        self._loading: asyncio.Future[Registry] | None = None
        self._draining = False
        self._metrics = Metrics()
        self._keys = Keys(settings.api_key, settings.key_file)
        self._scheduler = Scheduler(settings.max_queue_tokens, settings.batch_seconds, self._batch, _end)
        self._encoding = Encoding(settings, self._scheduler)
        self._tracing = Tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None
        self.asgi = self._stack()

    async def start(self) -> None:
        """Begins to load the models, and returns at once: requests are answered with 503 until they are there."""
        self._scheduler.start()
        self._loading = asyncio.get_running_loop().run_in_executor(None, self._load)

    async def loaded(self) -> None:
        """Returns when the models are there.

        Raises:
            CrumbError, ValueError, OSError: why they cannot be loaded.
        """
        assert self._loading is not None, "start() comes first"
        await asyncio.shield(self._loading)

    def refused(self, status: int, reason: str) -> None:
        """Counts a client that was turned away before it asked for anything."""
        self._metrics.rejected.labels(reason).inc()
        log.debug("refused", extra={"facts": {"status": status, "reason": reason}})

    def drain(self) -> None:
        """From now on new requests are refused, and readiness says no; what is in flight goes on."""
        self._draining = True

    async def stop(self) -> None:
        """Ends the threads; every answer has been given."""
        self._encoding.close()
        await asyncio.to_thread(self._scheduler.stop)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.stop)

    def reload(self) -> None:
        """Reads the key file again; if it cannot be read the keys stay as they were, and the log says so."""
        try:
            self._keys.reload()
            log.info("keys read again")
        except SettingsError as error:
            log.error("keys not read again, the old ones stay", extra={"facts": {"error": str(error)}})

    def _load(self) -> Registry:
        registry = Registry(self.settings)
        for served in registry.models:
            self._scheduler.learn(_rate(served.model))
        self._registry = registry
        for served in registry.models:
            engine = served.model.engine
            log.info(
                "serving",
                extra={
                    "facts": {
                        "model": served.name,
                        "context": served.model.context,
                        "kernels": engine.isa,
                        "precision": engine.precision,
                        "threads": engine.threads,
                    }
                },
            )
        if others := registry.stands_in():
            log.warning(
                f"{registry.default.name} also answers to {', '.join(others)}: give --model to serve the real one, or "
                "--alias to say what it should mean"
            )
        return registry

    def _state(self) -> str:
        if self._draining:
            return "draining"
        if self._registry is None:
            return "loading"
        return "ready" if self._scheduler.alive else "failing: the engine's thread has ended"

    def _models(self) -> Registry:
        if self._registry is None:
            raise ApiError(503, "the models are being loaded; try again in a moment", headers={"retry-after": "1"})
        return self._registry

    async def _probe(self) -> None:
        for served in self._models().models:
            await self._encoding.probe(served)

    def _batch(self, done: Done) -> None:
        self._metrics.batch(done)
        if self._metrics.several:  # whoever is asked for the gauges cannot ask the others
            self._gauges()

    def _gauges(self) -> None:
        self._metrics.queue_tokens.set(self._scheduler.waiting_tokens)
        self._metrics.queue_jobs.set(self._scheduler.waiting_jobs)
        self._metrics.drain_rate.set(self._scheduler.rate)

    def _stack(self) -> ASGIApp:
        api = FastAPI(
            title=TITLE,
            version=__version__,
            description="Text embeddings on the machine you have, as Mixedbread's and OpenAI's clients ask for them.",
            docs_url=None,
            redoc_url=None,
            telemetry=_NO_TELEMETRY,
            redirect_slashes=False,
            # no more than a word in the document, and a button in /docs: the guard stands before every route
            dependencies=[Depends(HTTPBearer(auto_error=False))] if self._keys else [],
        )
        desk = Desk(self.settings, self._models, self._encoding, Bodies(self.settings), self._metrics)
        answer = embeddings.endpoint(desk)
        for routes in (
            models.router(desk),
            embeddings.router(answer),
            similarity.router(desk),
            tokenize.router(desk),
            health.router(health.Readiness(self._state, self._probe), self._metrics, self._gauges),
            docs.router(TITLE),
            page.router(),
        ):
            api.include_router(routes)
        api.add_exception_handler(HTTPException, _as_ours)
        api.add_exception_handler(ApiError, _as_said)
        api.add_exception_handler(ClientDisconnect, _unheard)
        api.add_exception_handler(Exception, _hidden)
        quick = Shortcut(api, dict.fromkeys(embeddings.PATHS, answer))
        limits = self.settings.max_concurrent, self.settings.max_held_bytes
        guarded: ASGIApp = Guard(quick, self._keys, *limits, lambda: self._draining, self._metrics)
        if self.settings.cors_origin:
            guarded = CORSMiddleware(
                guarded,
                allow_origins=self.settings.cors_origin,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],  # whatever the client sends: the official ones add headers of their own
                expose_headers=["x-truncated-inputs", "x-request-id", "retry-after", "retry-after-ms", "server-timing"],
            )
        observed: ASGIApp = Observer(guarded, self._metrics, self._tracing)
        if self.settings.trusted_proxy:
            observed = Proxied(observed, self.settings.trusted_proxy)
        return observed


def _rate(model: Model) -> float:
    """Tokens a second of a middling text; the pass before it touches every page of the weights."""
    model.encode("ready?")
    began = time.perf_counter()
    _, report = model.encode("how many words a second? " * 20, truncation="end", return_report=True)
    return report.tokens / (time.perf_counter() - began)


def _end() -> None:
    os._exit(1)  # without its engine a worker is of no use: the supervisor starts another


async def _as_said(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _hidden(request: Request, _: Exception) -> Response:
    return failed(request.scope).response()


async def _unheard(_: Request, __: Exception) -> Response:
    return Response(status_code=GONE)


async def _as_ours(_: Request, error: Exception) -> Response:
    """Starlette's own errors (no such route, wrong method) in the form of all others."""
    assert isinstance(error, HTTPException)
    message = {
        404: "no such route; GET /docs lists them",
        405: "this route does not take that method; GET /docs says which it takes",
    }.get(error.status_code, str(error.detail))
    return ApiError(error.status_code, message, headers=error.headers).response()


def build(settings: Settings) -> App:
    """The application, with its logs going to stderr.

    Raises:
        MissingExtraError, SettingsError: see `App`.
    """
    logs.configure(settings.log_level, settings.log_format)
    return App(settings)
