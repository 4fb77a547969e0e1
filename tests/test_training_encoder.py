"""The encoder in PyTorch against transformers, sentence-transformers and the engine."""

from __future__ import annotations

import json
import shutil
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import crumb
from crumb.checkpoint.positions import METHODS, extend_positions
from crumb.checkpoint.read import POOLINGS
from crumb.training.encoder import Encoder, TokenBatch, freeze, parameter_groups
from crumb.training.encoder.ragged import plan
from crumb.training.memory import keep_freed_memory
from crumb.training.positions import Anchor, skipped_positions

transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
ROWS, HIDDEN, LAYERS = 24, 32, 3


def write_tiny(folder: Path, *, pooling: tuple[str, ...] = ("mean",), **config: object) -> Path:
    """A random BERT of 3 layers and 32 dimensions in a sentence-transformers folder; written by transformers itself."""
    torch.manual_seed(0)
    shape = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=ROWS,
        initializer_range=0.3,
        **config,
    )
    transformers.BertModel(shape).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": ROWS, "tokenizer_class": "BertTokenizer"})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": ROWS, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    modes = ["mean_sqrt_len_tokens" if mode == "mean_sqrt_len" else mode for mode in pooling]
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"embedding_dimension": HIDDEN, "pooling_mode": modes[0] if len(modes) == 1 else modes})
    )
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (path, kind) in enumerate(kinds)
            ]
        )
    )
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model")


def random_batch(lengths: list[int], *, seed: int = 0, vocabulary: int = len(WORDS)) -> TokenBatch:
    ids = np.random.default_rng(seed).integers(5, vocabulary, size=sum(lengths))
    return TokenBatch(torch.from_numpy(ids), torch.tensor(lengths))


def their_rows(model: torch.nn.Module, batch: TokenBatch) -> list[list[torch.Tensor]]:
    """transformers' hidden rows [length, hidden] of each text alone, without padding: embeddings, then each layer."""
    found: list[list[torch.Tensor]] = []
    positions = batch.positions if batch.positions is not None else [None] * batch.tokens
    end = 0
    for length in batch.lengths.tolist():
        begin, end = end, end + length
        places = None if batch.positions is None else positions[begin:end][None]
        out = model(input_ids=batch.ids[begin:end][None], position_ids=places, output_hidden_states=True)
        found.append([rows[0] for rows in out.hidden_states])
    return found


def their_model(folder: Path) -> torch.nn.Module:
    return transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").eval()


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-5) -> None:
    scale = max(1.0, float(theirs.detach().abs().max()))
    assert float((ours - theirs).detach().abs().max()) < tolerance * scale


def test_all_layers_and_gradients_are_those_of_transformers(tiny: Path) -> None:
    ours, theirs = Encoder.from_folder(tiny, activations="float32"), their_model(tiny)
    batch = random_batch([5, 24, 1, 7, 2, 24, 13, 3])
    found = ours(batch, [1, 3, 0, 2])
    assert list(found) == [1, 3, 0, 2]
    expected = their_rows(theirs, batch)
    weights = torch.randn(LAYERS + 1, len(batch), HIDDEN, generator=torch.Generator().manual_seed(1))
    ours_loss, theirs_loss = torch.zeros(()), torch.zeros(())
    for layer in range(LAYERS + 1):
        means = torch.stack([rows[layer].mean(0) for rows in expected])
        close(found[layer], means)
        ours_loss = ours_loss + (found[layer] * weights[layer]).sum()
        theirs_loss = theirs_loss + (means * weights[layer]).sum()
    ours_loss.backward()
    theirs_loss.backward()
    named = dict(theirs.named_parameters())
    assert set(dict(ours.named_parameters())) == set(named)
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        # transformers' graph adds the gradients of all texts, one by one, in float32 as well
        close(parameter.grad, named[name].grad, 2e-5)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_both_activations(tmp_path: Path, activation: str) -> None:
    folder = write_tiny(tmp_path / "model", hidden_act=activation)
    batch = random_batch([6, 11])
    (found,) = Encoder.from_folder(folder, activations="float32")(batch).values()
    close(found, torch.stack([rows[-1].mean(0) for rows in their_rows(their_model(folder), batch)]))


