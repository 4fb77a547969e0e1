"""POST /v1/similarity: cosines of texts, exact or as codes of fewer bytes would give them."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from crumb.model import Model
from crumb.server.answers import check_form, shaped, truncated
from crumb.server.desk import Desk, timing
from crumb.server.errors import ApiError
from crumb.server.middleware import facts_of
from crumb.server.routes.documented import ERRORS, body_of
from crumb.server.schema import SimilarityAnswer, SimilarityRequest
from crumb.vectors.codes import Codes
from crumb.vectors.normalize import Floats, normalize
from crumb.vectors.similarity import similarity

_ENCODINGS: dict[str, Any] = {"float": "float32", "int8": "int8", "binary": "ubinary"}


def router(desk: Desk) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["similarity"])

    @routes.post(
        "/v1/similarity",
        summary="Cosine similarity of texts",
        response_class=Response,
        responses={200: {"model": SimilarityAnswer, "description": "A row of scores for each input"}, **ERRORS},
        openapi_extra=body_of(SimilarityRequest),
    )
    async def compare(request: Request) -> Response:
        """The cosine of every input with every text of `against`, or with every other input."""
        asked, served, texts = await desk.take(request, SimilarityRequest)
        others = None if asked.against is None else asked.texts_of("against")
        desk.bodies.check_texts(others or [], "against")
        facts_of(request.scope).inputs = len(texts) + len(others or [])
        desk.bodies.check_prompt(asked.against_prompt, "against_prompt")
        code = asked.code or "float"
        check_form(served.model, asked.dimensions, [code])
        pairs = len(texts) * len(texts if others is None else others)
        if pairs > desk.settings.max_pairs:
            raise ApiError(
                413, f"{pairs} scores are more than {desk.settings.max_pairs} (the server's --max-pairs)", param="input"
            )
        first = await desk.encode(
            request, served, texts, prompt=asked.prompt, truncation=asked.truncation_strategy, layers=asked.layers
        )
        second = first
        if others is not None:
            second = await desk.encode(
                request,
                served,
                others,
                prompt=asked.against_prompt,
                truncation=asked.truncation_strategy,
                layers=asked.layers,
            )

        def written() -> bytes:
            left = shaped(first.vectors, asked.dimensions, True)
            right = shaped(second.vectors, asked.dimensions, True)
            codes = _coded(served.model, right, code)
            cut = [{"list": "input", **item} for item in truncated(first.cut)]
            tokens = first.tokens
            if others is not None:
                cut += [{"list": "against", **item} for item in truncated(second.cut)]
                tokens += second.tokens
            return orjson.dumps(
                {
                    "object": "similarity",
                    "model": served.name,
                    "scores": _scores(left, codes),
                    "dimensions": left.shape[1],
                    "layers": asked.layers or served.model.contract.layers,
                    "code": code,
                    "bytes": codes.array.shape[1] * codes.array.itemsize,
                    "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": None},
                    "truncated": cut,
                },
                option=orjson.OPT_SERIALIZE_NUMPY,
            )

        body = await asyncio.to_thread(written) if pairs > 1000 else written()
        cut = len(first.cut) + (len(second.cut) if others is not None else 0)
        headers = {"x-truncated-inputs": str(cut), "server-timing": timing(second)}
        return Response(body, headers=headers, media_type="application/json")

    return routes


def _coded(model: Model, vectors: Floats, code: str) -> Codes:
    ranges = model.ranges(vectors.shape[1]) if code == "int8" else None
    return Codes.of(vectors, _ENCODINGS[code], ranges=ranges)


def _scores(queries: Floats, codes: Codes) -> Floats:
    """Cosines of exact queries with what the codes stand for, float32 [n, m]."""
    if codes.encoding == "float32":
        return np.asarray(similarity(queries, codes.array), dtype=np.float32)
    return np.ascontiguousarray(queries @ normalize(codes.dequantize()).T, dtype=np.float32)
