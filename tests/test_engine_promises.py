"""What the engine promises beside being right: bits, linear memory, threads, forks, clear errors."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import FLOAT32, PRECISIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_parity import random_bert, to_engine

import crumb
from crumb.checkpoint.weights import read_weights
from crumb.engine.encoder import Engine
from crumb.engine.precision import kernels

# sizes that every kernel takes (AMX: multiples of 32), with tails for all of them in the rows
SHAPE = {"head_size": 32, "heads": 3, "layers": 2, "ffn": 224, "activation": "gelu", "epsilon": 1e-12, "seed": 11}
ENGINES: dict[str, Engine] = {}


def small(isa: str) -> Engine:
    if isa not in ENGINES:
        ENGINES[isa] = to_engine(random_bert(SHAPE), isa)
    return ENGINES[isa]


def ragged(texts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.concatenate(texts) if texts else np.empty(0, dtype=np.int32)
    return ids.astype(np.int32), np.cumsum([0, *map(len, texts)]).astype(np.int64)


@pytest.mark.parametrize("isa", PRECISIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bits_depend_on_the_text_alone(isa: str, data: st.DataObject) -> None:
    engine = small(isa)
    lengths = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=30), label="lengths")
    order = data.draw(st.permutations(range(len(lengths))), label="order")
    threads = data.draw(st.integers(1, 5), label="threads")
    generator = np.random.default_rng(data.draw(st.integers(0, 99), label="seed"))
    texts = [generator.integers(0, 97, n) for n in lengths]
    alone = np.concatenate([engine.encode(*ragged([text]), threads=1) for text in texts])
    together = engine.encode(*ragged([texts[i] for i in order]), threads=threads)
    assert together.tobytes() == alone[order].tobytes()


@pytest.mark.parametrize("isa", PRECISIONS)
@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8), threads=st.integers(1, 4))
def test_bits_do_not_depend_on_the_other_layers(isa: str, lengths: list[int], threads: int) -> None:
    """Lone short texts share columns, longer ones rows, many are dealt out: three ways through the layers."""
    engine = small(isa)
    batch = ragged([np.arange(n) % 97 for n in lengths])
    first = np.array([n // 3 for n in lengths], dtype=np.int32)
    some: dict[str, Any] = {"pooling": ["mean", "cls"], "first_pooled": first}
    both = engine.encode_layers(*batch, [1, 2], threads=threads, **some)
    assert both.shape == (2, len(lengths), 2 * engine.hidden)
    for i, layers in enumerate((1, 2)):
        assert both[i].tobytes() == engine.encode(*batch, layers=layers, threads=1, **some).tobytes()


@pytest.mark.parametrize("layers", [[], [2, 1], [1, 1], [0, 1], [1, 3]])
def test_layers_that_cannot_be_asked_together(layers: list[int]) -> None:
    with pytest.raises(ValueError, match="layers"):
        small("portable").encode_layers(*ragged([np.array([1, 2])]), layers)


@pytest.mark.parametrize("isa", PRECISIONS)
def test_bits_of_long_texts(isa: str, texts: list[str]) -> None:
    """Texts of more than 1,024 tokens are shared by all threads: another path, the same bits."""
    model = crumb.load(context=4096, positions="tile", isa=isa, precision=PRECISIONS[isa])
    some = [texts[0], texts[-1], texts[50], texts[-4], texts[-7], "short"]
    if isa.startswith("portable"):  # they take their time
        some = [texts[0][:5000], texts[-1][:5000], "short"]
    alone = np.stack([model.encode(text, threads=1) for text in some])
    assert model.encode(some, threads=2).tobytes() == alone.tobytes()
    assert model.encode(some[::-1], threads=3)[::-1].tobytes() == alone.tobytes()


@pytest.mark.parametrize("isa", PRECISIONS)
def test_many_python_threads(isa: str) -> None:
    engine = small(isa)
    generator = np.random.default_rng(5)
    batches = [ragged([generator.integers(0, 97, n) for n in generator.integers(1, 200, 12)]) for _ in range(40)]
    expected = [engine.encode(*batch, threads=1).tobytes() for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: engine.encode(*batch, threads=2).tobytes(), batches))
    assert found == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_after_a_fork(crumb_env: dict[str, str]) -> None:
    """A child forked after the engine (and the tokenizer) worked in threads gives the same bits."""
    code = """
