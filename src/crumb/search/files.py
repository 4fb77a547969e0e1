"""A question to the passages of real files that answer it best.

Enters: a model, a question, paths. Leaves: ranked hits and an account of the work. Knows the order of things (walk,
chunk, embed, compare) and does none of them itself. Files go through in windows, so that memory does not grow with
their number, and what an interrupted search has embedded stays in the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crumb.model import Model
from crumb.progress import bar
from crumb.search.cache import Cache
from crumb.search.contents import Content, extract, read
from crumb.search.exact import semantic_search
from crumb.search.passages import PassageReader
from crumb.search.walk import WalkReport, walk
from crumb.text.chunk import CHUNKING_VERSION, Passage
from crumb.vectors.normalize import Floats

# A window is what is looked up, chunked and compared at a time; a batch, what is embedded before it is kept. They are
# small enough that a bar moves and that stopping loses little, large enough for the engine and the database.
_WINDOW_FILES = 64
_WINDOW_BYTES = 250_000
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. `score` is its cosine with the question; lines count from 1, both included (of a PDF
    they are pages, of a DOCX paragraphs).
    """

    score: float
    path: Path
    start_line: int
    end_line: int
    heading: str
    text: str


@dataclass
class SearchReport:
    """What a search did: `passages` = `embedded` now + `cached` (the vector was there, or another passage has the same
    text); `query_tokens_cut` tokens of the question did not fit the context.
    """

    walk: WalkReport = field(default_factory=WalkReport)
    passages: int = 0
    embedded: int = 0
    cached: int = 0
    query_tokens_cut: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "files": self.walk.files,
            "passages": self.passages,
            "embedded": self.embedded,
            "cached": self.cached,
            "query_tokens_cut": self.query_tokens_cut,
            "encodings": dict(self.walk.encodings),
            "skipped": dict(self.walk.skipped),
            "unreadable": self.walk.unreadable,
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`hits` best first, equal scores in order of the files; `report` of the work."""

    hits: list[Hit]
    report: SearchReport


def search_files(
    model: Model,
    query: str,
    paths: Sequence[Path],
    *,
    top_k: int = 5,
    budget: int | None = None,
    cache: Cache | None = None,
    ignore: bool = True,
    globs: Sequence[str] = (),
    max_file_size: int | None = None,
    progress: bool | None = None,
) -> SearchResult:
    """The passages of files that are closest to a question.

    Args:
        model: what embeds.
        query: the question; its end is cut if it is longer than the context, and the report says so.
        paths: files and folders.
        top_k: hits wanted.
        budget: most tokens of a passage, without prompt and special tokens; None for what fits MOST_PASSAGE_TOKENS, or
            the context if that is less.
        cache: where passages and vectors are kept; None to keep nothing.
        ignore, globs, max_file_size: see `crumb.search.walk.walk`.
        progress: a bar over the files on stderr; None for one on long work at a terminal.

    Raises:
        ValueError: the question is blank, or a number is out of range.
        PathError: a path is no file or folder.
        CacheError: the cache cannot be used.
    """
    if not query.strip():
        raise ValueError("the question is empty; expected some words to search for")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    report = SearchReport()
    searcher = _Searcher(model, budget, cache, report)
    vector, encoded = searcher.reader.query_vector(query)
    report.query_tokens_cut = encoded.tokens_cut
    files = walk(paths, report.walk, ignore=ignore, globs=globs, max_file_size=max_file_size)
    best: list[Hit] = []
    with bar(len(files), "searching", "files", progress) as shown:
        for window, passed in _windows(files, report.walk):
            passages = searcher.passages(window)
            if passages:
                vectors = searcher.vectors([passage.embedding_text for _, passage in passages])
                best += [
                    _hit(hit["score"], *passages[hit["corpus_id"]])
                    for hit in semantic_search(vector, vectors, top_k=top_k)[0]
                ]
                # earlier windows come first, and sorting is stable: equal scores stay in order
                best = sorted(best, key=lambda hit: -hit.score)[:top_k]
            shown.update(passed)
    return SearchResult(best, report)


def _hit(score: float, path: Path, passage: Passage) -> Hit:
    return Hit(score, path, passage.start_line, passage.end_line, passage.heading, passage.text)


def _windows(files: Sequence[Path], report: WalkReport) -> Iterator[tuple[list[tuple[Path, Content]], int]]:
    """Files with their content, a window at a time, and how many files it took to fill that."""
    window: list[tuple[Path, Content]] = []
    size = passed = 0
    for path in files:
        content = read(path, report)
        passed += 1
        if content is not None:
            window.append((path, content))
            size += len(content.data)
        if passed == _WINDOW_FILES or size >= _WINDOW_BYTES:
            yield window, passed
            window, size, passed = [], 0, 0
    yield window, passed


class _Searcher:
    """Passages of files and vectors of passages, from the cache or made now."""

    def __init__(self, model: Model, budget: int | None, cache: Cache | None, report: SearchReport) -> None:
        self._model = model
        self._cache = cache
        self._report = report
        self.reader = PassageReader(model, budget=budget)

    def passages(self, window: Sequence[tuple[Path, Content]]) -> list[tuple[Path, Passage]]:
        keys = [self._document_key(content) for _, content in window]
        known = self._cache.documents(keys) if self._cache else {}
        new: dict[bytes, list[Passage]] = {}
        incomplete = set()
        for key, (path, content) in zip(keys, window, strict=True):
            if key in known or key in new:
                if content.text is None:
                    self._report.walk.take(content.kind)
                continue
            extracted = extract(path, content, self._report.walk)
            if extracted is None:
                continue
            if extracted.problems:  # are not kept, and so not named again, by the cache
                incomplete.add(key)
            new[key] = self.reader.passages(extracted.text, content.kind)
        if new and self._cache:
            self._cache.add_documents({key: passages for key, passages in new.items() if key not in incomplete})
        known |= new
        return [(path, passage) for key, (path, _) in zip(keys, window, strict=True) for passage in known.get(key, ())]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """float32 [len(texts), dimensions]."""
        keys = [self._vector_key(text) for text in texts]
        known = self._cache.vectors(keys, self._model.dimensions) if self._cache else {}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        for batch in _batches(list(new.items())):
            made, _ = self.reader.vectors([text for _, text in batch])
            fresh = {key: row for (key, _), row in zip(batch, made, strict=True)}
            if self._cache:
                self._cache.add_vectors(fresh)
            known |= fresh
        self._report.passages += len(texts)
        self._report.embedded += len(new)
        self._report.cached += len(texts) - len(new)
        return np.stack([known[key] for key in keys])

    def _document_key(self, content: Content) -> bytes:
        digest = hashlib.sha256(content.data).hexdigest()
        return _key(
            "document",
            digest,
            content.kind,
            CHUNKING_VERSION,
            self.reader.budget,
            self.reader.prompt,
            self._model.fingerprint,
        )

    def _vector_key(self, text: str) -> bytes:
        model = self._model
        return _key("vector", model.fingerprint, model.engine.precision, model.dimensions, self.reader.prompt, text)


def _batches(items: list[tuple[bytes, str]]) -> Iterator[list[tuple[bytes, str]]]:
    return (items[i : i + _BATCH] for i in range(0, len(items), _BATCH))


def _key(*parts: str | int) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()
