"""Token ids against transformers' own tokenizer, and the cut against a brute-force one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import crumb
from crumb.errors import CheckpointError
from crumb.text.tokenizer import Tokenizer
from crumb.text.truncate import fit


@pytest.fixture(scope="module")
def twin(model_folder: Path) -> object:
    return AutoTokenizer.from_pretrained(model_folder)


def test_ids_of_real_texts(model: crumb.Model, texts: list[str], twin: object) -> None:
    tokenizer = model.tokenizer
    ids = [[*tokenizer.prefix, *found, *tokenizer.suffix] for found in tokenizer.encode(texts)]
    assert ids == twin(texts, truncation=False, verbose=False)["input_ids"]
    assert tokenizer.prefix == (101,)
    assert tokenizer.suffix == (102,)
    assert tokenizer.count(texts) == [len(row) - 2 for row in ids]


@given(text=st.text())
def test_ids_of_any_text(model: crumb.Model, twin: object, text: str) -> None:
    ids = [*model.tokenizer.prefix, *model.tokenizer.encode([text])[0], *model.tokenizer.suffix]
    assert ids == twin(text)["input_ids"]
    assert all(0 <= a <= b <= len(text) for a, b in model.tokenizer.offsets(text))


def test_truncation_in_the_file_is_switched_off(model_folder: Path, model: crumb.Model) -> None:
    """This very checkpoint's tokenizer.json carries a truncation to 128 tokens and padding."""
    assert json.loads((model_folder / "tokenizer.json").read_text(encoding="utf-8"))["truncation"]["max_length"] == 128
    assert model.tokenizer.count(["word " * 1000, ""]) == [1000, 0]


def test_vocabulary_file_alone(model_folder: Path, tmp_path: Path, texts: list[str], model: crumb.Model) -> None:
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(model_folder / name, tmp_path / name)
    old_form = Tokenizer(tmp_path)
    assert old_form.encode(texts) == model.tokenizer.encode(texts)
    assert (old_form.prefix, old_form.suffix) == ((101,), (102,))


def test_folders_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no tokenizer.json, and vocab.txt cannot be used"):
        Tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer.json cannot be read as a tokenizer"):
        Tokenizer(tmp_path)


@given(
    texts=st.lists(st.lists(st.integers(1000, 2000), max_size=30), max_size=5),
    context=st.integers(6, 20),
    side=st.sampled_from(["start", "end"]),
    keep=st.integers(0, 30),
)
def test_the_cut(texts: list[list[int]], context: int, side: str, keep: int) -> None:
    ids = np.fromiter((i for ids in texts for i in ids), dtype=np.int32)
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    batch = fit(ids, offsets, context=context, side=side, prefix=(1,), suffix=(2,), keep=keep)
    for i, ids in enumerate(texts):
        over = max(0, len(ids) + 2 - context)
        kept = list(ids)
        for _ in range(over):
            kept.pop(-1 if side == "end" else min(keep, context - 2))
        assert batch.ids[batch.offsets[i] : batch.offsets[i + 1]].tolist() == [1, *kept, 2]
        assert batch.cut[i] == over
