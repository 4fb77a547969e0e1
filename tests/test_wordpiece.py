"""The native tokenizer against the tokenizers library, of which it must be an exact copy."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import normalizers, pre_tokenizers

import crumb
from crumb._native import WordPiece
from crumb.text.tokenizer import Tokenizer

SPLIT = pre_tokenizers.BertPreTokenizer()
NORMALIZERS = {
    True: normalizers.BertNormalizer(True, True, strip_accents=True, lowercase=True),
    False: normalizers.BertNormalizer(True, True, strip_accents=False, lowercase=False),
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# what texts are made of, with weights: all planes, and where BERT's rules have corners
ALPHABETS: list[tuple[int, list[tuple[int, int]]]] = [
    (8, [(0x20, 0x7E)]),
    (3, [(0x41, 0x5A), (0x61, 0x7A), (0x20, 0x20)]),
    (2, [(0x00, 0x24F)]),
    (2, [(0x300, 0x36F), (0x61, 0x7A)]),
    (1, [(0x370, 0x52F), (0x1C80, 0x1CBF), (0x10A0, 0x10FF)]),
    (1, [(0x590, 0x8FF)]),
    (1, [(0x900, 0xDFF), (0x1B00, 0x1BFF)]),
    (2, [(0x1E00, 0x214F)]),
    (2, [(0x3000, 0x33FF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)]),
    (1, [(0x1100, 0x11FF), (0xAC00, 0xD7FF)]),
    (1, [(0xD800, 0xDFFF), (0xFDD0, 0xFFFF), (0x61, 0x7A)]),
    (1, [(0x10000, 0x1FFFF)]),
    (1, [(0x1D100, 0x1D24F), (0x61, 0x7A), (0x302A, 0x302F), (0x16FF0, 0x16FF1)]),
    (1, [(0x2F800, 0x2FA1F), (0x20000, 0x2CEAF)]),
    (1, [(0, 0x10FFFF)]),
]


def fuzz(count: int, seed: int) -> list[str]:
    """Strings of one alphabet or of several, with special tokens, long words and much white space among them."""
    dice = random.Random(seed)
    ranges = [ranges for weight, ranges in ALPHABETS for _ in range(weight)]

    def character() -> str:
        return chr(dice.randint(*dice.choice(dice.choice(chosen))))

    texts = []
    for _ in range(count):
        chosen = dice.choices(ranges, k=dice.choice((1, 1, 2, 3)))
        parts = [character() for _ in range(int(dice.expovariate(1 / 14)))]
        if dice.random() < 0.02:
            parts.insert(dice.randint(0, len(parts)), dice.choice([*SPECIAL, "[mask]", "[CLS", "##", "a" * 101]))
        if dice.random() < 0.02:
            parts.append(character() * dice.randint(95, 105))
        texts.append("".join(parts))
    return texts


def clean(text: str) -> str:
    """Lone surrogates, which the library cannot be given, as U+FFFD."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def library_words(text: str, uncased: bool) -> list[str]:
    return [word for word, _ in SPLIT.pre_tokenize_str(NORMALIZERS[uncased].normalize_str(clean(text)))]