import os, sys, crumb
model = crumb.load()
texts = [f"text number {i} about many things" for i in range(300)]
before = model.encode(texts, threads=2)
child = os.fork()
if child == 0:
    os._exit(0 if model.encode(texts, threads=2).tobytes() == before.tobytes() else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], env=crumb_env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_memory_of_attention_is_linear(crumb_env: dict[str, str]) -> None:
    """A score matrix of 4,096 x 4,096 for each of 12 heads would be 805 MB, for one head 67 MB."""
    code = """
import resource, crumb
model = crumb.load(context=4096, positions="tile")
model.encode("word " * 500, threads=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
_, report = model.encode("word " * 4094, threads=2, return_report=True)
assert report.tokens == 4096 and report.tokens_cut == 0
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], env=crumb_env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 67


def test_packing_never_holds_the_weights_twice(crumb_env: dict[str, str]) -> None:
    """Of 90.9 MB of weights, 43 are packed and 47 stay where they are: in the file. Both would be 86 MB more."""
    code = """
import resource, numpy, crumb.model
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
crumb.load(precision="float32")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], env=crumb_env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 65


def test_pages_given_back_are_read_again(model: crumb.Model, texts: list[str]) -> None:
    weights = read_weights(model.contract)
    assert weights.mapped
    layer = weights.layers[-1]
    before = [array.copy() for array in layer.arrays()]
    for _ in range(2):
        Engine(weights, precision="float32")
        for array, was in zip(layer.arrays(), before, strict=True):
            np.testing.assert_array_equal(array, was)


def test_kernels_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch, model: crumb.Model) -> None:
    assert FLOAT32[-1] == "portable"
    assert model.engine.isa == os.environ.get("CRUMB_ISA", FLOAT32[0])
    monkeypatch.setenv("CRUMB_ISA", "portable")
    assert to_engine(random_bert(SHAPE), None).isa == "portable"
    monkeypatch.setenv("CRUMB_ISA", "avx9000")
    with pytest.raises(ValueError, match=r"unknown kernels 'avx9000'; in float32 this CPU runs: .*portable"):
        to_engine(random_bert(SHAPE), None)


def test_kernels_of_another_cpu_are_refused() -> None:
    missing = [kernel.name for kernel in kernels() if not kernel.runs]
    if not missing:
        pytest.skip("this CPU runs every kernel that was built")
    with pytest.raises(ValueError, match="need instructions that this CPU does not have"):
        to_engine(random_bert(SHAPE), missing[0])


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([1, 2], [0, 1], "end with the number of ids, 2"),
        ([1, 2], [1, 2], "begin with 0"),
        ([1, 2], [0, 0, 2], "text 0 has no tokens"),
        ([1, 2], [0, 3, 2], "text 1 has no tokens|behind the ids"),
        ([1, 97], [0, 2], "token id 97 at 1 is outside the vocabulary of 97"),
        ([-1, 1], [0, 2], "token id -1 at 0"),
        ([1] * 301, [0, 301], "text 0 has 301 tokens, but there are 300 position rows"),
    ],
)
def test_bad_batches_are_refused(ids: list[int], offsets: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small("portable").encode(np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int64))


@settings(max_examples=200, deadline=None)
@given(
    ids=st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(0, 96), max_size=20),
    offsets=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20), min_size=1, max_size=6),
)
def test_ragged_offsets_fuzz(ids: list[int], offsets: list[int]) -> None:
    """Whatever the offsets: vectors for a valid batch, a ValueError for any other, never a crash."""
    lengths = np.diff(np.array(offsets, dtype=object))
    valid = (
        offsets[0] == 0
        and offsets[-1] == len(ids)
        and all(0 < n <= 300 for n in lengths)
        and all(0 <= i < 97 for i in ids)
    )
    arguments = np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int64)
    if valid or len(offsets) == 1:  # one offset is an empty batch
        assert small("portable").encode(*arguments).shape == (len(offsets) - 1, 96)
    else:
        with pytest.raises(ValueError, match=r"offsets|text \d+|token id"):
            small("portable").encode(*arguments)


@pytest.mark.parametrize(("name", "value"), [("layers", 0), ("layers", 3), ("threads", 0), ("threads", -2)])
def test_arguments_out_of_range(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        small("portable").encode(*ragged([np.array([1, 2])]), **{name: value})


def test_weights_that_are_not_finite_are_refused() -> None:
    bert = random_bert(SHAPE)
    bert.encoder.layer[1].output.dense.weight.data[3, 4] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_engine(bert, "portable")
    bert = random_bert(SHAPE)
    bert.embeddings.word_embeddings.weight.data[5, 6] = float("inf")
    engine = to_engine(bert, "portable")
    with pytest.raises(ValueError, match="vector of text 1 is not finite"):
        engine.encode(*ragged([np.array([1, 2]), np.array([5])]))
