"""From what users call their documents to what points are called.

Enters: ids (str or int) and texts. Leaves: UUIDs, which are the only names (beside integers) that Qdrant's points may
have. A document's first passage has the UUID that its id alone gives, so that it is found without an index; the others
count on from there. The id itself is kept in the payload. Knows nothing of how points are stored.
"""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID, uuid5

from crumb.search.collection.errors import CollectionError

Id = str | int

LARGEST_ID = 2**63 - 1

_IDS = UUID("0c9ee4a5-5d4a-5c0f-9bfc-2f0f4d3a1c11")  # our own namespace for ids …
_TEXTS = UUID("6f6b7f0e-9b1e-5a53-8d86-3f8f0a6e2d42")  # … and for texts that have none (RFC 9562, version 5)


def check_id(value: object, where: str = "id") -> Id:
    """`value` if it can be an id.

    Raises:
        TypeError: neither a str nor an int.
        CollectionError: empty, negative, too large, or a str that has no UTF-8 form.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"{where} must be a str or a whole number, got {type(value).__name__}: {str(value)[:60]!r}")
    if isinstance(value, int):
        if not 0 <= value <= LARGEST_ID:
            raise CollectionError(f"{where} must be from 0 to {LARGEST_ID}, got {value}")
        return value
    if not value:
        raise CollectionError(f"{where} is the empty str; expected a name, or ids=None for ids made of the texts")
    if not _is_utf8(value):
        raise CollectionError(f"{where} {value!r} holds half a surrogate pair, which has no UTF-8 form")
    return value


def id_of_text(text: str) -> str:
    """The id of a text that was given none: a UUID of its content."""
    return str(uuid5(_TEXTS, text))


def head_of(document: Id) -> str:
    """The UUID of a document's first point. 1 and "1" are two documents."""
    return str(uuid5(_IDS, f"{'i' if isinstance(document, int) else 's'}{document}"))


def points_of(head: str, count: int, first: int = 0) -> list[str]:
    """The UUIDs of a document's points from number `first` to below `count`."""
    return [head if number == 0 else str(uuid5(UUID(head), str(number))) for number in range(first, count)]


def digest(text: str, kind: str) -> str:
    """What tells whether a text has changed: 128 bits over the text and how it is read."""
    return blake2b(f"{kind}\0{text}".encode(), digest_size=16).hexdigest()


def storable(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair: what the tokenizer sees, and what UTF-8 can hold."""
    return text if _is_utf8(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
