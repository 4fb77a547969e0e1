"""POST /v1/tokenize: what a model reads of a text, token by token."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from crumb.model import Model
from crumb.server.desk import Desk
from crumb.server.errors import invalid
from crumb.server.routes.documented import ERRORS, body_of
from crumb.server.schema import TokenizeAnswer, TokenizeRequest

# tokens whose places are told: each becomes some 70 bytes of JSON; characters that are searched for places, at a
# microsecond each (many may be one token)
_MOST_TOKENS = 200_000
_MOST_CHARACTERS = 2_000_000


def router(desk: Desk) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["tokens"])

    @routes.post(
        "/v1/tokenize",
        summary="Tokens of texts",
        response_class=Response,
        responses={200: {"model": TokenizeAnswer, "description": "Tokens, in the order of the input"}, **ERRORS},
        openapi_extra=body_of(TokenizeRequest),
    )
    async def tokenize(request: Request) -> Response:
        """The tokens of every text, where they lie, and which of them lie behind the context."""
        asked, served, texts = await desk.take(request, TokenizeRequest)
        prefix = served.model.resolve_prompt(asked.prompt, None)
        side = "end" if asked.truncation_strategy in (None, "none") else str(asked.truncation_strategy)
        body = await asyncio.to_thread(_answer, served.name, served.model, texts, prefix, side)
        return Response(body, media_type="application/json")

    return routes


def _answer(name: str, model: Model, texts: list[str], prefix: str, side: str) -> bytes:
    tokenizer = model.tokenizer
    wholes = [prefix + text for text in texts]
    if (characters := sum(map(len, wholes))) > _MOST_CHARACTERS:
        raise invalid(
            f"the texts have {characters} characters, more than {_MOST_CHARACTERS}; send fewer a request", "input"
        )
    all_ids = tokenizer.encode(wholes)
    if (total := sum(map(len, all_ids))) > _MOST_TOKENS:  # known before the places, which take far longer
        raise invalid(f"the texts have {total} tokens, more than {_MOST_TOKENS}; send fewer a request", "input")
    data: list[dict[str, Any]] = []
    kept_tokens = 0
    room = model.context - tokenizer.n_special
    first = min(tokenizer.count([prefix])[0], room) if prefix and side == "start" else 0
    for index, (whole, ids) in enumerate(zip(wholes, all_ids, strict=True)):
        places = tokenizer.offsets(whole)
        lost = max(len(ids) - room, 0)
        # the same rule as crumb.text.truncate: "end" loses the last tokens, "start" the first after the prompt
        gone = range(first, first + lost) if side == "start" else range(len(ids) - lost, len(ids))
        kept_tokens += len(ids) - lost + tokenizer.n_special
        tokens = [
            {"id": token, "text": whole[start:end], "start": start, "end": end, "kept": place not in gone}
            for place, (token, (start, end)) in enumerate(zip(ids, places, strict=True))
        ]
        data.append({"index": index, "count": len(ids) + tokenizer.n_special, "cut": lost, "tokens": tokens})
    usage = {"prompt_tokens": kept_tokens, "total_tokens": kept_tokens, "completion_tokens": None}
    return orjson.dumps({"object": "list", "model": name, "context": model.context, "data": data, "usage": usage})
