"""Text to token ids, whole: nothing is cut or padded here.

Enters: Python strings, whatever is in them. Leaves: ids without special tokens, and which special tokens go around
them.
Knows nothing of contexts or models. The tokenizers library does the work; the truncation and padding that a
tokenizer.json may carry are switched off, because they would be silent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding
from tokenizers import Tokenizer as HuggingFaceTokenizer

from crumb.errors import CheckpointError


class Tokenizer:
    """The tokenizer of a model folder.

    Args:
        folder: holds tokenizer.json, or vocab.txt with tokenizer_config.json (BERT's older form).
        lowercase: lower-case texts first (sentence_bert_config.json's do_lower_case).

    Attributes:
        prefix, suffix: ids of the special tokens before and behind every text ([CLS] and [SEP] for BERT).

    Raises:
        CheckpointError: the files are missing or cannot be read.
    """

    def __init__(self, folder: Path, *, lowercase: bool = False) -> None:
        self._lowercase = lowercase
        self._backend = _open(folder)
        self._backend.no_truncation()
        self._backend.no_padding()
        self.prefix, self.suffix = self._specials()

    @property
    def n_special(self) -> int:
        """Special tokens that are added to every text."""
        return len(self.prefix) + len(self.suffix)

    @property
    def vocabulary(self) -> int:
        """Size of the vocabulary, added tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in full and without special tokens."""
        return [encoding.ids for encoding in self._batch(texts)]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return [len(encoding) for encoding in self._batch(texts)]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` lies in it, as (first character, one past the last)."""
        return self._backend.encode(self._clean(text), add_special_tokens=False).offsets

    def _batch(self, texts: Sequence[str]) -> list[Encoding]:
        return self._backend.encode_batch_fast([self._clean(text) for text in texts], add_special_tokens=False)

    def _clean(self, text: str) -> str:
        # A str may hold lone surrogates (broken JSON, odd file names), which have no UTF-8 form. U+FFFD stands for
        # them, one for one, so that offsets stay true.
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        return text.lower() if self._lowercase else text

    def _specials(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        # The post-processor has no accessor: see what it puts around a text.
        bare = self._backend.encode("a", add_special_tokens=False).ids
        full = self._backend.encode("a", add_special_tokens=True).ids
        for start in range(len(full) - len(bare) + 1):
            if bare and full[start : start + len(bare)] == bare:
                return tuple(full[:start]), tuple(full[start + len(bare) :])
        raise CheckpointError("the tokenizer gives no tokens for 'a', so its special tokens cannot be told")


def _open(folder: Path) -> HuggingFaceTokenizer:
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return HuggingFaceTokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from None
    return _from_vocabulary(folder)


def _from_vocabulary(folder: Path) -> HuggingFaceTokenizer:
    """BERT's WordPiece from vocab.txt and the settings of tokenizer_config.json."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

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
    tokenizer = HuggingFaceTokenizer(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
    tokenizer.add_special_tokens([token for token in (unknown, first, last, "[PAD]", "[MASK]") if token in ids])
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
        strip_accents=settings.get("strip_accents"),
        lowercase=bool(settings.get("do_lower_case", True)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, ids[first]), (last, ids[last])]
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
