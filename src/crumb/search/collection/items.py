"""What a collection gives back: items, hits, reports. Plain data, and nothing of how they come about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crumb.search.collection.ids import Id


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it was put in. `chunks` counts its passages."""

    id: Id
    text: str
    metadata: dict[str, Any]
    chunks: int = 1


@dataclass(frozen=True, slots=True)
class Hit:
    """What a search found: a document's passage.

    Attributes:
        id: the document's.
        score: cosine ("dense", `recommend`), BM25, or the sum of reciprocal ranks ("hybrid"); more is better.
        text: of the passage; of the whole document with strategy "one-vector".
        metadata: the document's.
        chunk: the passage's number in the document, from 0.
        start_line, end_line: the passage's lines, from 1, both included.
        heading: what stands above the passage, outermost first, as "A > B"; "" for nothing.
    """

    id: Id
    score: float
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    chunk: int = 0
    start_line: int = 1
    end_line: int = 1
    heading: str = ""


@dataclass(frozen=True)
class AddReport:
    """What a call did, counted in documents: `added`, `updated` (text or metadata changed) and `unchanged`.

    Attributes:
        chunks: passages that were embedded.
        tokens: of these passages, special tokens included.
        truncated_texts, tokens_cut: what the context took away; 0 with strategy "chunks".
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    chunks: int = 0
    tokens: int = 0
    truncated_texts: int = 0
    tokens_cut: int = 0

    def __add__(self, other: AddReport) -> AddReport:
        return AddReport(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.chunks + other.chunks,
            self.tokens + other.tokens,
            self.truncated_texts + other.truncated_texts,
            self.tokens_cut + other.tokens_cut,
        )
