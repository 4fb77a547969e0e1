"""The engine against transformers, in float32: real texts on the real checkpoint, and random small encoders."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from conftest import FLOAT32, PRECISIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertConfig, BertModel

import crumb
from crumb.engine.encoder import Engine
from crumb.engine.precision import LEAST_COSINE
from crumb.engine.weights import EncoderWeights, LayerWeights


def mean_pooled(model: Any, ids: list[int]) -> np.ndarray:
    """One text through transformers by itself, mean-pooled and normalised."""
    with torch.no_grad():
        rows = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return torch.nn.functional.normalize(rows.mean(0), dim=0).numpy()


@pytest.fixture(scope="module")
def expected(model_folder: Any, texts: list[str]) -> np.ndarray:
    """The 200 texts through transformers with 4,096 tiled position rows, tokens by transformers' own tokenizer."""
    bert = BertModel.from_pretrained(model_folder, add_pooling_layer=False, dtype=torch.float32).eval()
    rows = bert.embeddings.position_embeddings.weight.data
    bert.embeddings.position_embeddings.weight = torch.nn.Parameter(rows.repeat(8, 1))
    bert.embeddings.position_ids = torch.arange(4096)[None]
    bert.embeddings.token_type_ids = torch.zeros((1, 4096), dtype=torch.long)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    batch = tokenizer(texts, truncation=True, max_length=4096, padding=False)["input_ids"]
    assert max(map(len, batch)) == 4096
    assert min(map(len, batch)) == 2
    return np.stack([mean_pooled(bert, ids) for ids in batch])


# least and mean cosine, and largest difference of a component: float32 is asked to be the same, bf16 to be as good,
# int8 to be within what crumb.engine.precision says of it
TOLERANCES = {
    "float32": (0.999999, 0.999999, 2e-5),
    "bf16": (LEAST_COSINE["bf16"], 0.9999, 2e-3),
    "int8": (LEAST_COSINE["int8"], 0.999, 2e-2),
}


@pytest.mark.parametrize("isa", PRECISIONS)
def test_real_texts(isa: str, texts: list[str], expected: np.ndarray) -> None:
    model = crumb.load(context=4096, positions="tile", isa=isa, precision=PRECISIONS[isa])
    assert (model.engine.isa, model.engine.precision) == (isa, PRECISIONS[isa])
    step = 5 if isa == "portable_int8" else 1  # the reference of the other int8 kernels takes its time
    texts, expected = texts[::step], expected[::step]
    vectors, report = model.encode(texts, return_report=True)
    assert report.truncated_texts == 0
    cosines = (vectors.astype(np.float64) * expected).sum(1) / np.linalg.norm(expected, axis=1)
    least, mean, difference = TOLERANCES[PRECISIONS[isa]]
    assert cosines.min() >= least
    assert cosines.mean() >= mean
    assert np.abs(vectors - expected).max() <= difference


ENCODERS = st.fixed_dictionaries(
    {
        "head_size": st.integers(1, 40),
        "heads": st.integers(1, 5),
        "layers": st.integers(1, 3),
        "ffn": st.integers(1, 150),
        "activation": st.sampled_from(["gelu", "gelu_new"]),
        "epsilon": st.sampled_from([1e-12, 1e-5]),
        "lengths": st.lists(st.integers(1, 300), min_size=1, max_size=4),
        "seed": st.integers(0, 2**31 - 1),
    }
)


