"""What a name asks for: which folder of the store, and which sources can fill it.

Enters: a catalogue name, an alias, `org/name@commit`, or an `Entry`. Leaves: a `Request`, or an error that says which
names there are. Knows nothing of disks or networks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crumb.catalog import Entry, HubSource, Source, entries, find
from crumb.errors import ModelNotFoundError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Request:
    """A model that is wanted. `folder` is its place below `models_dir()`; `sources` stand in order of preference."""

    name: str
    folder: str
    sources: tuple[Source, ...]
    entry: Entry | None


def request(name: str | Entry) -> Request:
    """What `name` asks for.

    Raises:
        ModelNotFoundError: neither in the catalogue nor a Hub id, or its revision is missing or no full commit.
    """
    if isinstance(name, Entry):
        return Request(name.name, name.name, name.sources, name)
    base, at, revision = name.partition("@")
    entry = find(base)
    if entry and not at:
        return request(entry)
    repo = entry.hub.repo if entry and entry.hub else base
    if not _HUB_ID.fullmatch(repo):
        raise unknown(name)
    if not at:
        raise ModelNotFoundError(
            f"{name!r} is no model folder here and not in the catalogue{_suggestion(name)}. "
            f"If it is a Hub id, give a full commit as well: {name}@REVISION (40 hex digits)."
        )
    if not _COMMIT.fullmatch(revision.lower()):
        raise ModelNotFoundError(
            f"{revision!r} in {name!r} is not a full commit of 40 hex digits. A branch or a tag moves, and vectors of "
            f"the same name would no longer compare; give {base}@COMMIT."
        )
    source = HubSource(repo, revision.lower())
    return Request(name, f"{repo.replace('/', '--')}@{source.revision}", (source,), entry)


def unknown(name: str) -> ModelNotFoundError:
    """The error for a name that means nothing to us; it lists the names that do."""
    return ModelNotFoundError(
        f"{name!r} is neither a model folder (one with a config.json), nor a Hub id (org/name@commit), "
        f"nor in the catalogue{_suggestion(name)}. The catalogue has: {', '.join(entry.name for entry in entries())}."
    )


def _suggestion(name: str) -> str:
    import difflib

    known = {word.lower(): entry.name for entry in entries() for word in (entry.name, *entry.aliases)}
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    names = list(dict.fromkeys(known[word] for word in close))
    return f" (did you mean {' or '.join(names)}?)" if names else ""
