"""A tokenizer.json of BERT's standard form, run by the native WordPiece.

Enters: the parsed file. Leaves: the native tokenizer and its special tokens, or None where the file asks for anything
else. Knows nothing of folders or of the tokenizers library, whose ids these are for every text that is not left to it:
tests/test_wordpiece.py holds the two side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from crumb._native import WordPiece

_INSIDE = "##"
_LONGEST_WORD = 1 << 16
_MOST_IDS = 1 << 31
# (clean_text, handle_chinese_chars, lowercase, strip_accents) to uncased; other combinations have no tables
_NORMALIZERS = {
    (True, True, True, None): True,
    (True, True, True, True): True,
    (True, True, False, None): False,
    (True, True, False, False): False,
}


class Standard(NamedTuple):
    """`native` gives ids; `prefix` and `suffix` go around every text; `vocabulary` tokens, added ones included."""

    native: WordPiece
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    vocabulary: int


def standard(file: Any) -> Standard | None:
    """What runs a parsed tokenizer.json natively; None for all but BERT's normaliser, WordPiece, [CLS] and [SEP]."""
    try:
        normalizer, model = file["normalizer"], file["model"]
        flags = tuple(normalizer[k] for k in ("clean_text", "handle_chinese_chars", "lowercase", "strip_accents"))
        longest = model["max_input_chars_per_word"]
        if (
            normalizer["type"] != "BertNormalizer"
            or flags not in _NORMALIZERS
            or file["pre_tokenizer"] != {"type": "BertPreTokenizer"}
            or model["type"] != "WordPiece"
            or model["continuing_subword_prefix"] != _INSIDE
            or not 0 < longest <= _LONGEST_WORD
            or any(token["normalized"] or not token["content"] for token in file["added_tokens"])
        ):
            return None
        prefix, suffix = _specials(file["post_processor"])
        if not all(type(i) is int and 0 <= i < _MOST_IDS for i in prefix + suffix):
            return None
        added = [token["content"] for token in file["added_tokens"]]
        pieces: dict[str, int] = model["vocab"]
        native = WordPiece(
            pieces,
            unknown=pieces[model["unk_token"]],
            uncased=_NORMALIZERS[flags],
            longest_word=longest,
            added=added,
        )
    except (LookupError, TypeError, ValueError, OverflowError):  # not of this form, or of none: the library says which
        return None
    return Standard(native, prefix, suffix, len(pieces) + sum(token not in pieces for token in set(added)))


def _specials(processor: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids before and behind a text; an exception of `standard` for any other post-processor."""
    if processor is None:
        return (), ()
    if processor["type"] == "BertProcessing":
        return (processor["cls"][1],), (processor["sep"][1],)
    if processor["type"] != "TemplateProcessing":
        raise ValueError(processor["type"])
    sequence = ["Sequence" in part for part in processor["single"]].index(True)

    def ids(parts: list[Any]) -> tuple[int, ...]:
        names = [part["SpecialToken"]["id"] for part in parts]
        return tuple(i for name in names for i in processor["special_tokens"][name]["ids"])

    return ids(processor["single"][:sequence]), ids(processor["single"][sequence + 1 :])