def test_the_real_model_is_that_of_transformers_and_of_the_engine(
    model: crumb.Model, model_folder: Path, texts: list[str]
) -> None:
    chosen = texts[:24]
    encoder = Encoder.from_folder(model_folder, activations="float32")
    batch = encoder.tokenize(chosen)
    with torch.no_grad():
        found = encoder(batch, [2, 6])
        expected = their_rows(their_model(model_folder), batch)
    for layer in (2, 6):
        # unit length: the components of these vectors are near 0.05
        unit = torch.nn.functional.normalize(found[layer])
        means = torch.stack([rows[layer].mean(0) for rows in expected])
        assert float((unit - torch.nn.functional.normalize(means)).abs().max()) < 1e-5
        engine = model.encode(chosen, layers=layer, truncation="end")
        assert np.abs(unit.numpy() - engine).max() < 1e-5


@pytest.mark.parametrize("pooling", [(mode,) for mode in POOLINGS] + [("cls", "max", "mean")])
def test_every_pooling_is_the_engines(tmp_path: Path, pooling: tuple[str, ...]) -> None:
    folder = write_tiny(tmp_path / "model", pooling=pooling)
    texts = ["a b c", "", "d e f g h i j k l m n o p q r s t u v w x y z", "z", "a a a a a a a"]
    encoder = Encoder.from_folder(folder, activations="float32")
    batch = encoder.tokenize(texts)
    (found,) = encoder(batch).values()
    expected, report = crumb.load(folder, precision="float32").encode(
        texts, normalized=False, truncation="end", return_report=True
    )
    close(found.detach(), torch.from_numpy(expected))
    assert (batch.tokens, batch.cut) == (report.tokens, report.tokens_cut)


def test_a_prompt_can_stay_out_of_pooling(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "include_prompt": False}))
    encoder, texts = Encoder.from_folder(folder, activations="float32"), ["a b", "c d e f", ""]
    (found,) = encoder(encoder.tokenize(texts, prefix="x y z ")).values()
    expected = crumb.load(folder, precision="float32").encode(texts, prompt="x y z ", normalized=False)
    close(found.detach(), torch.from_numpy(expected))


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, ROWS), min_size=1, max_size=40), seed=st.integers(0, 1000))
def test_neighbours_do_not_matter(tiny: Path, lengths: list[int], seed: int) -> None:
    encoder, batch = Encoder.from_folder(tiny, activations="float32"), random_batch(lengths, seed=seed)
    with torch.no_grad():
        together = encoder(batch)[LAYERS]
        alone = torch.cat([encoder(batch.select([i]))[LAYERS] for i in range(len(batch))])
        order = np.random.default_rng(seed).permutation(len(batch)).tolist()
        shuffled = encoder(batch.select(order))[LAYERS]
    close(together, alone)
    close(shuffled, together[order])


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 700), min_size=1, max_size=150))
def test_groups_hold_each_token_once_and_little_padding(lengths: list[int]) -> None:
    found = plan(torch.tensor(lengths), torch.device("cpu"))
    assert sorted(found.rows.tolist()) == list(range(sum(lengths)))
    assert found.lengths.tolist() == sorted(lengths)
    assert [found.lengths[i] for i in found.back.tolist()] == lengths
    assert [group.begin for group in found.groups] == [0, *(group.end for group in found.groups)][:-1]
    assert found.groups[-1].end == sum(lengths)
    assert sum(group.texts for group in found.groups) == len(lengths)
    for group in found.groups:
        tokens = group.end - group.begin
        if group.pad is None:
            assert tokens == group.texts * group.longest
        else:
            # small groups may be padded more: another call would cost more than they do
            assert group.texts * group.longest <= max(1.3 * tokens, tokens + 600 * 2)
            assert group.pad[group.unpad].tolist() == list(range(tokens))


def test_positions_are_transformers_position_ids(tiny: Path) -> None:
    batch = random_batch([4, 9, 1, 15])
    moved = replace(batch, positions=skipped_positions(batch.lengths, ROWS, np.random.default_rng(3), skips="chunks"))
    assert (
        moved.positions.tolist()
        != skipped_positions(batch.lengths, ROWS, np.random.default_rng(3), skips="none").tolist()
    )
    (found,) = Encoder.from_folder(tiny, activations="float32")(moved).values()
    close(found, torch.stack([rows[-1].mean(0) for rows in their_rows(their_model(tiny), moved)]))
    # the positions of a text go with it
    close(Encoder.from_folder(tiny, activations="float32")(moved.select([3, 1]))[LAYERS], found[[3, 1]])


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    context=st.integers(50, 4096),
    seed=st.integers(0, 99),
    skips=st.sampled_from(["offset", "chunks"]),
    kept=st.integers(0, 3),
)
def test_drawn_positions(lengths: list[int], context: int, seed: int, skips: str, kept: int) -> None:
    def draw(**settings: object) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        found = skipped_positions(torch.tensor(lengths), context, generator, skips=skips, kept=kept, **settings)
        return np.split(found.numpy(), np.cumsum(lengths)[:-1])

    for text, again, whole in zip(draw(), draw(), draw(share=0.0), strict=True):
        assert (text == again).all()
        assert (whole == np.arange(len(whole))).all()
        assert text.min() >= 0
        assert text.max() < context
        assert (np.diff(text) > 0).all()
        assert (text[:kept] == np.arange(len(text))[:kept]).all()
        assert (np.diff(text[kept:]) != 1).sum() <= (1 if skips == "chunks" else 0)


