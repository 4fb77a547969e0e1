"""Model.encode as a user meets it: what goes in, what comes out, what is cut and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crumb
from crumb.errors import ModelNotFoundError, TruncationError, TruncationWarning

LONG = "many words in a row " * 100  # 500 tokens


def test_as_sentence_transformers(model: crumb.Model, reference: Any, texts: list[str]) -> None:
    """The whole way, text to vector, at the checkpoint's own 256 tokens."""
    vectors, report = model.encode(texts, truncation="end", return_report=True)
    assert vectors.shape == (200, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, reference.encode(texts), atol=2e-5)
    whole = [len(ids) for ids in reference.tokenizer(texts, truncation=False)["input_ids"]]
    assert report == crumb.EncodeReport(
        texts=200,
        tokens=sum(min(n, 256) for n in whole),
        truncated_texts=sum(n > 256 for n in whole),
        tokens_cut=sum(max(n - 256, 0) for n in whole),
    )


def test_str_list_tuple_generator_array(model: crumb.Model) -> None:
    some = ["one", "two", "three"]
    expected = model.encode(some)
    assert model.encode("two").shape == (384,)
    assert model.encode("two").tobytes() == expected[1].tobytes()
    for same in (tuple(some), (text for text in some), np.array(some), dict.fromkeys(some).keys().__iter__()):
        assert model.encode(same).tobytes() == expected.tobytes()
    assert model.encode([]).shape == (0, 384)
    assert model.encode([], dimensions=64).shape == (0, 64)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-6)


def test_windows_do_not_show(model: crumb.Model) -> None:
    """More texts than one window: a generator gives what a list gives, and what each text gives alone."""
    many = [f"text {i}" for i in range(2100)]
    vectors = model.encode(iter(many))
    assert vectors.tobytes() == model.encode(many).tobytes()
    for i in (0, 1023, 1024, 2099):
        assert vectors[i].tobytes() == model.encode(many[i]).tobytes()


def test_a_generator_is_read_as_it_is_needed(model: crumb.Model) -> None:
    read = 0

    def texts() -> Iterator[Any]:
        nonlocal read
        for i in range(5000):
            read += 1
            yield f"text {i}" if i < 1500 else None

    with pytest.raises(TypeError, match=r"texts\[1500\] must be a str, got NoneType"):
        model.encode(texts())
    assert read == 1501


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", None], r"texts\[1\] must be a str, got NoneType"),
        (["a", "b", 3], r"texts\[2\] must be a str, got int: '3'"),
        ([["a", "b"]], r"texts\[0\] must be a str, got list"),
        (["a", b"b"], r"texts\[1\] must be a str, got bytes"),
        ([float("nan")], r"texts\[0\] must be a str, got float"),
        (None, "texts must be a str or an ordered iterable of str, got NoneType"),
        (5, "got int"),
        (b"bytes", "got bytes"),
        ({"a": 1}, "got dict"),
        ({"a", "b"}, "got set"),
    ],
)
def test_what_is_no_text(model: crumb.Model, texts: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        model.encode(texts)


def test_unknown_arguments_are_errors(model: crumb.Model) -> None:
    with pytest.raises(TypeError, match="batch_size"):
        model.encode(["a"], batch_size=3)


ODD = [
    "\ud800 lone high surrogate",
    "lone low \udfff surrogate",
    "\ud83d\ude00 a pair that is two code points",
    "nul \x00 inside",
    "\x00",
    "x" * 1_000_000,
    "e\u0301" * 1000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202eright to left\u202c",
    "",
    " \t\r\n\u00a0\u3000\u2028 ",
    "\ufeff\ufffe\uffff\U0010ffff",
    "\u4e2d" * 3000,
]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_give_finite_vectors(model: crumb.Model, text: str) -> None:
    vector = model.encode(text, truncation="end")
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.characters(), max_size=80), min_size=1, max_size=6))
def test_any_unicode(model: crumb.Model, texts: list[str]) -> None:
    vectors = model.encode(texts)
    assert np.isfinite(vectors).all()
    assert vectors[-1].tobytes() == model.encode(texts[-1]).tobytes()


