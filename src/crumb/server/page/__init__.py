"""The files of the page at /ui, as they are served.

Enters: the files beside this one. Leaves: their bytes with a media type and an ETag. Knows nothing of HTTP beyond these
two names, and nothing of models: the page asks the server like any other client.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources

INDEX = "index.html"
# named here and not asked of the system, whose table of media types differs from machine to machine
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """One file: its bytes, its media type, and a strong ETag (with its quotes) that changes with the bytes."""

    body: bytes
    content_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Every file of the page by its name; `INDEX` is the page itself. Read once and kept: under 100 KB in all."""
    found = {}
    for file in resources.files(__name__).iterdir():
        content_type = _TYPES.get(f".{file.name.rpartition('.')[2]}")
        if content_type:
            body = file.read_bytes()
            found[file.name] = Asset(body, content_type, f'"{sha256(body).hexdigest()[:32]}"')
    return found