def test_offsets_reach_every_row_alike() -> None:
    # 40,000 starts among 41: each is expected 976 times, give or take 31
    found = skipped_positions(torch.ones(40_000, dtype=torch.int64) * 10, 50, np.random.default_rng(0))
    counts = np.bincount(found.numpy()[::10])
    assert len(counts) == 41
    assert abs(counts - 40_000 / 41).max() < 5 * 31


@pytest.mark.parametrize("method", METHODS)
def test_training_new_rows_alone_leaves_short_texts_their_bits(tiny: Path, tmp_path: Path, method: str) -> None:
    encoder = Encoder.from_folder(tiny, context=64, positions=method, activations="float32")
    table = load_file(tiny / "model.safetensors")["embeddings.position_embeddings.weight"].numpy()
    assert (
        encoder.embeddings.position_table().detach().numpy().tobytes() == extend_positions(table, 64, method).tobytes()
    )
    short = random_batch([3, 24, 11])
    before = encoder(short)[LAYERS].detach()
    freeze(encoder, ["word", "positions", "embedding_norm", "layers"])
    optimizer = torch.optim.AdamW(parameter_groups(encoder, 0.01))
    generator = np.random.default_rng(0)
    for step in range(3):
        batch = random_batch([20, 5, 24, 60], seed=step)
        batch = replace(batch, positions=skipped_positions(batch.lengths, 64, generator))
        encoder(batch)[LAYERS].square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert encoder(short)[LAYERS].detach().numpy().tobytes() == before.numpy().tobytes()
    moved = extend_positions(table, 64, method)[ROWS:] != encoder.embeddings.new_positions.weight.detach().numpy()
    assert moved.any(axis=1).mean() > 0.5

    saved = load_file(encoder.save(tmp_path / "long") / "model.safetensors")
    assert saved["embeddings.position_embeddings.weight"][:ROWS].numpy().tobytes() == table.tobytes()
    longer = crumb.load(tmp_path / "long", precision="float32")
    assert longer.context == 64
    assert longer.contract.positions == "checkpoint"
    text = "a b c d"
    assert longer.encode(text).tobytes() == crumb.load(tiny, precision="float32").encode(text).tobytes()
    long_text = "e f g h " * 14
    (vector,) = encoder(encoder.tokenize([long_text])).values()
    close(vector.detach(), torch.from_numpy(longer.encode([long_text], normalized=False)))


def test_short_batches_leave_new_rows_out_of_the_graph(tiny: Path) -> None:
    encoder = Encoder.from_folder(tiny, context=40, positions="tile")
    encoder(random_batch([24]))[LAYERS].sum().backward()
    assert encoder.embeddings.new_positions.weight.grad is None
    encoder(random_batch([25]))[LAYERS].sum().backward()
    assert encoder.embeddings.new_positions.weight.grad is not None


def test_an_anchor_pulls_back(tiny: Path) -> None:
    encoder = Encoder.from_folder(tiny)
    table = encoder.embeddings.position_embeddings.weight
    start = table.detach().clone()
    anchor = Anchor(table, 0.5)
    assert anchor().item() == 0.0
    with torch.no_grad():
        table[3] += 2.0
    anchor().backward()
    assert anchor().item() == pytest.approx(0.5 * HIDDEN * 4.0)
    torch.testing.assert_close(table.grad, table.detach() - start)
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        Anchor(table, -1)


