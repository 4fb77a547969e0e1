"""GET /v1/models, and GET / for clients that ask who answers."""

from __future__ import annotations

from fastapi import APIRouter

from crumb import __version__
from crumb.server.desk import Desk
from crumb.server.registry import Served
from crumb.server.routes.documented import ERRORS, GUARDED
from crumb.server.schema import ModelFacts, ModelList


def router(desk: Desk) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/", include_in_schema=False)  # a client whose base URL ends in /v1
    @routes.get("/", summary="Who answers", responses=GUARDED)
    async def root() -> dict[str, str]:
        return {"name": "crumb", "version": __version__}

    @routes.get("/v1/models", summary="Models that are served", responses=GUARDED)
    async def models() -> ModelList:
        registry = desk.registry()
        return ModelList(data=[_facts(served, served is registry.default) for served in registry.models])

    @routes.get("/v1/models/{name:path}", summary="One model", responses={404: ERRORS[404], **GUARDED})
    async def model(name: str) -> ModelFacts:
        registry = desk.registry()
        served = registry.get(name)
        return _facts(served, served is registry.default)

    return routes


def _facts(served: Served, default: bool) -> ModelFacts:
    model = served.model
    halves = []
    size = model.dimensions
    while size >= 16:
        halves.append(size)
        size //= 2
    return ModelFacts(
        id=served.name,
        created=served.created,
        owned_by="crumb",
        dimensions=model.dimensions,
        layers=model.contract.layers,
        context=model.context,
        aliases=served.aliases,
        default=default,
        matryoshka=halves,
        prompts=model.contract.prompts,
        default_prompt=model.resolve_prompt(None, None),
    )