def test_dimensions_and_layers(model: crumb.Model, reference: Any) -> None:
    some = ["a sentence about cats", "another about embeddings"]
    full = model.encode(some).astype(np.float64)
    for d in (1, 64, 383):
        expected = full[:, :d] / np.linalg.norm(full[:, :d], axis=1, keepdims=True)
        np.testing.assert_allclose(model.encode(some, dimensions=d), expected, atol=1e-6)
    raw = model.encode(some, normalized=False)
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), full, atol=1e-6)
    assert (model.encode(some, normalized=False, dimensions=7) == raw[:, :7]).all()

    transformer = reference[0].auto_model
    features = {
        key: value
        for key, value in reference.tokenizer(some, padding=True, return_tensors="pt").items()
        if key in ("input_ids", "attention_mask")
    }
    states = transformer(**features, output_hidden_states=True).hidden_states
    mask = features["attention_mask"][:, :, None]
    for layers in range(1, 7):
        pooled = ((states[layers] * mask).sum(1) / mask.sum(1)).detach().numpy()
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        np.testing.assert_allclose(model.encode(some, layers=layers), pooled, atol=2e-6)
        np.testing.assert_allclose(model.encode_layers(some)[0][layers - 1], pooled, atol=2e-6)


def test_layers_of_one_pass(model: crumb.Model) -> None:
    many = [f"text {i} " * (1 + i % 7) for i in range(1100)]  # more than one window
    found, report = model.encode_layers(iter(many), [2, 3, 6], dimensions=100)
    assert found.shape == (3, 1100, 100)
    assert report == model.encode(many, return_report=True)[1]
    for vectors, layers in zip(found, (2, 3, 6), strict=True):
        assert vectors.tobytes() == model.encode(many, layers=layers, dimensions=100).tobytes()
    alone, _ = model.encode_layers(many[3], normalized=False)
    assert (
        alone.tobytes() == np.stack([model.encode(many[3], layers=i, normalized=False) for i in range(1, 7)]).tobytes()
    )
    assert model.encode_layers([], [1, 2])[0].shape == (2, 0, 384)
    with pytest.warns(TruncationWarning) as warned:
        model.encode_layers("a " * 600, [1])
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one of 1 to 6, got none"),
        ([1, 7], "from 1 to 6, got 7"),
        ([3, 2], r"layers must rise, got \[3, 2\]"),
        ([2, 2], "layers must rise"),
    ],
)
def test_layers_of_one_pass_are_checked(model: crumb.Model, layers: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.encode_layers(["a"], layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimensions": 0}, "dimensions must be a whole number from 1 to 384, got 0"),
        ({"dimensions": 385}, "from 1 to 384, got 385"),
        ({"layers": 0}, "layers must be a whole number from 1 to 6, got 0"),
        ({"layers": 7}, "from 1 to 6, got 7"),
        ({"truncation": "none"}, "unknown truncation 'none'; choose 'warn', 'error', 'start', 'end'"),
        ({"prompt_name": "query"}, "all-MiniLM-L6-v2 has no prompt 'query'; it has none"),
        ({"prompt": "a", "prompt_name": "b"}, "give prompt or prompt_name, not both"),
        ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
    ],
)
def test_arguments_out_of_range(model: crumb.Model, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.encode(["a"], **arguments)


def test_prompt_goes_before_the_text(model: crumb.Model) -> None:
    assert model.encode(["cats"], prompt="query: ").tobytes() == model.encode(["query: cats"]).tobytes()
    assert model.encode("cats", prompt="").tobytes() == model.encode("cats").tobytes()


def test_truncation_is_reported(model: crumb.Model) -> None:
    some = [LONG, "short", LONG + "and more"]
    with pytest.warns(TruncationWarning) as caught:
        warned, report = model.encode(some, return_report=True)
    assert len(caught) == 1
    assert "2 of 3 texts were longer than the context of 256 tokens and lost 494 tokens" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert report == crumb.EncodeReport(texts=3, tokens=256 + 3 + 256, truncated_texts=2, tokens_cut=246 + 248)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        end, again = model.encode(some, truncation="end", return_report=True)
        start = model.encode(some, truncation="start")
        model.encode(["short"])
    assert again == report
    assert end.tobytes() == warned.tobytes()
    # nobody sees a count here, so the tokenizer may stop at the context: the same vectors
    assert model.encode(some, truncation="end").tobytes() == end.tobytes()
    words = model.tokenizer.encode([LONG])[0]
    ids, offsets = np.array([101, *words[-254:], 102], dtype=np.int32), np.array([0, 256])
    pooled = model.engine.encode(ids, offsets)[0]
    np.testing.assert_allclose(start[0], pooled / np.linalg.norm(pooled), atol=1e-6)

    with pytest.raises(TruncationError, match="text 2 has 504 tokens, 248 more than the context of 256"):
        model.encode(["a", "b", some[2]], truncation="error")
    # a text that fits to the last token is not cut
    _, report = model.encode(["word " * 254], truncation="error", return_report=True)
    assert (report.tokens, report.tokens_cut) == (256, 0)


def test_the_start_is_cut_behind_the_prompt(model: crumb.Model) -> None:
    vector = model.encode(LONG, prompt="query: ", truncation="start")
    words = model.tokenizer.encode([LONG])[0]
    ids = np.array([101, *model.tokenizer.encode(["query: "])[0], *words[-252:], 102], dtype=np.int32)
    pooled = model.engine.encode(ids, np.array([0, len(ids)]))[0]
    np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=1e-6)