def test_what_is_frozen_stays_and_the_rest_moves(tiny: Path) -> None:
    encoder = Encoder.from_folder(tiny)
    freeze(encoder, ["word", "positions", "layer.1"])
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(parameter_groups(encoder, 1e-3), fused=True)
    (encoder(random_batch([5, 9, 24]))[LAYERS] ** 3).sum().backward()
    optimizer.step()
    frozen = ("embeddings.word", "embeddings.position", "encoder.layer.1.")
    # a key's bias adds the same to all scores of a query: its gradient is nothing but rounding
    for name, tensor in encoder.state_dict().items():
        if "key.bias" not in name:
            assert torch.equal(tensor, before[name]) == name.startswith(frozen), name
    freeze(encoder, [])
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_parameter_groups(tiny: Path) -> None:
    encoder = Encoder.from_folder(tiny, context=40, positions="tile")
    freeze(encoder, ["word"])
    groups = parameter_groups(
        encoder, 1e-4, rates={"layer.2": 3e-4, "layers": 2e-4, "new_positions": 5e-3}, weight_decay=0.1
    )
    named = {id(parameter): name for name, parameter in encoder.named_parameters()}
    seen = {}
    for group in groups:
        for parameter in group["params"]:
            seen[named[id(parameter)]] = (group["lr"], group["weight_decay"])
    assert set(seen) == set(dict(encoder.named_parameters())) - {"embeddings.word_embeddings.weight"}
    assert sum(len(group["params"]) for group in groups) == len(seen)
    assert seen["embeddings.new_positions.weight"] == (5e-3, 0.1)
    assert seen["embeddings.position_embeddings.weight"] == (1e-4, 0.1)
    assert seen["embeddings.LayerNorm.weight"] == (1e-4, 0.0)
    assert seen["encoder.layer.0.attention.self.query.weight"] == (2e-4, 0.1)
    assert seen["encoder.layer.2.output.dense.bias"] == (3e-4, 0.0)
    with pytest.raises(
        ValueError, match="there is no group 'layer.7'; this encoder has layers, word, positions, new_pos"
    ):
        parameter_groups(encoder, 1e-4, rates={"layer.7": 1.0})
    with pytest.raises(ValueError, match="'word' has a learning rate, but is frozen"):
        parameter_groups(encoder, 1e-4, rates={"word": 1e-5})
    with pytest.raises(ValueError, match="there is no group 'words'"):
        freeze(encoder, ["words"])


def test_a_split_keeps_apart_rows_that_one_checkpoint_holds(tiny: Path) -> None:
    whole, split = Encoder.from_folder(tiny), Encoder.from_folder(tiny, split=10)
    assert whole.embeddings.new_positions is None
    assert split.embeddings.new_positions.weight.shape == (ROWS - 10, HIDDEN)
    batch = random_batch([24, 4])
    assert torch.equal(whole(batch)[LAYERS], split(batch)[LAYERS])


def test_saved_folders_load_everywhere(tiny: Path, tmp_path: Path) -> None:
    encoder = Encoder.from_folder(tiny, layers=2)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    folder = encoder.save(tmp_path / "deep" / "saved")
    texts = ["a b c", "d", "e f g h i j k l m n o p q r s t u v w x y z a b c d"]
    (expected,) = (tensor.detach() for tensor in encoder(encoder.tokenize(texts)).values())
    again = Encoder.from_folder(folder)
    assert torch.equal(again(again.tokenize(texts))[2], expected)
    assert (again.layers, again.contract.context) == (2, ROWS)
    model = crumb.load(folder, precision="float32")
    close(torch.from_numpy(model.encode(texts, normalized=False, truncation="end")), expected)
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    close(torch.from_numpy(theirs.encode(texts)), expected)
    with pytest.raises(FileExistsError, match="saved is there already; save to another folder"):
        encoder.save(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["saved"]


def test_the_real_model_saved_is_the_real_model(model: crumb.Model, model_folder: Path, tmp_path: Path) -> None:
    folder = Encoder.from_folder(model_folder).save(tmp_path / "saved")
    saved = crumb.load(folder, precision="float32")
    assert saved.encode("a text").tobytes() == model.encode("a text").tobytes()
    same = {key: value for key, value in saved.contract.settings().items() if value != model.contract.settings()[key]}
    assert same == {}
    assert not (folder / "crumb-source.json").exists()


def test_a_save_that_fails_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny, source)
    encoder = Encoder.from_folder(source)
    (source / "config.json").write_text("{")
    with pytest.raises(ValueError, match="."):
        encoder.save(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_bf16_stays_near_float32(tiny: Path) -> None:
    batch = random_batch([5, 24, 1, 7, 2, 24])
    exact, rounded = (Encoder.from_folder(tiny, activations=kind) for kind in ("float32", "bf16"))
    expected, found = exact(batch)[LAYERS], rounded(batch)[LAYERS]
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    # bfloat16 has 8 bits: 2^-8 for each of some products that follow one another
    assert torch.nn.functional.cosine_similarity(found, expected).min().item() > 0.999
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    for ours, theirs in zip(rounded.parameters(), exact.parameters(), strict=True):
        assert ours.dtype == ours.grad.dtype == torch.float32
        if float(theirs.grad.abs().max()) > 1e-3:
            assert (
                float(torch.nn.functional.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0)) > 0.98
            )