def standard_file(uncased: bool, texts: list[str]) -> dict[str, Any]:
    """A tokenizer.json whose vocabulary has pieces of these texts' words, so that few words are unknown."""
    dice = random.Random(len(texts))
    words = sorted({word for text in texts for word in library_words(text, uncased)})
    pieces = dict.fromkeys(SPECIAL)
    for word in words:
        for c in word:
            if hash_of(c) % 50:  # some characters are unknown
                pieces[c] = pieces["##" + c] = None
        start = dice.randrange(len(word))
        pieces["##" * (start > 0) + word[start : start + dice.randint(1, 12)]] = None
    ids = list(range(len(pieces)))
    dice.shuffle(ids)  # ids need not follow the order of the file
    vocabulary = dict(zip(pieces, ids, strict=True))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(({"id": vocabulary[t], "content": t, **flags} for t in SPECIAL), key=lambda t: t["id"]),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": uncased,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocabulary["[SEP]"]],
            "cls": ["[CLS]", vocabulary["[CLS]"]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def hash_of(c: str) -> int:
    return ord(c) * 2654435761 >> 7


def opened(folder: Path, file: dict[str, Any]) -> tuple[Tokenizer, Library]:
    text = json.dumps(file)
    (folder / "tokenizer.json").write_text(text)
    return Tokenizer(folder), Library.from_str(text)


def library_ids(library: Library, texts: list[str]) -> list[list[int]]:
    return [e.ids for e in library.encode_batch_fast([clean(text) for text in texts], add_special_tokens=False)]


@pytest.mark.parametrize("uncased", [True, False])
def test_every_code_point(uncased: bool) -> None:
    """The compiled tables against the library, for all of Unicode (the twin of make_tables.py)."""
    native = WordPiece({"[UNK]": 0}, unknown=0, uncased=uncased, longest_word=100, added=[])
    left = 0
    for start in range(0, 0x110000, 256):
        codes = range(start, start + 256)
        known = [chr(c) for c in codes if native.words(f"a{chr(c)}b") is not None]
        left += 256 - len(known)
        text = " ".join(f"a{c}b" for c in known)
        assert native.words(text) == library_words(text, uncased), f"among U+{start:04X} and the next 255"
    assert 0 < left <= 100 if uncased else left == 0  # those that NFD may move are left to the library, no others


@pytest.mark.parametrize("uncased", [True, False])
def test_ids_of_fuzzed_texts(uncased: bool, tmp_path: Path) -> None:
    """100,000 strings in all, over vocabularies in which most words have a reading."""
    texts = fuzz(50_000, seed=20 + uncased)
    tokenizer, library = opened(tmp_path, standard_file(uncased, texts[::10]))
    assert tokenizer.native
    expected = library_ids(library, texts)
    found = tokenizer.encode(texts)
    wrong = [text for text, a, b in zip(texts, found, expected, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} texts, first {wrong[0]!r}"
    unknown = library.token_to_id("[UNK]")
    ids = [i for row in expected for i in row]
    assert 0.02 < ids.count(unknown) / len(ids) < 0.5


@given(text=st.text(st.sampled_from("aAbé#[]MASK \u0301\u3000\ufb01中Ǆ\u0345\u302f각ß.\x00\ud800")))
def test_ids_where_the_rules_have_corners(corners: tuple[Tokenizer, Library], text: str) -> None:
    tokenizer, library = corners
    assert tokenizer.encode([text]) == library_ids(library, [text])


@pytest.fixture(scope="module")
def corners(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Library]:
    texts = ["aab", "AbéA MASK", "ba", "ﬁ中Ǆ각ß", "#[]."]
    return opened(tmp_path_factory.mktemp("corners"), standard_file(True, texts))


def test_lengths_around_the_limits(model: crumb.Model, model_folder: Path) -> None:
    library = Library.from_file(str(model_folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    words = [c * n for c in ("a", "é", "e\u0301", "各", "ß", "\U00010400") for n in (1, 99, 100, 101, 102, 300)]
    texts = [*words, " ".join(words), "x" * 1_000_000, "a\x00b", "\x00" * 1000, "\u0301" * 1000, "", " \t\n"]
    assert model.tokenizer.encode(texts) == library_ids(library, texts)


def test_threads_and_texts_that_are_left(model: crumb.Model, texts: list[str]) -> None:
    """Many tasks, with texts for the library between the others: the same ids for any number of threads."""
    many = list(itertools.chain.from_iterable((text, "a [MASK] b", "", "a\u302e\u0301b") for text in texts))
    alone = [model.tokenizer.encode([text])[0] for text in many]
    assert model.tokenizer.encode(many) == alone
    one = model.tokenizer.ragged(many, threads=1)
    for threads in (2, 5):
        ids, offsets = model.tokenizer.ragged(many, threads=threads)
        assert ids.tobytes() == one[0].tobytes()
        assert offsets.tobytes() == one[1].tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert all(found == alone for found in pool.map(lambda _: model.tokenizer.encode(many), range(4)))


@pytest.mark.parametrize("enough", [1, 3, 20])
def test_enough_ids_are_the_first_of_all(model: crumb.Model, texts: list[str], enough: int) -> None:
    """What is left out lies behind: fuzzed texts, with those among them that the library tokenises whole."""
    many = [*texts, *fuzz(3000, seed=9), "a [MASK] b " * 9, "", "word " * 50 + "a\u302e\u0301b"]
    whole = model.tokenizer.encode(many)
    ids, offsets = model.tokenizer.ragged(many, threads=2, enough=enough)
    shorter = 0
    for i, expected in enumerate(whole):
        found = ids[offsets[i] : offsets[i + 1]].tolist()
        assert found == expected[: len(found)]
        assert len(found) >= min(enough, len(expected))
        shorter += len(found) < len(expected)
    assert shorter > len(texts) / 2


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(file: dict[str, Any]) -> None:
        for key in path[:-1]:
            file = file[key]
        file[path[-1]] = to

    return change


def _template(file: dict[str, Any]) -> None:
    ids = {name: {"id": name, "ids": ids, "tokens": ["[CLS]"] * len(ids)} for name, ids in (("X", [7, 9]), ("Y", [3]))}
    parts = [{"SpecialToken": {"id": "X", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    parts += [{"SpecialToken": {"id": "Y", "type_id": 0}}] * 2
    pair = [*parts, {"Sequence": {"id": "B", "type_id": 1}}]
    file["post_processor"] = {"type": "TemplateProcessing", "single": parts, "pair": pair, "special_tokens": ids}


@pytest.mark.parametrize(
    ("native", "change"),
    [
        (True, _set("version", to="1.0")),
        (True, _set("normalizer", "strip_accents", to=True)),
        (True, _set("post_processor", to=None)),
        (True, _template),
        (True, _set("model", "max_input_chars_per_word", to=3)),
        (False, _set("normalizer", "strip_accents", to=False)),
        (False, _set("normalizer", "handle_chinese_chars", to=False)),
        (False, _set("normalizer", "clean_text", to=False)),
        (False, _set("normalizer", to={"type": "Sequence", "normalizers": [{"type": "Lowercase"}]})),
        (False, _set("normalizer", to=None)),
        (False, _set("pre_tokenizer", to={"type": "Whitespace"})),
        (False, _set("model", "continuing_subword_prefix", to="@@")),
        (False, lambda file: file["added_tokens"][0].update(normalized=True)),
        (False, lambda file: file["model"]["vocab"].pop("[UNK]")),
        (False, _set("post_processor", to={"type": "Sequence", "processors": []})),
    ],
)
def test_forms_of_the_file(native: bool, change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    """What is BERT's standard form runs natively, what is not goes to the library: the ids are its own either way."""
    texts = [text for text in fuzz(300, seed=3) if text]
    file = standard_file(True, texts)
    change(file)
    tokenizer, library = opened(tmp_path, file)
    assert tokenizer.native == native
    if "[UNK]" in file["model"]["vocab"]:
        assert tokenizer.encode(texts) == library_ids(library, texts)
    whole = library.encode("a").ids
    assert [*tokenizer.prefix, *tokenizer.encode(["a"])[0], *tokenizer.suffix] == whole
    assert tokenizer.vocabulary == library.get_vocab_size(with_added_tokens=True)


def test_the_library_stays_away(crumb_env: dict[str, str]) -> None:
    code = "import sys, crumb; crumb.load().encode('Zoë sat.'); print('tokenizers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=crumb_env, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
