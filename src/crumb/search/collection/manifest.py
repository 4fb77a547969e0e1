"""What a collection is: the model that made its vectors, and how texts are cut and stored.

Enters: a model and settings. Leaves: plain JSON data that is kept with the collection, and errors that say what does
not fit. Knows nothing of where it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from crumb.loading import load
from crumb.model import Model
from crumb.search.collection.errors import CollectionError
from crumb.search.collection.words import AVERAGE_WORDS, LANGUAGE
from crumb.search.passages import PassageReader
from crumb.store import resolve
from crumb.text.chunk import CHUNKING_VERSION

SCHEMA = 1

Encoding = Literal["float32", "float16", "int8", "binary"]
Strategy = Literal["chunks", "one-vector"]


@dataclass(frozen=True)
class Manifest:
    """The settings of a collection; see `crumb.search.collection.Collection` for what they mean.

    Attributes:
        model: what `crumb.load` finds it by: a name, or a folder.
        fingerprint: the model's; equal ones mean equal vectors.
        prompts: before a passage, and before a question.
        budget, overlap: tokens of a passage (0 with "one-vector").
        language, average_words: how BM25 finds stems, and which length of a passage it takes for usual.
    """

    model: str
    fingerprint: str
    precision: str
    context: int
    positions: str
    dimensions: int
    prompts: dict[str, str]
    encoding: str
    strategy: str
    budget: int
    overlap: int
    language: str = LANGUAGE
    average_words: float = AVERAGE_WORDS
    chunking: int = CHUNKING_VERSION
    schema: int = SCHEMA

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        dimensions: int | None,
        encoding: str | None,
        strategy: str | None,
        chunk_tokens: int | None,
        overlap: int | None,
    ) -> Manifest:
        """The manifest of a new collection.

        Raises:
            CollectionError: an unknown encoding or strategy, or chunk settings without chunks.
            ValueError: a number is out of range.
        """
        encoding, strategy = encoding or "float32", strategy or "chunks"
        _check("encoding", encoding, get_args(Encoding))
        _check("strategy", strategy, get_args(Strategy))
        if dimensions is not None and (isinstance(dimensions, bool) or not 1 <= dimensions <= model.dimensions):
            raise ValueError(f"dimensions must be a whole number from 1 to {model.dimensions}, got {dimensions!r}")
        chunks = strategy == "chunks"
        if not chunks and (chunk_tokens is not None or overlap is not None):
            raise CollectionError('chunk_tokens and overlap need strategy="chunks"; with "one-vector" nothing is cut')
        reader = PassageReader(model, budget=chunk_tokens, overlap=overlap or 0)
        if chunks:
            reader.passages("", "text")  # refuses what cannot be, now and not with the first document
        contract = model.contract
        try:
            by_name = resolve(contract.name, fetch=False).resolve() == contract.folder.resolve()
        except LookupError:
            by_name = False
        return cls(
            model=contract.name if by_name else str(contract.folder.resolve()),
            fingerprint=model.fingerprint,
            precision=model.engine.precision,
            context=model.context,
            positions=contract.positions,
            dimensions=model.dimensions if dimensions is None else dimensions,
            prompts={"query": reader.query_prompt, "passage": reader.prompt},
            encoding=encoding,
            strategy=strategy,
            budget=reader.budget if chunks else 0,
            overlap=reader.overlap if chunks else 0,
        )

    @classmethod
    def read(cls, data: object, where: str) -> Manifest:
        """The manifest that was kept.

        Raises:
            CollectionError: it is damaged, or of another version.
        """
        names = {f.name for f in fields(cls)}
        if isinstance(data, Mapping) and data.get("schema", SCHEMA) != SCHEMA:
            raise CollectionError(
                f"{where} is written in version {data['schema']!r} of the format, this crumb reads version {SCHEMA}; "
                "use the crumb that made it, or embed the texts into a new collection"
            )
        if not isinstance(data, Mapping) or not names <= set(data):
            raise CollectionError(f"{where} is no collection of crumb's, or its description is damaged")
        return cls(**{name: data[name] for name in names})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    def load(self) -> Model:
        """The model that made the vectors.

        Raises:
            ModelNotFoundError: it is not on this machine.
            CollectionError: what is there under its name is another one by now.
        """
        positions: Any = None if self.positions == "checkpoint" else self.positions
        precision: Any = self.precision
        model = load(self.model, context=self.context, positions=positions, precision=precision)
        self.check_model(model, "the collection")
        return model

    def check_model(self, model: Model, where: str) -> None:
        """Refuses a model that does not make these vectors.

        Raises:
            CollectionError: naming both.
        """
        mine = (self.fingerprint, self.precision)
        theirs = (model.fingerprint, model.engine.precision)
        if mine != theirs:
            raise CollectionError(
                f"{where} was made with {self.model} ({self.precision}, fingerprint {self.fingerprint[:12]}…), not "
                f"with {model.name} ({model.engine.precision}, fingerprint {model.fingerprint[:12]}…): their vectors "
                "do not compare. Open it with the model that made it (model=None loads that), or embed the texts into "
                "a new collection"
            )

    def check_settings(self, asked: Mapping[str, object], where: str) -> None:
        """Refuses settings that differ from the collection's; None is no wish.

        Raises:
            CollectionError: naming both values.
        """
        for name, wish in asked.items():
            kept = getattr(self, "budget" if name == "chunk_tokens" else name)
            if wish is not None and wish != kept:
                raise CollectionError(
                    f"{where} was made with {name}={kept!r}, not {wish!r}. Open it without {name} to use it as it is, "
                    "or embed the texts into a new collection"
                )


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CollectionError(f"unknown {name} {value!r}; choose {', '.join(map(repr, choices))}")
