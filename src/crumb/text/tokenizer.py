"""Text to token ids, whole: nothing is cut or padded here.

Enters: Python strings, whatever is in them. Leaves: ids without special tokens, and which special tokens go around
them.
Knows nothing of contexts or models. BERT's standard tokenizers run natively (crumb.text.wordpiece); the tokenizers
library does every other, and the few texts that the native one leaves to it, with the same ids. It is loaded when it is
needed. The truncation and padding that a tokenizer.json may carry are switched off, because they would be silent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crumb.errors import CheckpointError
from crumb.text.wordpiece import standard

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


class Tokenizer:
    """The tokenizer of a model folder. Safe to use from many threads at once.

    Args:
        folder: holds tokenizer.json, or vocab.txt with tokenizer_config.json (BERT's older form).
        lowercase: lower-case texts first (sentence_bert_config.json's do_lower_case).

    Attributes:
        prefix, suffix: ids of the special tokens before and behind every text ([CLS] and [SEP] for BERT).
        vocabulary: size of the vocabulary, added tokens included.
        native: whether texts are tokenised natively.

    Raises:
        CheckpointError: the files are missing or cannot be read.
    """

    def __init__(self, folder: Path, *, lowercase: bool = False) -> None:
        self._lowercase = lowercase
        self._where = folder / "tokenizer.json"
        if self._where.is_file():
            self._file = self._where.read_bytes()
        else:
            self._file = json.dumps(_from_vocabulary(folder)).encode()
        found = standard(_parsed(self._file))
        self._native = found.native if found else None
        self.native = found is not None
        if found:
            self.prefix, self.suffix, self.vocabulary = found.prefix, found.suffix, found.vocabulary
        else:
            self.prefix, self.suffix = _specials(self._library)
            self.vocabulary = self._library.get_vocab_size(with_added_tokens=True)

    @property
    def n_special(self) -> int:
        """Special tokens that are added to every text."""
        return len(self.prefix) + len(self.suffix)

    def ragged(self, texts: Sequence[str], *, threads: int = 1, enough: int | None = None) -> tuple[Ids, Offsets]:
        """Token ids of all texts one behind the other, in full and without special tokens.

        `enough` is for a caller who will use no more than so many ids of a text and does not ask how many there are:
        a text's ids may then end there or anywhere behind.

        Returns:
            ids int32 [tokens] and offsets int64 [texts + 1].
        """
        if self._lowercase:
            texts = [text.lower() for text in texts]
        if self._native is None:
            return _joined([np.asarray(ids, dtype=np.int32) for ids in self._library_ids(texts)])
        ids, offsets, left = self._native.encode(list(texts), threads, enough)
        if not left:
            return ids, offsets
        parts = np.split(ids, offsets[1:-1])
        for i, found in zip(left, self._library_ids([texts[i] for i in left]), strict=True):
            parts[i] = np.asarray(found, dtype=np.int32)
        return _joined(parts)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in full and without special tokens."""
        ids, offsets = self.ragged(texts)
        return [part.tolist() for part in np.split(ids, offsets[1:-1])] if texts else []

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        counts: list[int] = np.diff(self.ragged(texts)[1]).tolist()
        return counts

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` lies in it, as (first character, one past the last)."""
        text = _no_surrogates(text.lower() if self._lowercase else text)
        # a batch of one: unlike `encode`, it lets other threads of Python go on (seconds, with a long text)
        return self._library.encode_batch([text], add_special_tokens=False)[0].offsets

    def _library_ids(self, texts: Sequence[str]) -> list[list[int]]:
        clean = [_no_surrogates(text) for text in texts]
        return [encoding.ids for encoding in self._library.encode_batch_fast(clean, add_special_tokens=False)]

    @cached_property
    def _library(self) -> Library:
        # from the bytes that the native tokenizer was made of, whatever has become of the file since
        from tokenizers import Tokenizer as Library

        try:
            library = Library.from_buffer(self._file)
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{self._where} cannot be read as a tokenizer: {error}") from None
        library.no_truncation()
        library.no_padding()
        return library


def _joined(parts: list[Ids]) -> tuple[Ids, Offsets]:
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32), offsets


def _no_surrogates(text: str) -> str:
    # A str may hold lone surrogates (broken JSON, odd file names), which have no UTF-8 form. U+FFFD stands for them,
    # one for one, so that offsets stay true.
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def _specials(library: Library) -> tuple[tuple[int, ...], tuple[int, ...]]:
    # The post-processor has no accessor: see what it puts around a text.
    bare = library.encode("a", add_special_tokens=False).ids
    full = library.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(bare) + 1):
        if bare and full[start : start + len(bare)] == bare:
            return tuple(full[:start]), tuple(full[start + len(bare) :])
    raise CheckpointError("the tokenizer gives no tokens for 'a', so its special tokens cannot be told")


def _parsed(file: bytes) -> Any:
    try:
        return json.loads(file)
    except ValueError:
        return None  # the library will say what is wrong with it


def _from_vocabulary(folder: Path) -> dict[str, Any]:
    """The tokenizer.json that vocab.txt and the settings of tokenizer_config.json stand for: BERT's WordPiece."""
    vocabulary = folder / "vocab.txt"
    settings_path = folder / "tokenizer_config.json"
    try:
        words = vocabulary.read_text(encoding="utf-8").splitlines()
        settings = json.loads(settings_path.read_bytes()) if settings_path.is_file() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no tokenizer.json, and vocab.txt cannot be used: {error}") from None
    ids = {word: i for i, word in enumerate(words)}
    unknown, first, last = (
        settings.get(f"{k}_token", d) for k, d in (("unk", "[UNK]"), ("cls", "[CLS]"), ("sep", "[SEP]"))
    )
    for token in (unknown, first, last):
        if token not in ids:
            raise CheckpointError(f"{vocabulary} has no {token!r}")
    special = dict.fromkeys(token for token in (unknown, first, last, "[PAD]", "[MASK]") if token in ids)
    no = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[token], "content": token, **no, "special": True} for token in special],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": bool(settings.get("tokenize_chinese_chars", True)),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": bool(settings.get("do_lower_case", True)),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [last, ids[last]], "cls": [first, ids[first]]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }
