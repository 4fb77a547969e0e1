"""What the OpenAPI document says of every route: the errors, and bodies that routes read by themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from crumb.server.schema import ErrorAnswer

_MEANINGS = {
    400: "The body is not JSON",
    401: "No key, or a wrong one",
    404: "Unknown model",
    408: "The body took too long to arrive",
    413: "The body, or what it asks for, is too large",
    415: "The body is compressed",
    422: "A field cannot be; `detail` lists which",
    429: "Too much waits already; `retry-after` says how long to wait",
    500: "The server failed; its log says why under `x-request-id`",
    503: "Loading, shutting down, or no answer in time",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": meaning} for status, meaning in _MEANINGS.items()
}
GUARDED: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (401, 429, 500, 503)}


def body_of(schema: type[BaseModel]) -> dict[str, Any]:
    """The request body of a route that reads it by itself (crumb.server.body), for `openapi_extra`."""
    described = schema.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": described}}}}
