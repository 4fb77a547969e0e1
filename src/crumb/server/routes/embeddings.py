"""POST /v1/embeddings, and the two other paths that clients end up at."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from crumb.server.answers import check_form, embedding_answer, shaped
from crumb.server.desk import Desk, timing
from crumb.server.routes.documented import ERRORS, body_of
from crumb.server.schema import EmbeddingAnswer, EmbeddingRequest
from crumb.server.shortcut import Endpoint

# numbers in an answer: below, writing it takes less time than handing it to a thread
_AT_ONCE = 30_000
# a base URL that ends in /v1 arrives at the last
PATHS = ("/v1/embeddings", "/embeddings", "/v1/v1/embeddings")


def endpoint(desk: Desk) -> Endpoint:
    """What answers."""

    async def embeddings(request: Request) -> Response:
        """Vectors of texts."""
        asked, served, texts = await desk.take(request, EmbeddingRequest)
        normalized = asked.normalized is not False
        form = asked.encoding_format or "float"
        check_form(served.model, asked.dimensions, [form] if isinstance(form, str) else form, normalized)
        found = await desk.encode(
            request, served, texts, prompt=asked.prompt, truncation=asked.truncation_strategy, layers=asked.layers
        )

        def written() -> bytes:
            return embedding_answer(
                name=served.name,
                model=served.model,
                vectors=shaped(found.vectors, asked.dimensions, normalized),
                encoding_format=form,
                normalized=normalized,
                tokens=found.tokens,
                cut=found.cut,
            )

        body = written() if found.vectors.size <= _AT_ONCE else await asyncio.to_thread(written)
        headers = {"x-truncated-inputs": str(len(found.cut)), "server-timing": timing(found)}
        return Response(body, headers=headers, media_type="application/json")

    return embeddings


def router(answer: Endpoint) -> APIRouter:
    """The route and its aliases."""
    routes = APIRouter(tags=["embeddings"])

    async def embeddings(request: Request) -> Response:
        """Vectors of texts."""
        return await answer(request)

    for path in PATHS:
        routes.add_api_route(
            path,
            embeddings,
            methods=["POST"],
            summary="Vectors of texts",
            include_in_schema=path == PATHS[0],
            response_class=Response,
            responses={200: {"model": EmbeddingAnswer, "description": "Vectors, in the order of the input"}, **ERRORS},
            openapi_extra=body_of(EmbeddingRequest),
        )
    return routes
