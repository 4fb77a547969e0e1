"""What can go wrong with a collection, each by its own class.

Enters: nothing. Leaves: exception classes, all `CrumbError`s. Knows nothing of where they are raised.
"""

from __future__ import annotations

from crumb.errors import CrumbError


class CollectionError(CrumbError, ValueError):
    """A collection that cannot be used as asked: not there, made with another model or settings, or wrong arguments."""


class CollectionInUseError(CollectionError):
    """The collection is open elsewhere; the message names the process, its machine, its command and since when."""


class DuplicateIdError(CollectionError):
    """An id that is in the collection already, or twice in one call."""


class FilterError(CollectionError):
    """A filter that means nothing: an unknown operator, a value of the wrong type."""


class DiskFullError(CollectionError):
    """Too little room to write; nothing that was acknowledged is lost, and nothing of the refused batch was written."""


def already_there(document: str | int) -> DuplicateIdError:
    """The error for an id that cannot be added again."""
    return DuplicateIdError(
        f"the id {document!r} is in the collection already; use upsert to replace it, or delete it first"
    )
