"""Teachers: models whose vectors others are trained or chosen by.

Enters: the name of a model that crumb or sentence-transformers loads, and prompts. Leaves: vectors of queries and of
passages. Knows nothing of rows or scores.

Which library loads a model is said, not found out: "st:PATH" is sentence-transformers', every other name crumb's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from crumb.errors import CheckpointError, MissingExtraError
from crumb.loading import load
from crumb.progress import bar
from crumb.training.batch import Floats
from crumb.training.data.files import DataError
from crumb.vectors.normalize import normalize

Kind = Literal["query", "passage"]
ST = "st:"
# what checkpoints call their prompts for the two kinds of text, the first that is there
NAMES: dict[Kind, tuple[str, ...]] = {"query": ("query",), "passage": ("passage", "document", "corpus")}
WINDOW = 1024  # texts between two moves of the bar


class Teacher(Protocol):
    """A model that makes vectors of queries and passages.

    Attributes:
        name: what it is called in scores and messages.
    """

    name: str

    def encode(self, texts: Sequence[str], kind: Kind, *, progress: bool | None = None) -> Floats:
        """Vectors of unit length, float32 [n, d]; a text beyond the model's context is cut there, and counted."""
        ...

    def settings(self) -> dict[str, Any]:
        """What decides its vectors, for the record."""
        ...

    @property
    def cut(self) -> int:
        """How many texts were longer than its context."""
        ...


def open_teacher(name: str, *, query_prompt: str | None = None, passage_prompt: str | None = None) -> Teacher:
    """Loads a teacher.

    Args:
        name: a name or folder that `crumb.load` takes, or "st:PATH" for a folder that sentence-transformers loads.
        query_prompt, passage_prompt: put before every text of the kind; None for the model's own, "" for none.

    Raises:
        ModelNotFoundError: crumb knows no such model.
        CheckpointError: crumb's engine does not do this kind of model (sentence-transformers may), or the folder cannot
            be loaded.
        MissingExtraError: "st:" without sentence-transformers.
    """
    if name.startswith(ST):
        return _SentenceTransformersTeacher(name, query_prompt, passage_prompt)
    return _CrumbTeacher(name, query_prompt, passage_prompt)


class _CrumbTeacher:
    def __init__(self, name: str, query_prompt: str | None, passage_prompt: str | None) -> None:
        try:
            self._model = load(name)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; if sentence-transformers loads it, call it {ST}{name}") from None
        self.name = self._model.name
        self._prompts = {"query": self._own("query"), "passage": self._own("passage")}
        for kind, prompt in (("query", query_prompt), ("passage", passage_prompt)):
            if prompt is not None:
                self._prompts[kind] = prompt
        self.cut = 0

    def _own(self, kind: Kind) -> str:
        there = self._model.contract.prompts
        name = next((name for name in NAMES[kind] if name in there), None)
        return self._model.resolve_prompt(None, name)

    def encode(self, texts: Sequence[str], kind: Kind, *, progress: bool | None = None) -> Floats:
        parts = [np.zeros((0, self._model.dimensions), dtype=np.float32)]
        with bar(len(texts), f"{self.name}: {kind}", "texts", progress) as shown:
            for start in range(0, len(texts), WINDOW):
                window = texts[start : start + WINDOW]
                vectors, report = self._model.encode(
                    window, prompt=self._prompts[kind], truncation="end", progress=False, return_report=True
                )
                parts.append(vectors)
                self.cut += report.truncated_texts
                shown.update(len(window))
        return np.concatenate(parts)

    def settings(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fingerprint": self._model.fingerprint,
            "precision": self._model.engine.precision,
            "prompts": self._prompts,
        }


class _SentenceTransformersTeacher:
    def __init__(self, name: str, query_prompt: str | None, passage_prompt: str | None) -> None:
        path = Path(name.removeprefix(ST))
        if not path.is_dir():
            raise CheckpointError(f"{name}: no such folder; {ST} takes the folder of a model that is on this machine")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(
                f"{name} needs sentence-transformers, which cannot be imported ({error}): "
                "pip install sentence-transformers"
            ) from None
        try:
            self._model = SentenceTransformer(str(path), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # whatever transformers meets in a folder
            raise CheckpointError(f"{name}: sentence-transformers cannot load it ({error})") from None
        self.name = name
        self._given = {"query": query_prompt, "passage": passage_prompt}
        self.cut = 0

    def encode(self, texts: Sequence[str], kind: Kind, *, progress: bool | None = None) -> Floats:
        # its own methods for the two kinds choose the checkpoint's prompts where none is given
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        parts = []
        with bar(len(texts), f"{self.name}: {kind}", "texts", progress) as shown:
            for start in range(0, len(texts), WINDOW):
                window = list(texts[start : start + WINDOW])
                parts.append(np.asarray(encode(window, prompt=self._given[kind], show_progress_bar=False)))
                self._count_cut(window, self._given[kind] or "")
                shown.update(len(window))
        if not parts:
            raise DataError(f"{self.name}: no texts to encode")
        return normalize(np.concatenate(parts))

    def _count_cut(self, texts: list[str], prompt: str) -> None:
        longest = self._model.max_seq_length
        if longest is None:
            return
        ids = self._model.tokenizer([prompt + text for text in texts], truncation=False, verbose=False)["input_ids"]
        self.cut += sum(len(row) > longest for row in ids)

    def settings(self) -> dict[str, Any]:
        given = {kind: prompt for kind, prompt in self._given.items() if prompt is not None}
        return {"name": self.name, "prompts": {**self._model.prompts, **given}}