def random_bert(shape: dict[str, Any]) -> BertModel:
    torch.manual_seed(shape["seed"])
    config = BertConfig(
        vocab_size=97,
        hidden_size=shape["head_size"] * shape["heads"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        intermediate_size=shape["ffn"],
        hidden_act=shape["activation"],
        layer_norm_eps=shape["epsilon"],
        max_position_embeddings=300,
        initializer_range=0.3,
    )
    bert = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():  # fresh biases are zeros and LayerNorms ones, which would hide a mistake
        for parameter in bert.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return bert


def to_engine(bert: BertModel, isa: str) -> Engine:
    def array(parameter: Any) -> np.ndarray:
        return parameter.detach().numpy()

    def both(module: Any) -> tuple[np.ndarray, np.ndarray]:
        return array(module.weight), array(module.bias)

    layers = tuple(
        LayerWeights(
            *both(layer.attention.self.query),
            *both(layer.attention.self.key),
            *both(layer.attention.self.value),
            *both(layer.attention.output.dense),
            *both(layer.attention.output.LayerNorm),
            *both(layer.intermediate.dense),
            *both(layer.output.dense),
            *both(layer.output.LayerNorm),
        )
        for layer in bert.encoder.layer
    )
    embeddings = bert.embeddings
    weights = EncoderWeights(
        word=array(embeddings.word_embeddings.weight),
        position=array(embeddings.position_embeddings.weight),
        token_type=array(embeddings.token_type_embeddings.weight),
        embedding_norm=array(embeddings.LayerNorm.weight),
        embedding_norm_bias=array(embeddings.LayerNorm.bias),
        layers=layers,
        heads=bert.config.num_attention_heads,
        activation="gelu" if bert.config.hidden_act == "gelu" else "gelu_tanh",
        epsilon=bert.config.layer_norm_eps,
    )
    return Engine(weights, isa=isa, precision=PRECISIONS.get(isa, "float32"), threads=2)


@pytest.mark.parametrize("isa", FLOAT32)
@settings(max_examples=40, deadline=None)
@given(shape=ENCODERS)
def test_random_encoders(isa: str, shape: dict[str, Any]) -> None:
    bert = random_bert(shape)
    engine = to_engine(bert, isa)
    generator = np.random.default_rng(shape["seed"])
    texts = [generator.integers(0, 97, length).astype(np.int32) for length in shape["lengths"]]
    ids = np.concatenate(texts)
    offsets = np.cumsum([0, *shape["lengths"]])

    def hidden_states() -> list[np.ndarray]:
        with torch.no_grad():
            outputs = [
                bert(input_ids=torch.from_numpy(text[None].astype(np.int64)), output_hidden_states=True)
                for text in texts
            ]
        return [
            np.concatenate([output.hidden_states[layers][0].numpy().astype(np.float64) for output in outputs])
            for layers in range(shape["layers"] + 1)
        ]

    in_float32 = hidden_states()
    bert.double()
    states = hidden_states()
    for layers, (expected, float32) in enumerate(zip(states, in_float32, strict=True)):
        # LayerNorm bounds the rows, so an absolute tolerance means the same everywhere; but some random encoders make
        # chaos of the last bit, of torch's own as of ours
        atol = 1e-4 + 8 * np.abs(float32 - expected).max()
        np.testing.assert_allclose(engine.hidden_rows(ids, offsets, layers=layers), expected, atol=atol, rtol=0)
    last = [states[-1][begin:end] for begin, end in itertools.pairwise(offsets)]
    pooled = engine.encode(ids, offsets, pooling=["cls", "max", "mean", "mean_sqrt_len", "lasttoken"])
    by_hand = np.stack([np.concatenate([r[0], r.max(0), r.mean(0), r.sum(0) / np.sqrt(len(r)), r[-1]]) for r in last])
    np.testing.assert_allclose(pooled, by_hand, atol=4e-3, rtol=1e-4)


@pytest.mark.parametrize("isa", FLOAT32)
def test_huge_logits_do_not_overflow(isa: str) -> None:
    """Softmax must stay finite for any finite logits: queries and keys a thousand times too large."""
    shape = {"head_size": 8, "heads": 2, "layers": 1, "ffn": 8, "activation": "gelu", "epsilon": 1e-12, "seed": 3}
    bert = random_bert(shape)
    with torch.no_grad():
        bert.encoder.layer[0].attention.self.query.weight.mul_(1e5)
        bert.encoder.layer[0].attention.self.key.weight.mul_(1e5)
    engine = to_engine(bert, isa)
    ids = np.arange(97, dtype=np.int32)
    with torch.no_grad():
        expected = bert(input_ids=torch.arange(97)[None]).last_hidden_state[0].numpy()
    rows = engine.hidden_rows(ids, np.array([0, 97]))
    assert np.isfinite(rows).all()
    # a softmax this sharp picks one key a row; where two logits nearly tie, rounding decides, so compare most rows
    assert (np.abs(rows - expected).max(1) < 1e-3).mean() > 0.9
