"""GET /docs: the OpenAPI document for people. Swagger UI comes with the server: a browser needs no other host."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response
from fastapi.openapi.docs import get_swagger_ui_html

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_CACHED = {"cache-control": "public, max-age=86400"}


def router(title: str) -> APIRouter:
    """The routes."""
    routes = APIRouter(include_in_schema=False)
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=title,
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )

    @routes.get("/docs")
    async def docs() -> Response:
        return page

    @routes.get("/docs/{name}")
    async def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise HTTPException(404)
        return Response((files("fastapi_offline") / "static" / name).read_bytes(), 200, _CACHED, _ASSETS[name])

    return routes
