"""Folders as transformers and sentence-transformers write them, new and old, and folders that are broken."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzz_checkpoint import attempt, damage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertForMaskedLM, BertModel

import crumb
from crumb.checkpoint import read_contract
from crumb.checkpoint.tensors import read_tensors
from crumb.checkpoint.weights import read_weights
from crumb.errors import CheckpointError
from crumb.text.tokenizer import _from_vocabulary

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghij",
    "the",
    "cat",
    "sat",
    "query",
    "passage",
    ":",
    "##s",
]
TEXTS = ["the cat sat", "", "query: the cats", "a b c d e f g h i j " * 3, "unknown words here"]


def bert(prefixed: bool = False) -> Any:
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    return (BertForMaskedLM(config) if prefixed else BertModel(config)).eval()


def save(folder: Path, model: Any, **kwargs: Any) -> Path:
    model.save_pretrained(folder, **kwargs)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": 48, "tokenizer_class": "BertTokenizer"})
    )
    return folder


def edit(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text()) if path.exists() else {}
    data.update(changes)
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("prefixed", [False, True])
def test_every_form_of_weights(tmp_path: Path, dtype: torch.dtype, sharded: bool, prefixed: bool) -> None:
    source = bert(prefixed).to(dtype)
    folder = save(tmp_path, source, **({"max_shard_size": "10KB"} if sharded else {}))
    if sharded:
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    model = crumb.load(folder, precision="float32")
    assert model.contract.dtype == str(dtype).removeprefix("torch.")
    assert read_weights(model.contract).mapped == (dtype == torch.float32)  # what was widened lies in memory alone
    wide = source.to(torch.float32)
    encoder = wide.bert if prefixed else wide
    for text in TEXTS:
        ids = [2, *model.tokenizer.encode([text])[0], 3]
        with torch.no_grad():
            rows = encoder(input_ids=torch.tensor([ids])).last_hidden_state[0]
        np.testing.assert_allclose(model.encode(text, normalized=False), rows.mean(0).numpy(), atol=2e-6)


MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken"]


def sentence_transformer(folder: Path, modes: Any, include_prompt: bool, normalize: bool) -> SentenceTransformer:
    transformer = Transformer(str(save(folder / "bert", bert())))
    modules: list[Any] = [transformer, Pooling(24, pooling_mode=modes, include_prompt=include_prompt)]
    return SentenceTransformer(modules=[*modules, *([Normalize()] if normalize else [])], device="cpu")


@pytest.mark.parametrize("modes", [*MODES, ("cls", "mean"), ("lasttoken", "max", "mean_sqrt_len_tokens")])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_pooling_as_sentence_transformers(tmp_path: Path, modes: Any, include_prompt: bool) -> None:
    twin = sentence_transformer(tmp_path, modes, include_prompt, normalize=False)
    twin.save(str(tmp_path / "saved"))
    model = crumb.load(tmp_path / "saved", precision="float32")
    assert model.context == 48
    assert not model.contract.normalize
    for prompt in (None, "query: "):
        expected = twin.encode(TEXTS, prompt=prompt)
        np.testing.assert_allclose(model.encode(TEXTS, prompt=prompt, normalized=False), expected, atol=2e-6)


def test_normalize_prompts_and_older_files(tmp_path: Path) -> None:
    twin = sentence_transformer(tmp_path, "mean", include_prompt=True, normalize=True)
    twin.prompts = {"query": "query: ", "passage": "passage: "}
    twin.default_prompt_name = "query"
    twin.save(str(tmp_path / "saved"))
    folder = tmp_path / "saved"
    model = crumb.load(folder, precision="float32")
    assert model.contract.normalize
    assert model.contract.prompts["passage"] == "passage: "
    np.testing.assert_allclose(model.encode(TEXTS), twin.encode(TEXTS), atol=2e-6)
    np.testing.assert_allclose(
        model.encode(TEXTS, prompt_name="passage"), twin.encode(TEXTS, prompt_name="passage"), atol=2e-6
    )
    np.testing.assert_allclose(model.encode(TEXTS, prompt=""), twin.encode(TEXTS, prompt=""), atol=2e-6)

    # the layout of sentence-transformers 2: flags, module types of other names, the encoder in a folder of its own
    before = model.encode(TEXTS)
    (folder / "0_Transformer").mkdir()
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "sentence_bert_config.json",
    ):
        shutil.move(folder / name, folder / "0_Transformer" / name)
    kinds = {"Transformer": "0_Transformer", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    (folder / "modules.json").write_text(
        json.dumps([{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds.items()])
    )
    (folder / "1_Pooling/config.json").write_text(
        json.dumps({"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    )
    assert crumb.load(folder, precision="float32").encode(TEXTS).tobytes() == before.tobytes()


def test_older_names_of_layer_norm(tmp_path: Path) -> None:
    folder = save(tmp_path, bert())
    expected = crumb.load(folder, precision="float32").encode(TEXTS)
    renamed = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in bert().state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in renamed.items()}, folder / "model.safetensors")
    assert crumb.load(folder, precision="float32").encode(TEXTS).tobytes() == expected.tobytes()


def test_who_decides_the_context(tmp_path: Path) -> None:
    folder = save(tmp_path, bert())
    edit(folder / "sentence_bert_config.json", max_seq_length=20)
    assert (read_contract(folder).context, read_contract(folder).origins["context"]) == (
        20,
        "sentence_bert_config.json",
    )
    edit(folder / "sentence_bert_config.json", max_seq_length=None)
    assert (read_contract(folder).context, read_contract(folder).origins["context"]) == (48, "tokenizer_config.json")
    edit(folder / "tokenizer_config.json", model_max_length=10**30)
    assert (read_contract(folder).context, read_contract(folder).origins["context"]) == (64, "config.json")
    edit(folder / "sentence_bert_config.json", max_seq_length=8192)
    contract = read_contract(folder)
    assert contract.context == 64
    assert "sentence_bert_config.json says 8192, but there are 64 rows" in contract.origins["context"]


def test_lowercase_of_sentence_bert_config(tmp_path: Path) -> None:
    folder = save(tmp_path, bert())
    edit(folder / "tokenizer_config.json", do_lower_case=False)
    assert crumb.load(folder, precision="float32").tokenizer.encode(["The CAT"]) == [[1, 1]]
    edit(folder / "sentence_bert_config.json", do_lower_case=True)
    assert crumb.load(folder, precision="float32").tokenizer.encode(["The CAT"]) == [[15, 16]]


def test_the_contract_of_the_default_model(model: crumb.Model) -> None:
    contract = model.contract
    plain = json.loads(json.dumps(contract.as_dict()))
    assert plain["pooling"] == ["mean"]
    assert (plain["dimensions"], plain["layers"], plain["heads"], plain["context"]) == (384, 6, 12, 256)
    assert (plain["dtype"], plain["normalize"], plain["activation"]) == ("float32", True, "gelu")
    assert plain["origins"]["context"] == "sentence_bert_config.json"
    for key, value in (("context", "256"), ("fingerprint", contract.fingerprint), ("dimensions", "384")):
        assert any(line.split()[:2] == [key, value] for line in contract.describe().splitlines())
    assert "origins" not in contract.settings()


def test_fingerprint_changes_with_what_shapes_vectors(tmp_path: Path) -> None:
    folder = save(tmp_path / "one", bert())
    prints = {read_contract(folder).fingerprint}
    assert read_contract(shutil.copytree(folder, tmp_path / "two")).fingerprint in prints
    prints.add(crumb.load(folder, context=30).fingerprint)
    prints.add(crumb.load(folder, context=80, positions="tile").fingerprint)
    prints.add(crumb.load(folder, context=80, positions="interpolate").fingerprint)
    (tmp_path / "two/vocab.txt").write_text("\n".join([*WORDS[:-1], "dog"]))
    prints.add(read_contract(tmp_path / "two").fingerprint)
    other = bert()
    other.embeddings.word_embeddings.weight.data[0, 0] += 1e-3
    prints.add(read_contract(save(tmp_path / "three", other)).fingerprint)
    assert len(prints) == 6


def remove_tensor(folder: Path, name: str) -> None:
    state = {key: value.contiguous() for key, value in bert().state_dict().items() if key != name}
    save_file(state, folder / "model.safetensors")


def add_tensor(folder: Path, name: str, tensor: torch.Tensor) -> None:
    state = {key: value.contiguous() for key, value in bert().state_dict().items()}
    save_file({**state, name: tensor}, folder / "model.safetensors")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def special_token(folder: Path, number: object) -> None:
    file = _from_vocabulary(folder)
    file["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", number]}
    (folder / "tokenizer.json").write_text(json.dumps(file))


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / "config.json").unlink(), "has no config.json: expected a Hugging Face model folder"),
    (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read as JSON"),
    (lambda f: (f / "config.json").write_text("[]"), "should hold a JSON object, but holds a list"),
    (lambda f: edit(f / "config.json", model_type="roberta"), "model_type 'roberta'; crumb runs 'bert'"),
    (lambda f: edit(f / "config.json", hidden_act="swish"), "hidden_act 'swish'; crumb runs gelu"),
    (lambda f: edit(f / "config.json", hidden_size=25), "hidden_size 25 is no multiple of 4 attention heads"),
    (lambda f: edit(f / "config.json", num_hidden_layers="3"), "num_hidden_layers is '3'"),
    (lambda f: edit(f / "config.json", layer_norm_eps=0), "layer_norm_eps is 0"),
    (
        lambda f: edit(f / "config.json", position_embedding_type="relative_key"),
        "'relative_key'; crumb runs 'absolute'",
    ),
    (lambda f: edit(f / "config.json", is_decoder=True), "sets is_decoder"),
    (
        lambda f: edit(f / "config.json", num_hidden_layers=4),
        r"has no tensor 'encoder.layer.3.attention.self.query.weight'",
    ),
    (
        lambda f: edit(f / "config.json", num_hidden_layers=2),
        r"16 tensors that a BERT encoder of 2 layers does not have",
    ),
    (
        lambda f: edit(f / "config.json", intermediate_size=41),
        r"intermediate.dense.weight is float32 \(40, 24\), expected",
    ),
    (
        lambda f: remove_tensor(f, "embeddings.word_embeddings.weight"),
        "has no tensor 'embeddings.word_embeddings.weight'",
    ),
    (
        lambda f: add_tensor(f, "linear.weight", torch.zeros(3, 3)),
        "first 'linear.weight': crumb will not leave them out",
    ),
    (lambda f: add_tensor(f, "x", torch.zeros(9999, dtype=torch.float64)), "has dtype F64; crumb reads BF16, F16, F32"),
    (cut_weights, "model.safetensors is not a whole safetensors file"),
    (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pytorch_model.bin is a pickle"),
    (lambda f: (f / "vocab.txt").unlink(), "has neither tokenizer.json nor vocab.txt"),
    (lambda f: (f / "vocab.txt").write_text("a\nb\n"), r"vocab.txt has no '\[UNK\]'"),
    (lambda f: (f / "vocab.txt").write_text("\n".join([*WORDS, "more"])), "knows 23 tokens, the embeddings only 22"),
    (lambda f: edit(f / "sentence_bert_config.json", max_seq_length="long"), "a longest input of 'long' tokens"),
    (lambda f: edit(f / "sentence_bert_config.json", query_length=32), "sets 'query_length': a multi-vector model"),
    (lambda f: (f / "modules.json").write_text("{}"), "lists nothing; crumb runs Transformer, Pooling"),
    (
        lambda f: (f / "modules.json").write_text(json.dumps([{"type": "a.Transformer", "path": ""}] * 2)),
        "crumb runs Transformer, Pooling",
    ),
    (
        lambda f: (f / "modules.json").write_text(
            json.dumps([{"type": f"a.{k}", "path": k} for k in ("Transformer", "Pooling", "Dense")])
        ),
        "lists Transformer, Pooling, Dense; crumb runs",
    ),
    (
        lambda f: (f / "modules.json").write_text(
            json.dumps([{"type": "a.Transformer", "path": "../x"}, {"type": "a.Pooling", "path": "1_Pooling"}])
        ),
        "leaves the model folder",
    ),
    (
        lambda f: (f / "modules.json").write_text(
            json.dumps([{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1_Pooling"}])
        ),
        "lists Pooling, but there is no 1_Pooling/config.json",
    ),
    (lambda f: edit(f / "1_Pooling/config.json", pooling_mode="weightedmean"), "asks for the pooling 'weightedmean'"),
    (lambda f: edit(f / "1_Pooling/config.json", pooling_mode_cls_token=False), r"asks for the pooling \(none\)"),
    (
        lambda f: edit(f / "1_Pooling/config.json", pooling_mode="cls", embedding_dimension=25),
        "expects 25 dimensions, but config.json has hidden_size 24",
    ),
    (
        lambda f: edit(f / "config_sentence_transformers.json", prompts={"q": 1}),
        "prompts should map names to texts",
    ),
    (
        lambda f: edit(f / "config_sentence_transformers.json", default_prompt_name="q"),
        "default_prompt_name 'q' is not among the prompts: none",
    ),
    # found by fuzzing: what is no string, and special tokens that are none
    (lambda f: edit(f / "config.json", hidden_act=[]), r"hidden_act \[\]; crumb runs gelu"),
    (lambda f: edit(f / "1_Pooling/config.json", pooling_mode=[{}]), r"asks for the pooling \{\}"),
    (
        lambda f: edit(f / "config_sentence_transformers.json", default_prompt_name={}),
        r"default_prompt_name \{\} is not among the prompts",
    ),
    (lambda f: special_token(f, 99), "puts the token 99 around every text, but the embeddings have 22"),
    (lambda f: special_token(f, None), "cannot be read as a tokenizer"),
]


@pytest.mark.parametrize(("break_it", "message"), BROKEN)
def test_broken_folders(tmp_path: Path, break_it: Callable[[Path], object], message: str) -> None:
    folder = save(tmp_path, bert())
    (folder / "1_Pooling").mkdir()
    break_it(folder)
    with pytest.raises(CheckpointError, match=message):
        crumb.Model(read_contract(folder))


def test_broken_shards(tmp_path: Path) -> None:
    folder = save(tmp_path, bert(), max_shard_size="10KB")
    index = folder / "model.safetensors.index.json"
    shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    shutil.copy(folder / shards[0], folder / "again.safetensors")
    with pytest.raises(CheckpointError, match="is in two files"):
        read_tensors(folder, (shards[0], "again.safetensors"))
    (folder / shards[1]).unlink()
    with pytest.raises(CheckpointError, match="names the file .* which is not in the folder"):
        read_contract(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../../model.safetensors"}}))
    with pytest.raises(CheckpointError, match="which is not in the folder"):
        read_contract(folder)
    index.write_text("[]")
    with pytest.raises(CheckpointError, match="should map tensor names to files"):
        read_contract(folder)


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("fuzz"), bert())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_fuzzed_weights(small_folder: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes of the header flipped, removed or added: the same weights, or an error of ours, never a crash."""
    original = (small_folder / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(original[:8], "little")
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, header - 1))
        gone = data.draw(st.integers(0, 9))
        damaged[at : at + gone] = data.draw(st.binary(max_size=9))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        shutil.copy(small_folder / name, folder / name)
    (folder / "model.safetensors").write_bytes(damaged)
    try:
        weights = read_weights(read_contract(folder))
    except CheckpointError:
        return
    assert weights.word.shape == (len(WORDS), 24)


@pytest.fixture(scope="module")
def full_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with every file that is read."""
    folder = save(tmp_path_factory.mktemp("full"), bert())
    (folder / "1_Pooling").mkdir()
    edit(folder / "1_Pooling/config.json", word_embedding_dimension=24, pooling_mode_mean_tokens=True)
    kinds = {"": "sentence_transformers.models.Transformer", "1_Pooling": "sentence_transformers.models.Pooling"}
    (folder / "modules.json").write_text(json.dumps([{"path": path, "type": kind} for path, kind in kinds.items()]))
    edit(folder / "sentence_bert_config.json", max_seq_length=40, do_lower_case=False)
    edit(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
    (folder / "tokenizer.json").write_text(json.dumps(_from_vocabulary(folder)))
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_fuzzed_folders(full_folder: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Any file damaged anyhow: vectors, or an error of ours. tests/fuzz_checkpoint.py does this for longer."""
    folder = tmp_path_factory.getbasetemp() / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(full_folder, folder)
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 2)):
        damage(folder, dice)
    attempt(folder)  # raises what it must not


def test_what_is_not_damaged_loads(full_folder: Path) -> None:
    assert attempt(full_folder)
