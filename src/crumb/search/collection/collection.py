"""A collection: documents go in, and are found again.

Enters: texts with ids and metadata; questions. Leaves: hits and items. The same code serves a folder on this machine
and a collection on a Qdrant server. Knows the order of things (read arguments, cut, embed, write; ask, group, fuse) and
does none of them itself.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from crumb.errors import TruncationWarning
from crumb.model import Model
from crumb.progress import bar
from crumb.search.collection.backend import Backend, Found
from crumb.search.collection.entries import entries, windows
from crumb.search.collection.errors import CollectionError, DiskFullError, already_there
from crumb.search.collection.filters import METADATA, AnyOf, Filter, both, parse
from crumb.search.collection.ids import Id, check_id, head_of, points_of
from crumb.search.collection.items import AddReport, Hit, Item
from crumb.search.collection.manifest import Encoding, Strategy
from crumb.search.collection.opening import open_backend
from crumb.search.collection.pushing import push
from crumb.search.collection.searching import Finder, away
from crumb.search.collection.words import Words
from crumb.search.collection.writing import WHOLE, Writer
from crumb.search.passages import PassageReader
from crumb.text.structure import Kind
from crumb.vectors.normalize import Floats, normalize

Mode = Literal["dense", "bm25", "hybrid"]

_PAGE = 1_000  # documents that are looked at or removed at a time
_INDEX_FROM = 2_000  # points from which a filter's field gets an index when it is first used

# Candidates for each hit wanted that an approximate scan hands on to be compared again with the original vectors
_OVERSAMPLE = {"int8": 1.5, "binary": 4.0}


class Collection:
    """Documents in a folder or on a Qdrant server. Close it, or use it in a `with`. Safe under several threads.

    Args:
        place: a name (a folder of CRUMB_HOME/collections), a path (a Path, or a str with a separator), or
            "http://HOST:6333/COLLECTION" for a server.
        model: what embeds; None for the one that made the collection, loaded when it is first needed, or the default
            model for a new one.
        encoding: what the search goes over: "float32"; "float16", half the room; "int8" or "binary", a quarter or a
            thirty-second of the memory, the best candidates compared again with the original vectors. None for the
            collection's own; float32 for a new one. Takes effect with the graph (see `optimize`).
        dimensions: keep the first so many of a vector (Matryoshka); None for all.
        strategy: "chunks" cuts a text that is longer than `chunk_tokens` along its structure into passages, one vector
            each; "one-vector" makes one vector of a whole text, of as much as the model's context holds. None for the
            collection's own; "chunks" for a new one.
        chunk_tokens: most tokens of a passage; None for 256 with prompt and special tokens.
        overlap: tokens that a passage repeats of the one before; None for 0.
        create: make the collection if it is not there.
        api_key: for a server.
        client: a qdrant_client.QdrantClient to use; `place` is then the collection's name there.

    Raises:
        CollectionError: it is not there and `create` is False; or it was made with another model or settings.
        CollectionInUseError: another process has the folder open.
        MissingExtraError: the extra [search] is not installed.
    """

    def __init__(
        self,
        place: str | Path,
        model: Model | None = None,
        *,
        encoding: Encoding | None = None,
        dimensions: int | None = None,
        strategy: Strategy | None = None,
        chunk_tokens: int | None = None,
        overlap: int | None = None,
        create: bool = True,
        api_key: str | None = None,
        client: Any = None,
    ) -> None:
        wishes: dict[str, Any] = {
            "encoding": encoding,
            "dimensions": dimensions,
            "strategy": strategy,
            "chunk_tokens": chunk_tokens,
            "overlap": overlap,
        }
        opened = open_backend(place, model, wishes, create=create, api_key=api_key, client=client)
        self.manifest = opened.manifest
        self._where = opened.where
        self._backend: Backend = opened.backend
        self._release = opened.release
        self._given = opened.model
        self._writing = threading.RLock()
        self._words = Words(opened.manifest.language, opened.manifest.average_words)
        self._chunks = self.manifest.strategy == "chunks"
        self._heads = AnyOf("chunk", (0,)) if self._chunks else None
        self._fields = self._backend.indexed_fields()
        self._closed = False

    def __repr__(self) -> str:
        return f"<crumb.Collection {self._where}: {self.manifest.model}, {self.manifest.encoding}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Puts everything on the disk and lets go of the place. A second time does nothing."""
        with self._writing:
            if not self._closed:
                self._closed = True
                try:
                    self._backend.close()
                finally:
                    self._release()

    @cached_property
    def model(self) -> Model:
        """The model that made the vectors."""
        if self._given is not None:
            return self._given
        model = self.manifest.load()
        self.manifest.check_model(model, self._where)
        return model

    @cached_property
    def _reader(self) -> PassageReader:
        m = self.manifest
        return PassageReader(
            self.model, budget=m.budget if self._chunks else None, overlap=m.overlap, dimensions=m.dimensions
        )

    # Writing

    def add(
        self,
        texts: Iterable[str],
        *,
        ids: Iterable[Id] | None = None,
        metadata: Iterable[Mapping[str, Any]] | None = None,
        kinds: Iterable[Kind] | None = None,
        progress: bool | None = None,
    ) -> AddReport:
        """Adds documents. When this returns they survive whatever happens to the process, and to the machine.

        Args:
            texts: an ordered iterable; a generator is read a window at a time, and what was written stays if it
                fails later on.
            ids: for each text a str or a whole number that is not there yet; None for ids made of the texts, so that
                the same text is one document however often it is added.
            metadata: for each text a dict of JSON values; None for none (a text that is there keeps its own).
            kinds: for each text how it is structured: "text" (as for None), "markdown", "html", "python", "code".
            progress: a bar on stderr; None for one on long work at a terminal.

        Raises:
            DuplicateIdError: an id that is there already, or given twice; where texts and ids are lists, before
                anything is written.
            TypeError, CollectionError: an argument that is wrong, by its index; where all are lists, before any work.
            DiskFullError: too little room; nothing that was written before is lost.
        """
        return self._write(texts, ids, metadata, kinds, progress, replace=False)

    def upsert(
        self,
        texts: Iterable[str],
        *,
        ids: Iterable[Id] | None = None,
        metadata: Iterable[Mapping[str, Any]] | None = None,
        kinds: Iterable[Kind] | None = None,
        progress: bool | None = None,
    ) -> AddReport:
        """Adds documents, and replaces those whose ids are there: text and passages all at once, never half of them.

        A text that has not changed is not embedded again. Arguments and errors as in `add`; with `metadata` None a
        document that is there keeps its own.
        """
        return self._write(texts, ids, metadata, kinds, progress, replace=True)

    def _write(
        self,
        texts: Iterable[str],
        ids: Iterable[Id] | None,
        metadata: Iterable[Mapping[str, Any]] | None,
        kinds: Iterable[Kind] | None,
        progress: bool | None,
        *,
        replace: bool,
    ) -> AddReport:
        stream = entries(texts, ids, metadata, kinds)
        report = AddReport()
        total = len(texts) if isinstance(texts, list | tuple) else None
        with self._writing, bar(total, "adding", "texts", progress) as shown:
            self._check_open()
            if not replace and isinstance(ids, list | tuple):
                self._refuse_known(ids)
            writer = Writer(self._backend, self._reader, self._words, chunks=self._chunks)
            try:
                for window in windows(stream):
                    report += writer.write(window, replace=replace)
                    shown.update(len(window))
            finally:
                self._backend.flush()
            self._tidy_up()
        if report.truncated_texts:
            warnings.warn(
                f"{report.truncated_texts} texts were longer than the context of {self.model.context} tokens and lost "
                f'{report.tokens_cut} tokens at their end; use strategy="chunks", or a model with a larger context',
                TruncationWarning,
                stacklevel=3,
            )
        return report

    def delete(self, ids: Iterable[Id] | None = None, *, filter: Filter | None = None) -> int:
        """Removes documents: those of `ids` (one that is not there is passed over), or those that meet a filter.

        Returns:
            How many were there.

        Raises:
            CollectionError: neither is given, or both.
            FilterError: see `search`.
        """
        if (ids is None) == (filter is None):
            raise CollectionError("delete needs ids or a filter, and not both; a filter of {} means every document")
        with self._writing:
            self._check_open()
            if ids is not None:
                heads = list(dict.fromkeys(head_of(check_id(document)) for document in _several(ids)))
                found = [f for page in _pages(heads) for f in self._backend.retrieve(page, ["chunks"]).values()]
            else:
                found = list(self._scroll(filter, ["chunks"]))
            for i in range(0, len(found), _PAGE):
                page = found[i : i + _PAGE]
                self._backend.delete([p for f in page for p in points_of(f.id, f.payload["chunks"])])
            self._backend.flush()
            self._tidy_up()
        return len(found)

    def optimize(self) -> bool:
        """Builds the graph that makes searching quick, and clears what was deleted. Calls that write do this by
        themselves when 20,000 passages and a quarter of all are without it; on a server it is the server's business.

        Returns:
            Whether there was anything to do.

        Raises:
            DiskFullError: the graph is built beside what is there, and there is no room for that.
        """
        with self._writing:
            self._check_open()
            return self._backend.optimize()

    def push(self, url: str, *, api_key: str | None = None, client: Any = None, progress: bool | None = None) -> int:
        """Brings all documents to a Qdrant server, vectors included: nothing is embedded again.

        A push that was interrupted goes on where it stopped when it is called again, and one that is repeated sends
        what has changed. At the end the two are compared.

        Args:
            url: "http://HOST:6333/COLLECTION"; the collection is made, or is one that an earlier push has made.
            api_key: for the server.
            client: a qdrant_client.QdrantClient to use; `url` is then the collection's name there.
            progress: a bar on stderr; None for one on long work at a terminal.

        Returns:
            Documents on the server.

        Raises:
            CollectionError: the collection there has other settings or holds other documents as well; or the server
                did not do what was asked.
        """
        with self._writing:
            self._check_open()
            return push(self._backend, self.manifest, url, api_key, client, progress)

    # Reading

    def search(
        self,
        query: str | npt.ArrayLike,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        mode: Mode = "dense",
        oversample: float | None = None,
        per: Literal["document", "chunk"] = "document",
        exact: bool = False,
    ) -> list[Hit]:
        """What answers a question best.

        Args:
            query: a question, or a vector [dimensions] for mode "dense".
            top_k: hits wanted.
            filter: a dict that metadata must meet, as in {"lang": "en", "year": {">=": 2020}}; see
                `crumb.search.collection.filters`.
            mode: "dense" compares vectors; "bm25" counts the question's words; "hybrid" ranks by both (reciprocal rank
                fusion, k = 60, over the best max(100, 4 top_k) of each).
            oversample: with encoding "int8" or "binary" candidates for each hit wanted that are compared again with
                the original vectors; None for 1.5 and 4.
            per: "document" gives each document once, with its best passage; "chunk" gives passages.
            exact: compare with every vector, not along the graph.

        Returns:
            Hits, best first.

        Raises:
            FilterError: the filter means nothing; the message names the part that is wrong.
            CollectionError: another argument is wrong.
        """
        _check_top_k(top_k)
        if mode not in ("dense", "bm25", "hybrid"):
            raise CollectionError(f"unknown mode {mode!r}; choose 'dense', 'bm25', 'hybrid'")
        if per not in ("document", "chunk"):
            raise CollectionError(f"unknown per {per!r}; choose 'document', 'chunk'")
        if oversample is not None and not oversample >= 1:
            raise CollectionError(f"oversample must be at least 1, got {oversample!r}")
        if mode != "dense" and not isinstance(query, str):
            raise CollectionError(f"mode {mode!r} needs a question of words, got {type(query).__name__}")
        vector = self._vector(query) if mode != "bm25" else None
        words = self._words.of_query(str(query)) if mode != "dense" else None
        finder = self._finder(filter, exact=exact, oversample=oversample, per_document=per == "document")
        return finder.find(vector, words, top_k)

    def recommend(
        self,
        like: Iterable[Id],
        unlike: Iterable[Id] = (),
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Documents near these examples and far from those; the examples themselves are not among them.

        What is searched for is twice the mean of the examples to be near, less the mean of those to be far from
        (Rocchio 1971, with the weights of Qdrant's "average_vector"). A document of several passages counts with the
        mean of their vectors. `score` is the cosine with that.

        Args:
            like, unlike: ids of documents, or texts. A str that is the id of a document here is that document; any
                other str is a text, and is embedded.

        Raises:
            CollectionError: nothing to be near to, or a number that is no id here.
        """
        _check_top_k(top_k)
        examples = [list(dict.fromkeys(_several(group))) for group in (like, unlike)]
        if not examples[0]:
            raise CollectionError("recommend needs something to be near to: like=[ids or texts]")
        finder = self._finder(filter, exact=exact, oversample=None, per_document=True)
        means, points = finder.means([example for group in examples for example in group])
        near, far = (
            [means[one] if one in means else self._reader.query_vector(str(one))[0] for one in group]
            for group in examples
        )
        return finder.without(points).find(away(near, far), None, top_k)

    def get(self, ids: Iterable[Id]) -> list[Item]:
        """The documents with these ids, in their order; those that are not there are passed over."""
        self._check_open()
        heads = list(dict.fromkeys(head_of(check_id(document)) for document in _several(ids)))
        found = {head: f for page in _pages(heads) for head, f in self._backend.retrieve(page).items()}
        return [_item(found[head]) for head in heads if head in found]

    def count(self, filter: Filter | None = None) -> int:
        """How many documents there are, or meet a filter."""
        return self._backend.count(both(self._heads, self._condition(filter)))

    def ids(self) -> Iterator[Id]:
        """The ids of all documents, in no order that means anything."""
        return (found.payload["id"] for found in self._scroll(None, ["id"]))

    def metadata(self, filter: Filter | None = None) -> Iterator[tuple[Id, dict[str, Any]]]:
        """The ids and metadata of all documents, or of those that meet a filter, without their texts."""
        return ((found.payload["id"], found.payload[METADATA]) for found in self._scroll(filter, ["id", METADATA]))

    def __iter__(self) -> Iterator[Item]:
        return map(_item, self._scroll(None, None))

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, document: object) -> bool:
        self._check_open()
        head = head_of(check_id(document))
        return head in self._backend.retrieve([head], ["id"])

    # Inside

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionError(f"{self._where} was closed; open it again")

    def _tidy_up(self) -> None:
        """Builds the graph if it is time. What was asked for is done by now, so want of room only makes it slower."""
        if self._backend.needs_optimizing():
            try:
                self._backend.optimize()
            except DiskFullError as error:
                warnings.warn(f"everything was written, but searching stays slow: {error}", stacklevel=4)

    def _refuse_known(self, ids: Sequence[Id]) -> None:
        for page in _pages([head_of(check_id(document)) for document in ids]):
            for found in self._backend.retrieve(page, ["id"]).values():
                raise already_there(found.payload["id"])

    def _condition(self, where: Filter | None) -> Any:
        """The filter's condition; a field that is used for the first time gets an index if there are many points."""
        self._check_open()
        parsed = parse(where)
        # the engines give the keys of their indexes back without the quotes that ours have
        missing = {key: kind for key, kind in parsed.indexes.items() if key.replace('"', "") not in self._fields}
        if missing and self._backend.count(None) >= _INDEX_FROM:
            with self._writing:
                for key, kind in missing.items():
                    with suppress(DiskFullError):  # the search is right without, and slower
                        self._backend.index_field(key, kind)
                        self._fields[key.replace('"', "")] = kind
        return parsed.condition

    def _finder(self, where: Filter | None, *, exact: bool, oversample: float | None, per_document: bool) -> Finder:
        if oversample is None:
            oversample = _OVERSAMPLE.get(self.manifest.encoding)
        return Finder(
            self._backend,
            self._condition(where),
            per_document=per_document and self._chunks,
            exact=exact,
            oversample=oversample,
        )

    def _scroll(self, where: Filter | None, keys: Sequence[str] | None) -> Iterator[Found]:
        condition = both(self._heads, self._condition(where))
        after: str | None = None
        while True:
            found, after = self._backend.scroll(condition, _PAGE, after, keys)
            yield from found
            if after is None:
                return

    def _vector(self, query: str | npt.ArrayLike) -> Floats:
        if isinstance(query, str):
            return self._reader.query_vector(query, "warn")[0]
        vector = np.asarray(query, dtype=np.float32)
        if vector.shape != (self.manifest.dimensions,) or not np.isfinite(vector).all():
            raise CollectionError(
                f"a query vector must be {self.manifest.dimensions} finite numbers, got shape {list(vector.shape)}"
            )
        return normalize(vector)


def _item(found: Found) -> Item:
    payload = found.payload
    text = payload[WHOLE] if WHOLE in payload else payload["text"]
    return Item(payload["id"], text, payload[METADATA], payload["chunks"])


def _several(values: Any) -> Iterable[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"expected a list, got {type(values).__name__}: {str(values)[:60]!r}")
    return values


def _pages(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[i : i + _PAGE] for i in range(0, len(values), _PAGE))


def _check_top_k(top_k: int) -> None:
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise CollectionError(f"top_k must be a whole number of at least 1, got {top_k!r}")
