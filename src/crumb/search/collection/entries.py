"""From a call's arguments to checked entries, a window at a time.

Enters: texts, ids, metadata and kinds as the caller has them, lists or generators. Leaves: entries, each checked, in
windows small enough for memory. Knows nothing of models or of where entries go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import count
from typing import Any, get_args

from crumb.search.collection.errors import CollectionError, DuplicateIdError
from crumb.search.collection.ids import LARGEST_ID, Id, check_id, digest, head_of, id_of_text, storable
from crumb.text import inputs
from crumb.text.structure import Kind

_WINDOW_TEXTS = 256
_WINDOW_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A document on its way in; `metadata` is None where none was given, `named` whether the caller gave the id."""

    id: Id
    head: str
    text: str
    digest: str
    kind: Kind
    metadata: dict[str, Any] | None
    named: bool


def entries(
    texts: Iterable[str],
    ids: Iterable[Id] | None,
    metadata: Iterable[Mapping[str, Any]] | None,
    kinds: Iterable[Kind] | None,
) -> Iterator[Entry]:
    """The entries of a call; where the arguments are lists, everything is checked before the first is given.

    Raises:
        TypeError: an argument or one of its elements is of the wrong type; the message names it.
        CollectionError: an id, a kind or metadata that cannot be, or as many of one as there are not of another.
        DuplicateIdError: an id twice, where `ids` is a list.
    """
    given = {"texts": texts, "ids": ids, "metadata": metadata, "kinds": kinds}
    for name, values in given.items():
        if values is not None and (isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable)):
            raise TypeError(f"{name} must be an ordered iterable, one for each text, got {type(values).__name__}")
    sized = {name: len(values) for name, values in given.items() if isinstance(values, list | tuple)}
    if len(set(sized.values())) > 1:
        raise CollectionError(f"one of each for each text is expected, got {_counted(sized)}")
    stream = _entries(texts, ids, metadata, kinds)
    if all(values is None or isinstance(values, list | tuple) for values in given.values()):
        checked = list(stream)
        refuse_twice(checked)
        return iter(checked)
    return stream


def windows(stream: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries a window at a time (crumb.text.inputs)."""
    return inputs.windows(stream, lambda entry: len(entry.text), most=_WINDOW_TEXTS, characters=_WINDOW_CHARACTERS)


def refuse_twice(window: Iterable[Entry]) -> None:
    """Refuses an id that the caller gave to two texts.

    Raises:
        DuplicateIdError: naming it.
    """
    seen: set[str] = set()
    for entry in window:
        if entry.named and entry.head in seen:
            raise DuplicateIdError(f"the id {entry.id!r} is given to two texts of one call; ids name one document each")
        seen.add(entry.head)


def _entries(
    texts: Iterable[str],
    ids: Iterable[Id] | None,
    metadata: Iterable[Mapping[str, Any]] | None,
    kinds: Iterable[Kind] | None,
) -> Iterator[Entry]:
    given = {"texts": texts, "ids": ids, "metadata": metadata, "kinds": kinds}
    names = [name for name, values in given.items() if values is not None]
    rows = zip(*(values for values in given.values() if values is not None), strict=True)
    for index in count():
        try:
            row = dict(zip(names, next(rows), strict=True))
        except StopIteration:
            return
        except ValueError as error:
            if not str(error).startswith("zip()"):
                raise
            raise CollectionError(
                f"{', '.join(names)} have different lengths: one of them ends after {index} documents"
            ) from None
        text, kind = row["texts"], row.get("kinds", "text")
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] must be a str, got {type(text).__name__}: {str(text)[:60]!r}")
        if kind not in get_args(Kind):
            raise CollectionError(f"kinds[{index}] is {kind!r}; choose {', '.join(map(repr, get_args(Kind)))}")
        text = storable(text)
        named = ids is not None
        document = check_id(row["ids"], f"ids[{index}]") if named else id_of_text(text)
        meta = check_metadata(row["metadata"], index) if metadata is not None else None
        yield Entry(document, head_of(document), text, digest(text, kind), kind, meta, named)


def check_metadata(metadata: object, index: int) -> dict[str, Any]:
    """The metadata as JSON gives it back: tuples are lists.

    Raises:
        TypeError: no dict, or it holds what JSON cannot.
        CollectionError: NaN, an infinite number, an integer beyond 64 bits, or text without a UTF-8 form.
    """
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata[{index}] must be a dict, got {type(metadata).__name__}: {metadata!r}")
    try:
        _check_json(metadata)
        kept: dict[str, Any] = json.loads(json.dumps(dict(metadata), allow_nan=False))
    except ValueError as error:
        raise CollectionError(f"metadata[{index}] cannot be stored ({error}): {str(metadata)[:200]!r}") from None
    except TypeError as error:
        raise TypeError(f"metadata[{index}] holds what JSON cannot ({error}): {str(metadata)[:200]!r}") from None
    return kept


def _check_json(value: object) -> None:
    """What json.dumps would change or let through."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key must be a str, got {key!r}")
            _check_json(key)
            _check_json(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(inner)
    elif isinstance(value, str):
        value.encode()  # refuses half a surrogate pair
    elif isinstance(value, int) and not -LARGEST_ID - 1 <= value <= LARGEST_ID:
        raise ValueError(f"{value} is no 64-bit integer")


def _counted(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sizes.items())