def test_progress_goes_to_stderr_and_only_if_wanted(model: crumb.Model, capfd: pytest.CaptureFixture[str]) -> None:
    model.encode(["a"] * 10)
    assert capfd.readouterr().err == ""  # no terminal, no bar
    model.encode(["a"] * 10, progress=True)
    captured = capfd.readouterr()
    assert "10/10" in captured.err
    assert captured.out == ""


def test_models_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFoundError, match="mxbai-embed-xsmall-v1"):
        crumb.load("mxbai-embed-xsmal-v1")
    monkeypatch.setenv("CRUMB_HOME", str(tmp_path))
    with pytest.raises(ModelNotFoundError, match="crumb pull mxbai-embed-large-v1"):
        crumb.load("mxbai-embed-large-v1")


def test_no_network_once_the_model_is_here(crumb_env: dict[str, str]) -> None:
    """Loading, encoding, searching: an audit hook ends the process at the first look at the network."""
    code = """
import os, sys
def forbid(event, args):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "subprocess.", "os.exec", "os.posix_spawn")):
        print("touched", event, args, file=sys.stderr)
        os._exit(9)
sys.addaudithook(forbid)
import crumb
model = crumb.load()
vectors = model.encode(["one", "two"])
crumb.semantic_search(vectors, vectors)
model.contract.describe()
from crumb.cli import main
sys.exit(main(["search", "what is cut", os.environ["SEARCHED"]]) or main(["models"]) or main(["doctor"]))
"""
    env = {**crumb_env, "SEARCHED": str(Path(__file__).parent / "data")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_is_light() -> None:
    """`import crumb` loads neither numpy nor the engine; encoding loads no torch, transformers or requests."""
    code = """
import sys, crumb
assert not {"numpy", "tokenizers", "crumb.model"} & set(sys.modules)
crumb.load().encode("hello")
heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub", "requests", "urllib3", "sklearn",
"pandas"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names() -> None:
    assert set(crumb.__all__) <= set(dir(crumb))
    for name in crumb.__all__:
        assert getattr(crumb, name) is not None
    with pytest.raises(AttributeError, match="module 'crumb' has no attribute 'embed'"):
        _ = crumb.embed
