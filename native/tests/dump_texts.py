"""The default model, a few texts and their vectors as one file for real_texts.cpp: `python dump_texts.py FILE`.

Enters: the pulled model and tests/data. Leaves: int32 and float32 as the machine has them: seven sizes, offsets
and ids of the texts, tables and layers, and the vectors that the float32 kernels make of the texts. Only words that
occur are in the table, so that the file is small enough for an emulated machine.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np

import crumb
from crumb.checkpoint.weights import read_weights

TEXTS = Path(__file__).parents[2] / "tests" / "data" / "texts.jsonl.gz"
TOKENS = 250  # of all texts together: an emulator may take a second for each


def main() -> None:
    model = crumb.load(precision="float32")
    weights = read_weights(model.contract)
    with gzip.open(TEXTS, "rt", encoding="utf-8") as lines:
        every = model.tokenizer.encode([json.loads(line)["text"] for line in lines])
    texts: list[list[int]] = []
    for ids in every[::7]:
        ids = [*model.tokenizer.prefix, *ids, *model.tokenizer.suffix]
        if len(ids) <= len(weights.position) and len(ids) + sum(map(len, texts)) <= TOKENS:
            texts.append(ids)
    words, ids = np.unique(np.concatenate(texts), return_inverse=True)
    offsets = np.cumsum([0, *map(len, texts)])
    rows = model.engine.encode(words[ids].astype(np.int32), offsets)
    first = weights.layers[0]
    hidden = weights.word.shape[1]
    head = [len(words), len(weights.position), hidden, weights.heads, len(weights.layers), len(first.up), len(texts)]
    integers = [np.array(head), offsets, ids]
    floats = [weights.word[words], weights.position, weights.token_type[0]]
    floats += [weights.embedding_norm, weights.embedding_norm_bias]
    floats += [array for layer in weights.layers for array in layer.arrays()]
    with Path(sys.argv[1]).open("wb") as file:
        for array in integers:
            file.write(array.astype(np.int32).tobytes())
        for array in [*floats, rows]:
            file.write(array.astype(np.float32).tobytes())
    print(f"{len(texts)} texts of {len(ids)} tokens")


if __name__ == "__main__":
    main()
