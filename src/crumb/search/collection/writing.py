"""From entries to points: what is new is cut, embedded and written, what is known is left alone.

Enters: entries, a window at a time. Leaves: points in the engine, and an account. A document's points go in with one
update, so that they are all there or none is. Knows nothing of arguments, searches or engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crumb.model import EncodeReport
from crumb.search.collection.backend import Backend, Point, Replacement
from crumb.search.collection.entries import Entry, refuse_twice
from crumb.search.collection.errors import already_there
from crumb.search.collection.filters import METADATA, flags
from crumb.search.collection.ids import points_of
from crumb.search.collection.items import AddReport
from crumb.search.collection.words import Words
from crumb.search.passages import PassageReader
from crumb.text.chunk import Passage

WHOLE = "whole"  # the payload's key of a document's full text, in its first point, where a passage does not hold it
_KNOWN = ["hash", "chunks", METADATA]
_POINTS_A_WRITE = 1_000


@dataclass(frozen=True, slots=True)
class _Work:
    """An entry whose text has to be embedded; `before` counts the points it has now."""

    entry: Entry
    metadata: dict[str, Any]
    before: int


class Writer:
    """Writes windows of entries. `replace` says what to do with an id that is there: replace it, or refuse."""

    def __init__(self, backend: Backend, reader: PassageReader, words: Words, *, chunks: bool) -> None:
        self._backend = backend
        self._reader = reader
        self._words = words
        self._chunks = chunks

    def write(self, window: Sequence[Entry], *, replace: bool) -> AddReport:
        """What one window comes to.

        Raises:
            DuplicateIdError: an id that is there already (without `replace`), or twice.
            DiskFullError: no room; what earlier windows wrote stays.
        """
        refuse_twice(window)
        last = {entry.head: entry for entry in window}  # the same text twice is one document; its last metadata counts
        known = self._backend.retrieve(list(last), _KNOWN)
        work: list[_Work] = []
        updated, unchanged = 0, len(window) - len(last)
        for head, entry in last.items():
            found = known.get(head)
            if found is None:
                work.append(_Work(entry, entry.metadata or {}, 0))
                continue
            if entry.named and not replace:
                raise already_there(entry.id)
            old = found.payload
            metadata = old[METADATA] if entry.metadata is None else entry.metadata
            if old["hash"] != entry.digest:
                work.append(_Work(entry, metadata, old["chunks"]))
            elif _differ(old[METADATA], metadata):
                self._backend.set_metadata(points_of(head, old["chunks"]), metadata)
                updated += 1
            else:
                unchanged += 1
        replaced = sum(item.before > 0 for item in work)
        report = AddReport(added=len(work) - replaced, updated=updated + replaced, unchanged=unchanged)
        return report + self._embed(work)

    def _embed(self, work: Sequence[_Work]) -> AddReport:
        passages = [self._passages(item.entry) for item in work]
        texts = [passage.embedding_text for document in passages for passage in document]
        if not texts:
            return AddReport()
        vectors, encoded = self._reader.vectors(texts, "error" if self._chunks else "end")
        points: list[Point] = []
        replacements: list[Replacement] = []
        row = 0
        for item, document in zip(work, passages, strict=True):
            names = points_of(item.entry.head, max(len(document), item.before))
            for number, passage in enumerate(document):
                points.append(
                    Point(
                        names[number],
                        vectors[row].tolist(),
                        self._words.of_passage(passage.embedding_text),
                        _payload(item, passage, number, len(document)),
                    )
                )
                row += 1
            if len(document) < item.before:
                replacements.append(Replacement(item.entry.head, item.entry.digest, names[len(document) :]))
            if len(points) >= _POINTS_A_WRITE:
                self._backend.upsert(points, replacements)
                points, replacements = [], []
        if points:
            self._backend.upsert(points, replacements)
        return _account(encoded)

    def _passages(self, entry: Entry) -> list[Passage]:
        passages = self._reader.passages(entry.text, entry.kind) if self._chunks else []
        # a blank text has no passage, but it is a document all the same
        return passages or [Passage(entry.text, 1, 1 + entry.text.count("\n"), "")]


def _payload(item: _Work, passage: Passage, number: int, count: int) -> dict[str, Any]:
    entry = item.entry
    payload = {
        "id": entry.id,
        "text": passage.text,
        METADATA: item.metadata,
        **flags(item.metadata),
        "hash": entry.digest,
        "chunk": number,
        "chunks": count,
        "start": passage.start_line,
        "end": passage.end_line,
        "heading": passage.heading,
    }
    if number == 0 and passage.text != entry.text:
        payload[WHOLE] = entry.text
    return payload


def _account(encoded: EncodeReport) -> AddReport:
    return AddReport(
        chunks=encoded.texts,
        tokens=encoded.tokens,
        truncated_texts=encoded.truncated_texts,
        tokens_cut=encoded.tokens_cut,
    )


def _differ(one: Any, other: Any) -> bool:
    """Whether two JSON values differ; unlike ==, True is not 1 and 1 not 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(_differ(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(map(_differ, one, other))
    return type(one) is not type(other) or one != other
