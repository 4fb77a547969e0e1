"""Ways to make vectors of a document that may be longer than a context.

Enters: documents and a `Setting`. Leaves: rows, and the document that each belongs to. Knows nothing of queries. The
mean of 512-token chunks, and the best of them, are the honest rivals of one vector for 4,096 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crumb.evaluation.settings import Setting
from crumb.model import EncodeReport, Model
from crumb.vectors.normalize import Floats, normalize


def read_documents(
    model: Model, documents: Sequence[str], setting: Setting, prompt: str
) -> tuple[Floats, npt.NDArray[np.int64] | None, EncodeReport]:
    """Rows float32 [rows, d] of unit length; the document of each row (None: row i is document i); what it took."""
    if setting.reading == "whole":
        rows, report = model.encode(
            documents, prompt=prompt, layers=setting.layers, truncation="end", return_report=True
        )
        return rows, None, report
    chunks, owner = _chunks(model, documents, setting, prompt)
    rows, report = model.encode(chunks, prompt=prompt, layers=setting.layers, truncation="end", return_report=True)
    if setting.reading == "chunk-best":
        return rows, owner, report
    sums = np.zeros((len(documents), rows.shape[1]), dtype=np.float64)
    np.add.at(sums, owner, rows)
    return normalize(sums.astype(np.float32)), None, report


def _chunks(
    model: Model, documents: Sequence[str], setting: Setting, prompt: str
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Texts of at most `setting.chunk` tokens each that make up the documents, and the document of each."""
    raise NotImplementedError
