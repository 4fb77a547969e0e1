"""A request's body, read within limits and checked against its schema.

Enters: a request. Leaves: a checked model of its body. Knows nothing of what is asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from crumb.server.errors import ApiError, from_validation, invalid
from crumb.server.settings import Settings

T = TypeVar("T", bound=BaseModel)


# values of a body that are no texts: names, numbers, what clients send along
_OTHER_VALUES = 10_000


class Bodies:
    """Reads bodies.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A list in JSON is two bytes and in memory two hundred: 31 MB of them took 2 GB and the event loop ten seconds.
        # So they are counted before they are made, by what stands before a value, outside strings. Possessive
        # quantifiers, so that a body is read once.
        self._most_values = 2 * settings.max_items + _OTHER_VALUES
        string, other = rb'"(?:[^"\\]++|\\.)*+"', rb'[^"\[{,]*+'
        begin = other + rb"(?:" + string + other + rb")*+[\[{,]"
        self._crowded = re.compile(rb"(?:" + begin + rb"){%d}" % (self._most_values + 1), re.DOTALL)

    async def read(self, request: Request, schema: type[T]) -> T:
        """The body as `schema`.

        Raises:
            ApiError: compressed (415), too large (413), too slow (408), no JSON (400), or not as the schema says (422).
            ClientDisconnect: the client left before it was all there.
        """
        if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
            raise ApiError(415, f"a body with content-encoding {coding[:40]!r} is not taken: send plain JSON")
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                body = await self._bytes(request)
        except TimeoutError:
            raise ApiError(
                408,
                f"the body did not arrive within {self._settings.body_seconds:g} s (the server's --body-seconds)",
                headers={"connection": "close"},
            ) from None
        self._check_values(body)
        try:
            return schema.model_validate_json(body)
        except ValidationError as error:
            raise from_validation(error) from None

    def check_texts(self, texts: Sequence[str], param: str) -> None:
        """Refuses more or longer texts than a request may have.

        Raises:
            ApiError: 422, naming the limit and its flag.
        """
        most = self._settings.max_items
        if len(texts) > most:
            raise invalid(f"{param} has {len(texts)} texts, more than {most} (the server's --max-items)", param)
        longest = self._settings.max_characters
        for index, text in enumerate(texts):
            if len(text) > longest:
                raise invalid(
                    f"{param}: text {index} has {len(text)} characters, more than {longest} (the server's "
                    "--max-characters)",
                    param,
                )

    def check_prompt(self, prompt: str | None, param: str = "prompt") -> None:
        """Refuses a prompt that is too long.

        Raises:
            ApiError: 422.
        """
        most = self._settings.max_prompt_characters
        if prompt and len(prompt) > most:
            raise invalid(
                f"{param} has {len(prompt)} characters, more than {most} (the server's --max-prompt-characters)", param
            )

    def _check_values(self, body: bytes) -> None:
        most = self._most_values
        if body.count(b",") + body.count(b"[") + body.count(b"{") > most and self._crowded.match(body):
            raise invalid(
                f"the body has more than {most} values, and a request no more than {self._settings.max_items} texts "
                "(the server's --max-items)"
            )

    async def _bytes(self, request: Request) -> bytes:
        most = self._settings.max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise _too_large(int(declared), most)
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > most:
                raise _too_large(size, most)
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(size: int, most: int) -> ApiError:
    return ApiError(
        413,
        f"the body has {size} bytes or more, the limit is {most} (the server's --max-body-bytes); send fewer texts",
        headers={"connection": "close"},  # nobody will read the rest
    )
