"""GET /ui and the files under it.

Enters: a name and the ETag that the browser has. Leaves: the file, or 304. Knows nothing of what the page does. The
headers let the page load and ask this origin only: no script, style or picture from elsewhere, none inline, no frame
around it.
"""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from crumb.server.page import INDEX, assets

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # kept, but asked for every time: a page from before an upgrade may not speak to the server after it
    "cache-control": "no-cache",
}


def router() -> APIRouter:
    """The routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/ui", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(request, INDEX)

    @routes.api_route("/ui/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        return _answer(request, name)

    return routes


def _answer(request: Request, name: str) -> Response:
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(404)
    headers = {**HEADERS, "etag": asset.etag}
    if asset.etag in _known(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers={**headers, "content-type": asset.content_type})


def _known(value: str) -> list[str]:
    # a proxy that compresses turns our strong ETag into a weak one: the bytes under it are the same
    return [tag.strip().removeprefix("W/") for tag in value.split(",")]
