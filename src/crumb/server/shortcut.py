"""The hot routes, reached without FastAPI's: its matching, dependency solving and exit stacks cost a short text half as
much time again as everything else that is done for it outside the engine.

Enters: an app and the endpoints that are called most. Leaves: an app that gives them their requests and passes every
other on. The endpoints stand in FastAPI's table too, for the OpenAPI document; there is one function for both ways.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from crumb.server.errors import ApiError
from crumb.server.middleware import facts_of, failed

Endpoint = Callable[[Request], Awaitable[Response]]
GONE = 499  # nobody is there to read it; nginx's number for this, in logs and metrics only


class Shortcut:
    """Sends POST requests of some paths straight to their endpoints.

    Args:
        app: gets all others.
        endpoints: by path.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]) -> None:
        self._app = app
        self._endpoints = dict(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        facts_of(scope).route = scope["path"]
        try:
            response = await endpoint(Request(scope, receive))
        except ApiError as error:
            response = error.response()
        except ClientDisconnect:
            response = Response(status_code=GONE)
        except Exception:
            # answered here and told further out, as FastAPI does it: what lies between (CORS) adds its headers
            await failed(scope).response()(scope, receive, send)
            raise
        await response(scope, receive, send)
