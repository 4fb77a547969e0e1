"""A set's texts as vectors.

Enters: a model, queries, documents and a `Setting`. Leaves: `Embedded`, which any number of forms (dimensions, codes)
can be ranked with, and what encoding took. Knows nothing of metrics or files.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace

import numpy as np
import numpy.typing as npt

from crumb.evaluation.readings import read_documents
from crumb.evaluation.settings import Setting
from crumb.model import EncodeReport, Model
from crumb.vectors.normalize import Floats

# what checkpoints call the prompt of a passage, in the order of sentence-transformers' encode_document
_PASSAGE_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class Cost:
    """What encoding took: `texts` and `tokens` read, `truncated_texts` and `tokens_cut` lost, `seconds`."""

    texts: int
    tokens: int
    truncated_texts: int
    tokens_cut: int
    seconds: float

    @classmethod
    def of(cls, report: EncodeReport, seconds: float) -> Cost:
        """The cost of one call."""
        return cls(**asdict(report), seconds=seconds)

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, eq=False)
class Embedded:
    """Vectors of full size, of unit length.

    Attributes:
        queries: float32 [q, d].
        documents: float32 [rows, d]; one row a document, or several (its chunks).
        owner: int64 [rows], the document of each row, rising; None where row i is document i.
        query_cost, document_cost: what encoding took.
    """

    queries: Floats
    documents: Floats
    owner: npt.NDArray[np.int64] | None
    query_cost: Cost
    document_cost: Cost


def embed(model: Model, queries: Sequence[str], documents: Sequence[str], setting: Setting) -> Embedded:
    """Encodes both sides; what is cut is counted, not warned of. `model` must have the setting's context and precision.

    Raises:
        ValueError: the model has fewer layers, or the setting's chunk is longer than its context.
    """
    query_prompt, passage_prompt = prompts(model, setting)
    started = time.perf_counter()
    asked, report = model.encode(
        queries, prompt=query_prompt, layers=setting.layers, truncation="end", return_report=True
    )
    query_cost = Cost.of(report, time.perf_counter() - started)
    started = time.perf_counter()
    rows, owner, report = read_documents(model, documents, setting, passage_prompt)
    return Embedded(asked, rows, owner, query_cost, Cost.of(report, time.perf_counter() - started))


def embed_layers(
    model: Model, queries: Sequence[str], documents: Sequence[str], setting: Setting, layers: Sequence[int]
) -> list[Embedded]:
    """`embed` after each of several numbers of layers, rising; of whole documents from one pass.

    The costs of each are those of the pass, which runs the most layers.

    Raises:
        ValueError: as `embed`; or layers that do not rise.
    """
    if setting.reading != "whole":
        return [embed(model, queries, documents, replace(setting, layers=depth)) for depth in layers]
    sides = []
    for texts, prompt in zip((queries, documents), prompts(model, setting), strict=True):
        started = time.perf_counter()
        rows, report = model.encode_layers(texts, layers, prompt=prompt, truncation="end")
        sides.append((rows, Cost.of(report, time.perf_counter() - started)))
    (asked, query_cost), (found, document_cost) = sides
    return [Embedded(q, d, None, query_cost, document_cost) for q, d in zip(asked, found, strict=True)]


def prompts(model: Model, setting: Setting) -> tuple[str, str]:
    """What is put before queries and before passages: the setting's, or else what the model's contract names.

    A contract's own default prompt stands in where it names none for that side, as sentence-transformers does.
    """
    known = model.contract.prompts
    default = model.resolve_prompt(None, None)
    query = known.get("query", default) if setting.query_prompt is None else setting.query_prompt
    passage = setting.passage_prompt
    if passage is None:
        passage = next((known[name] for name in _PASSAGE_PROMPTS if name in known), default)
    return query, passage
