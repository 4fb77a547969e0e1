"""A BERT of two layers and 32 dimensions with random weights, and sets to train it on: for tests of training."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_model(folder: Path, texts: Sequence[str], *, seed: int = 0, words: int = 400, **config: Any) -> Path:
    """A model folder as sentence-transformers writes it; its words are the commonest of `texts`."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in re.findall(r"[a-z]{2,}", text.lower()):
            counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=lambda word: (-counts[word], word))[:words]
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz"))
    pieces = [*SPECIALS, *dict.fromkeys([*letters, *(f"##{letter}" for letter in letters), *common])]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(vocab_size=len(pieces), **{"max_position_embeddings": 64, **shape, **config}),
        add_pooling_layer=False,
    )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name[1:-1].lower()}_token": name for name in SPECIALS},
    ).save_pretrained(folder)
    write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
    )
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    return folder


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def write_pairs(path: Path, texts: Sequence[str]) -> str:
    """Pairs of a text's beginning and its middle; gives the file's SHA-256."""
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        for text in texts:
            words = text.split()
            if len(words) < 24:
                continue
            row = {"query": " ".join(words[:8]), "positive": " ".join(words[8:24])}
            file.write((json.dumps(row) + "\n").encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_retrieval_set(folder: Path, texts: Sequence[str]) -> Path:
    """A set in BEIR's layout: the last words of a text ask for its middle."""
    folder.mkdir()
    long = [text.split() for text in texts if len(text.split()) >= 32]
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus:
        corpus.writelines(
            json.dumps({"_id": f"d{i}", "title": "", "text": " ".join(words[8:24])}) + "\n"
            for i, words in enumerate(long)
        )
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as queries:
        queries.writelines(
            json.dumps({"_id": f"q{i}", "text": " ".join(words[4:12])}) + "\n" for i, words in enumerate(long)
        )
    rows = ["query-id\tcorpus-id\tscore", *(f"q{i}\td{i}\t1" for i in range(len(long)))]
    (folder / "qrels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