def test_dropout_is_for_training_only(tiny: Path) -> None:
    encoder, batch = Encoder.from_folder(tiny, dropout=0.2), random_batch([5, 24, 9])
    plain = Encoder.from_folder(tiny)(batch)[LAYERS]
    assert torch.equal(encoder.eval()(batch)[LAYERS], plain)
    torch.manual_seed(0)
    first, second = encoder.train()(batch)[LAYERS], encoder(batch)[LAYERS]
    assert not torch.equal(first, second)
    # the mean of many draws comes back to what there is without: what is kept is scaled up
    drawn = torch.stack([encoder(batch, [1])[1].detach() for _ in range(300)]).mean(0)
    single = Encoder.from_folder(tiny)(batch, [1])[1].detach()
    assert float(torch.nn.functional.cosine_similarity(drawn, single).min()) > 0.9


def test_no_texts(tiny: Path) -> None:
    empty = TokenBatch(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    assert Encoder.from_folder(tiny)(empty)[LAYERS].shape == (0, HIDDEN)


def test_what_is_refused(tiny: Path, tmp_path: Path) -> None:
    encoder, batch = Encoder.from_folder(tiny), random_batch([3, 4])
    with pytest.raises(ValueError, match="layers must be whole numbers from 0 to 3, got 4"):
        encoder(batch, [4])
    with pytest.raises(ValueError, match="layers names no layer"):
        encoder(batch, [])
    with pytest.raises(ValueError, match="a token stands at position 24, but there are 24 position rows"):
        encoder(random_batch([25]))
    with pytest.raises(ValueError, match="a token stands at position -1"):
        encoder(replace(batch, positions=torch.arange(7) - 1))
    with pytest.raises(ValueError, match="token ids must lie between 0 and 30, got 5 to 99"):
        encoder(TokenBatch(torch.tensor([5, 99]), torch.tensor([2])))
    with pytest.raises(ValueError, match="text 1 has no token"):
        TokenBatch(torch.tensor([5]), torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="the lengths add up to 3 tokens, but there are 2"):
        TokenBatch(torch.tensor([5, 6]), torch.tensor([3]))
    with pytest.raises(ValueError, match="ids must be int64 with one dimension, got torch.int32"):
        TokenBatch(torch.tensor([5], dtype=torch.int32), torch.tensor([1]))
    with pytest.raises(ValueError, match="first_pooled must name a token of each text"):
        replace(batch, first_pooled=torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="context=40 needs 40 position rows, but model has 24"):
        Encoder.from_folder(tiny, context=40)
    with pytest.raises(ValueError, match="layers must be a whole number from 1 to 3, got 0"):
        Encoder.from_folder(tiny, layers=0)
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1, got 1.0"):
        Encoder.from_folder(tiny, dropout=1.0)
    with pytest.raises(ValueError, match="unknown activations 'fp16'; choose auto, float32, bf16"):
        Encoder.from_folder(tiny, activations="fp16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no tokenizer to be saved with"):
        Encoder(encoder.contract).save(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a text has 9 tokens, but the context is 8"):
        skipped_positions(torch.tensor([9]), 8, np.random.default_rng(0))
    with pytest.raises(ValueError, match="unknown skips 'skip'; choose none, offset, chunks"):
        skipped_positions(torch.tensor([3]), 8, np.random.default_rng(0), skips="skip")  # type: ignore[arg-type]


def test_old_names_and_prefixes_are_read(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "old")
    tensors = load_file(tiny / "model.safetensors")
    renamed = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed, tmp_path / "old" / "model.safetensors")
    batch = random_batch([3, 9])
    assert torch.equal(Encoder.from_folder(tmp_path / "old")(batch)[LAYERS], Encoder.from_folder(tiny)(batch)[LAYERS])


def test_memory_is_kept_where_glibc_is() -> None:
    import ctypes
    import platform

    keeps = platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() is keeps
    if keeps:
        # no allocation is a mapping of its own any more: freed, it is the very place of the next
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
            ctypes.c_void_p,
            [ctypes.c_size_t],
            [ctypes.c_void_p],
        )
        first = libc.malloc(100 << 20)
        libc.free(first)
        second = libc.malloc(90 << 20)
        libc.free(second)
        assert first == second
