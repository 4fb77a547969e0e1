"""Errors as every client reads them.

Enters: what was wrong. Leaves: one JSON body that Mixedbread's and OpenAI's clients both understand, and for 422
FastAPI's `detail` too. Knows nothing of routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response

_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "unavailable_error",
}


class ApiError(Exception):
    """An answer that is not 200.

    Attributes:
        status: the HTTP status.
        message: what was wrong, what was expected, what to do; the caller sees it.
        param: the field that was wrong.
        headers: sent along.
        detail: for 422, FastAPI's list.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        detail: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.detail = detail

    def body(self) -> bytes:
        """As JSON."""
        body: dict[str, Any] = {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, "invalid_request_error"),
                "code": self.status,
                "param": self.param,
            },
            "message": self.message,
        }
        if self.status == 422:
            place = ["body", self.param] if self.param else ["body"]
            body["detail"] = self.detail or [{"loc": place, "msg": self.message, "type": "value_error"}]
        return orjson.dumps(body)

    def response(self) -> Response:
        """As an answer."""
        return Response(self.body(), self.status, self.headers, "application/json")


def invalid(message: str, param: str | None = None) -> ApiError:
    """422: the request is well formed, but a field cannot be."""
    return ApiError(422, message, param=param)


def overloaded(seconds: float, message: str) -> ApiError:
    """429: to be tried again after so many seconds."""
    wait = max(seconds, 0.001)
    # retry-after is in whole seconds; the clients prefer the finer one where both are there
    return ApiError(
        429, message, headers={"retry-after": str(int(wait) + 1), "retry-after-ms": str(int(wait * 1000) + 1)}
    )


def from_validation(error: ValidationError) -> ApiError:
    """A body that does not fit its schema; what was sent is not echoed, it may be long or private."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}")
    detail = [{"loc": ["body", *item["loc"]], "msg": item["msg"], "type": item["type"]} for item in found]
    first = detail[0]
    param = ".".join(map(str, first["loc"][1:])) or None
    message = f"{param}: {first['msg']}" if param else str(first["msg"])
    return ApiError(422, message, param=param, detail=detail)
