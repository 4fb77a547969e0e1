"""Ways to make vectors of a document that may be longer than a context.

Enters: documents and a `Setting`. Leaves: rows, and the document that each belongs to. Knows nothing of queries. The
mean of 512-token chunks, and the best of them, are the honest rivals of one vector for 4,096 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crumb.evaluation.settings import Setting
from crumb.model import Batch, EncodeReport, Model
from crumb.text.inputs import windows
from crumb.text.truncate import fit
from crumb.vectors.normalize import Floats, normalize

# Tokens that the engine is given at a time: one document may be longer than any window of texts.
_MOST_TOKENS = 1 << 18

Owner = npt.NDArray[np.int64]


def read_documents(
    model: Model, documents: Sequence[str], setting: Setting, prompt: str
) -> tuple[Floats, Owner | None, EncodeReport]:
    """Rows float32 [rows, d] of unit length; the document of each row (None: row i is document i); what it took.

    Raises:
        ValueError: the setting's chunk is longer than the model's context, or has no room for text.
    """
    if setting.reading == "whole":
        rows, report = model.encode(
            documents, prompt=prompt, layers=setting.layers, truncation="end", return_report=True
        )
        return rows, None, report
    rows, owner, report = _read_chunks(model, documents, setting, prompt)
    if setting.reading == "chunk-best" or not len(rows):
        return rows, owner, report
    first = np.searchsorted(owner, np.arange(len(documents)))  # every document has a row at least
    return normalize(np.add.reduceat(rows, first, axis=0, dtype=np.float64).astype(np.float32)), None, report


def _read_chunks(
    model: Model, documents: Sequence[str], setting: Setting, prompt: str
) -> tuple[Floats, Owner, EncodeReport]:
    """A row for every chunk: the tokens of a document, all of them, cut every so many."""
    tokenizer = model.tokenizer
    lead = tuple(tokenizer.encode([prompt])[0]) if prompt else ()
    room = setting.chunk - tokenizer.n_special - len(lead)
    if setting.chunk > model.context:
        raise ValueError(
            f"chunk={setting.chunk} is longer than the context of {model.context} tokens: choose a smaller chunk, or a "
            "larger context"
        )
    if room < 1:
        raise ValueError(
            f"chunk={setting.chunk} leaves no room for text beside {tokenizer.n_special} special tokens and a prompt "
            f"of {len(lead)} tokens"
        )
    model.check_layers(setting.layers)
    parts = [np.empty((0, model.dimensions), dtype=np.float32)]
    owners = [np.empty(0, dtype=np.int64)]
    report = EncodeReport()
    for window in windows(documents, len):
        ids, offsets = tokenizer.ragged(window, threads=model.engine.threads)
        cuts, owner = _cut_every(offsets, room)
        owners.append(owner + report.texts)
        at_once = max(1, _MOST_TOKENS // setting.chunk)
        tokens = 0
        for i in range(0, len(owner), at_once):
            some = cuts[i : i + at_once + 1]
            batch = _wrapped(model, ids[some[0] : some[-1]], some - some[0], setting.chunk, lead)
            parts.append(normalize(model.pooled(batch, layers=setting.layers)))
            tokens += len(batch.ids)
        report += EncodeReport(len(window), tokens)
    return np.concatenate(parts), np.concatenate(owners), report


def _cut_every(offsets: npt.NDArray[np.int64], room: int) -> tuple[npt.NDArray[np.int64], Owner]:
    """Where chunks of at most `room` tokens begin and the last ends, and the text of each; an empty text has one."""
    lengths = np.diff(offsets)
    chunks = np.maximum(-(-lengths // room), 1)
    owner = np.repeat(np.arange(len(lengths)), chunks)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(chunks) - chunks, chunks)  # of each chunk in its text
    return np.append(offsets[owner] + place * room, offsets[-1]), owner


def _wrapped(
    model: Model, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], chunk: int, lead: tuple[int, ...]
) -> Batch:
    """Chunks as the model reads any text: special tokens and the prompt's around each, pooled by its contract."""
    before = model.tokenizer.prefix + lead
    whole = fit(ids, offsets, context=chunk, side="end", prefix=before, suffix=model.tokenizer.suffix)
    if model.contract.include_prompt or not lead:
        return Batch(*whole)
    first = np.minimum(len(before), np.diff(whole.offsets) - 1).astype(np.int32)
    return Batch(*whole, first)
