"""The trainer's parts: against torch's own schedulers and AdamW, against sums written out, against a killed process."""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_model
from tokenizers import Tokenizer

from crumb.errors import TrainingError
from crumb.training.averaging import Average
from crumb.training.batch import Batch, Example
from crumb.training.checkpoint import Place, checkpoints, latest, read_checkpoint, write_checkpoint
from crumb.training.distributed import World
from crumb.training.encoder import Encoder, parameter_groups
from crumb.training.folders import PARTIAL, move_in, remove, sweep, whole
from crumb.training.losses import Embedded, Targets, as_layerwise, make
from crumb.training.recipe import BatchSettings, OptimiserSettings, SkipSettings, SourceSettings, Stage
from crumb.training.schedule import Schedule
from crumb.training.stopping import Stopping
from crumb.training.trainer.optimiser import Optimiser
from crumb.training.trainer.seeds import seed_step
from crumb.training.trainer.step import Done, Step

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products gain nothing from threads, and lose much where other tests run beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- schedule


def torch_rates(scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def test_schedules_are_those_of_torch() -> None:
    steps = 50
    ours = [Schedule("linear", 0, 0.1).factor(step, steps) for step in range(steps)]
    theirs = torch_rates(torch.optim.lr_scheduler.LinearLR(sgd(), 1.0, 0.1, steps), steps)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    ours = [Schedule("cosine", 0, 0.2).factor(step, steps) for step in range(steps)]
    theirs = torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR(sgd(), steps, 0.2), steps)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@given(
    kind=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.one_of(st.floats(0, 0.99), st.integers(0, 200)),
    end=st.floats(0, 1),
    steps=st.integers(1, 200),
)
def test_a_schedule_rises_then_falls_and_never_leaves_its_bounds(
    kind: str, warmup: float, end: float, steps: int
) -> None:
    schedule = Schedule(kind, warmup, end)  # type: ignore[arg-type]  # hypothesis draws a str
    factors = [schedule.factor(step, steps) for step in range(steps)]
    rise = min(schedule.rise(steps), steps)
    assert all(0 < factor <= 1 for factor in factors[: rise + 1])
    assert factors[:rise] == sorted(factors[:rise])
    assert factors[rise:] == sorted(factors[rise:], reverse=True)
    assert all(factor >= end - 1e-12 for factor in factors[rise:])
    if rise < steps:
        assert factors[rise] == 1


# --- stopping


def test_stopping_keeps_the_best_and_ends_after_patience() -> None:
    stopping = Stopping(patience=2, margin=0.01)
    taken = [stopping.take(step, score) for step, score in enumerate([0.50, 0.505, 0.52, 0.53])]
    assert taken == [True, False, True, False], "0.53 is no more than a margin better than 0.52"
    assert not stopping.over
    assert not stopping.take(4, 0.51)
    assert stopping.over
    assert (stopping.best, stopping.best_step) == (0.52, 2)
    again = Stopping.of(json.loads(json.dumps(stopping.state())))
    assert again == stopping


# --- averaging


def test_the_average_is_the_recursion_written_out() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.nn.Parameter(torch.randn(4, 3, generator=generator))
    frozen = torch.nn.Parameter(torch.randn(2, generator=generator), requires_grad=False)
    average = Average([("weight", weight), ("frozen", frozen)], 0.9)
    expected = weight.detach().double().numpy().copy()
    for n in range(200):
        with torch.no_grad():
            weight += torch.randn(4, 3, generator=generator)
        average.update()
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight.detach().double().numpy()
    np.testing.assert_allclose(average.tensors["weight"].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert list(average.tensors) == ["weight"]


# --- the optimiser


def test_the_optimiser_is_torchs_adamw_with_clipping_and_a_factor() -> None:
    torch.manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(5, 4)), torch.nn.Parameter(torch.randn(4))]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    settings = OptimiserSettings(rate=1e-2, clip=0.5, betas=(0.8, 0.95), epsilon=1e-6)
    groups = [
        {"params": [ours[0]], "lr": 1e-2, "weight_decay": 0.1, "name": "a"},
        {"params": [ours[1]], "lr": 1e-3, "weight_decay": 0.0, "name": "b"},
    ]
    optimiser = Optimiser(groups, {ours[0]: "a", ours[1]: "b"}, settings)
    plain = torch.optim.AdamW(
        [
            {"params": [theirs[0]], "lr": 1e-2, "weight_decay": 0.1},
            {"params": [theirs[1]], "lr": 1e-3, "weight_decay": 0.0},
        ],
        betas=(0.8, 0.95),
        eps=1e-6,
        fused=False,
        foreach=False,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(plain, lambda step: 1 / (step + 1))
    for step in range(20):
        gradients = [torch.randn_like(parameter) for parameter in ours]
        for mine, other, gradient in zip(ours, theirs, gradients, strict=True):
            mine.grad, other.grad = gradient.clone(), gradient.clone()
        norm = optimiser.step(1 / (step + 1))
        assert norm == pytest.approx(math.sqrt(sum(g.square().sum().item() for g in gradients)), rel=1e-5)
        torch.nn.utils.clip_grad_norm_(theirs, 0.5)
        plain.step()
        scheduler.step()
        assert all(parameter.grad is None for parameter in ours)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_a_restored_optimiser_goes_on_bit_by_bit() -> None:
    def made() -> tuple[torch.nn.Parameter, Optimiser]:
        parameter = torch.nn.Parameter(torch.arange(6.0))
        group = {"params": [parameter], "lr": 0.1, "weight_decay": 0.01, "name": "p"}
        return parameter, Optimiser([group], {parameter: "p"}, OptimiserSettings(rate=0.1))

    gradients = torch.randn(10, 6, generator=torch.Generator().manual_seed(2))
    whole_run, optimiser = made()
    for gradient in gradients[:5]:
        whole_run.grad = gradient.clone()
        optimiser.step(1.0)
    state = {name: tensor.clone() for name, tensor in optimiser.state().items()}
    resumed, other = made()
    with torch.no_grad():
        resumed.copy_(whole_run)
    other.restore(state)
    for gradient in gradients[5:]:
        for parameter, each in ((whole_run, optimiser), (resumed, other)):
            parameter.grad = gradient.clone()
            each.step(0.5)
    assert torch.equal(whole_run, resumed)


# --- seeds


def test_a_step_draws_what_its_place_says() -> None:
    def draws(*place: int) -> tuple[float, float, float]:
        seed_step(*place)
        return random.random(), float(np.random.random()), torch.rand(1).item()

    first = draws(1, 0, 5, 0)
    assert draws(1, 0, 5, 0) == first
    others = {draws(1, 0, 5, 0), draws(2, 0, 5, 0), draws(1, 1, 5, 0), draws(1, 0, 6, 0), draws(1, 0, 5, 1)}
    assert len(others) == 5
    assert len({draw[2] for draw in others}) == 5


# --- folders and checkpoints


def half_written(path: Path) -> None:
    path.write_text("half")
    raise OSError("no space")


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no space"), whole(tmp_path / "a") as partial:
        half_written(partial / "x")
    assert not list(tmp_path.iterdir())
    with whole(tmp_path / "a") as partial:
        (partial / "x").write_text("all")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a" / "x").read_text() == "all"
    with pytest.raises(FileExistsError), whole(tmp_path / "a"):
        pass
    (tmp_path / f"b{PARTIAL}").mkdir()
    sweep(tmp_path)
    remove(tmp_path / "a")
    remove(tmp_path / "never")
    assert not list(tmp_path.iterdir())


def test_the_file_that_marks_a_folder_comes_last(tmp_path: Path) -> None:
    source, target = tmp_path / "new", tmp_path / "model"
    for folder, word in ((source, "new"), (target, "old")):
        (folder / "sub").mkdir(parents=True)
        for name in ("config.json", "model.safetensors", "sub/x"):
            (folder / name).write_text(word)
    (target / "log").write_text("stays")
    move_in(source, target, "config.json")
    assert {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()} == {
        "config.json": "new", "model.safetensors": "new", "sub/x": "new", "log": "stays"
    }  # fmt: skip
    assert not source.exists()


def test_checkpoints_come_back_bit_by_bit_and_only_the_last_stay(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7.0), "c": torch.randn(6)[::2]}
    for step in (10, 20, 30):
        write_checkpoint(tmp_path, Place(0, step), {"weights": tensors}, {"log": step, "score": 0.1 + 0.2}, keep=2)
    assert [place for place, _ in checkpoints(tmp_path)] == [(0, 20), (0, 30)]
    found = latest(tmp_path)
    assert found is not None
    groups, state = read_checkpoint(found[1])
    assert state == {"log": 30, "score": 0.1 + 0.2}
    assert all(torch.equal(groups["weights"][name], tensor) for name, tensor in tensors.items())
    assert not [path for path in found[1].iterdir() if path.suffix not in (".json", ".safetensors")], "no pickles"


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, Place(0, 1), {"weights": {"a": torch.zeros(100)}}, {}, keep=1)
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(TrainingError, match=rf"{path} cannot be read .* remove it to go on from the checkpoint before"):
        read_checkpoint(path)


WRITER = """
import sys, torch
from pathlib import Path
from crumb.training.checkpoint import Place, write_checkpoint
step = 0
while True:
    step += 1
    weights = {"a": torch.full((200_000,), float(step)), "b": torch.full((10,), float(step))}
    write_checkpoint(Path(sys.argv[1]), Place(0, step), {"weights": weights}, {"step": step}, keep=2)
"""


def test_at_any_moment_every_checkpoint_is_whole(tmp_path: Path) -> None:
    """What a stopped writer has on disk is what a killed one would leave; it is killed in the end."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
    partials, seen = 0, set()
    try:
        while len(checkpoints(tmp_path)) < 2:
            time.sleep(0.01)
            assert writer.poll() is None
        for moment in range(60):
            time.sleep(0.0007 * (moment % 11))
            writer.send_signal(signal.SIGSTOP)
            partials += any(tmp_path.glob(f"*{PARTIAL}"))
            found = checkpoints(tmp_path)
            assert found
            for place, path in found:
                groups, state = read_checkpoint(path)
                assert state["step"] == place.step
                assert all(bool((tensor == place.step).all()) for tensor in groups["weights"].values())
                seen.add(place)
            writer.send_signal(signal.SIGCONT)
    finally:
        writer.kill()
        writer.wait()
    assert partials, "some moments fall into a write"
    assert len(seen) > 5
    sweep(tmp_path)
    assert not list(tmp_path.glob(f"*{PARTIAL}"))


# --- a step


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    return write_model(tmp_path_factory.mktemp("step") / "base", texts)


def make_batch(texts: list[str], examples: int, negatives: int) -> Batch:
    words = " ".join(texts).split()
    pieces = iter(" ".join(words[i * 9 : i * 9 + 3 + i % 7]) for i in range(1000))
    return Batch(
        0,
        "made",
        tuple(
            Example(next(pieces), next(pieces), tuple(next(pieces) for _ in range(negatives))) for _ in range(examples)
        ),
    )


def stage_of(chunk: int | None, **changes: object) -> Stage:
    source = SourceSettings("x", "CC0", "0" * 64)
    batch = BatchSettings(size=8, chunk=chunk)
    return Stage("s", "contrastive", (source,), 1, OptimiserSettings(rate=1e-3), batch, **changes)  # type: ignore[arg-type]


def seeded(step: Step, batch: Batch) -> Done:
    seed_step(3)
    return step(batch)


def gradients(base: Path, batch: Batch, loss: object, chunk: int | None, dropout: float = 0.0) -> tuple[float, dict]:
    encoder = Encoder.from_folder(base, dropout=dropout, activations="float32").train()
    step = Step(encoder, encoder, as_layerwise(make(loss)), stage_of(chunk), ALONE)
    done = seeded(step, batch)
    tokens = encoder.tokenize(batch.texts())
    assert (done.tokens, done.cut) == (tokens.tokens, tokens.cut)
    return done.loss, {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}


LOSSES = [
    "contrastive",
    {"name": "matryoshka", "dimensions": [32, 8], "loss": "contrastive"},
    {"name": "layerwise", "loss": {"name": "filtered", "loss": "contrastive"}},
]


@pytest.mark.parametrize("loss", LOSSES, ids=["contrastive", "matryoshka", "layerwise"])
@settings(deadline=None, max_examples=5)
@given(examples=st.integers(2, 9), negatives=st.integers(0, 2), chunk=st.integers(1, 12))
def test_cached_gradients_are_the_plain_ones(
    base: Path, texts: list[str], loss: object, examples: int, negatives: int, chunk: int
) -> None:
    batch = make_batch(texts, examples, negatives)
    whole_loss, expected = gradients(base, batch, loss, None)
    cached_loss, found = gradients(base, batch, loss, chunk)
    assert cached_loss == pytest.approx(whole_loss, rel=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_a_step_computes_the_loss_of_the_texts_in_their_order(base: Path, texts: list[str]) -> None:
    batch = make_batch(texts, 6, 2)
    encoder = Encoder.from_folder(base, activations="float32")
    one_by_one = torch.cat([encoder(encoder.tokenize([text]))[2] for text in batch.texts()])
    wanted = make("contrastive")(Embedded.of_rows(one_by_one, 2), Targets())  # type: ignore[arg-type]
    loss, _ = gradients(base, batch, "contrastive", None)
    assert loss == pytest.approx(wanted.item(), rel=1e-5)


def test_with_dropout_a_chunk_is_the_same_both_times(base: Path, texts: list[str]) -> None:
    """Gradients through cached vectors are right only if both passes drop alike: against finite differences."""
    batch = make_batch(texts, 4, 0)
    _, found = gradients(base, batch, "contrastive", 3, dropout=0.3)
    name = "encoder.layer.1.output.dense.bias"

    def loss_at(shift: float) -> float:
        encoder = Encoder.from_folder(base, dropout=0.3, activations="float32").train()
        with torch.no_grad():
            dict(encoder.named_parameters())[name][5] += shift
        return seeded(Step(encoder, encoder, as_layerwise(make("contrastive")), stage_of(3), ALONE), batch).loss

    slope = (loss_at(1e-2) - loss_at(-1e-2)) / 2e-2
    assert found[name][5].item() == pytest.approx(slope, rel=2e-2)


def test_prompts_stand_before_queries_and_before_the_others(base: Path, texts: list[str]) -> None:
    batch = make_batch(texts, 3, 1)
    encoder = Encoder.from_folder(base, activations="float32")
    prompted = [*(f"ask: {t}" for t in batch.texts()[:3]), *(f"text: {t}" for t in batch.texts()[3:])]
    rows = encoder(encoder.tokenize(prompted))[2]
    wanted = make("contrastive")(Embedded.of_rows(rows, 1), Targets()).item()  # type: ignore[arg-type]
    stage = stage_of(None, query_prompt="ask: ", positive_prompt="text: ")
    step = Step(encoder, encoder, as_layerwise(make("contrastive")), stage, ALONE)
    assert step(batch).loss == pytest.approx(wanted, rel=1e-5)


def test_tokens_cut_off_are_counted(base: Path, texts: list[str]) -> None:
    batch = make_batch(texts, 4, 1)
    encoder = Encoder.from_folder(base, activations="float32")
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(batch.texts())]
    lost = sum(max(length - 9, 0) for length in lengths)
    assert lost > 0
    done = Step(encoder, encoder, as_layerwise(make("contrastive")), stage_of(None, cut=9), ALONE)(batch)
    assert (done.tokens, done.cut) == (sum(lengths) - lost, lost)


def test_groups_that_are_frozen_do_not_move(base: Path, texts: list[str]) -> None:
    from crumb.training.encoder import freeze

    encoder = Encoder.from_folder(base, activations="float32").train()
    freeze(encoder, ["word", "positions"])
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    groups = parameter_groups(encoder, 1e-2, rates={"layer.1": 1e-5})
    names = {p: name for name, p in encoder.named_parameters() if p.requires_grad}
    optimiser = Optimiser(groups, names, OptimiserSettings(rate=1e-2))
    step = Step(encoder, encoder, as_layerwise(make("contrastive")), stage_of(None), ALONE)
    step(make_batch(texts, 6, 0))
    optimiser.step(1.0)
    moved = {name: (p - before[name]).abs().max().item() for name, p in encoder.named_parameters()}
    assert moved["embeddings.word_embeddings.weight"] == 0
    assert moved["embeddings.position_embeddings.weight"] == 0
    assert moved["encoder.layer.0.output.dense.weight"] > 5e-3
    assert 0 < moved["encoder.layer.1.output.dense.weight"] < 2e-5


def test_skips_place_texts_anywhere_and_anchors_pull_back(tmp_path: Path, texts: list[str]) -> None:
    base = write_model(tmp_path / "base", texts)
    encoder = Encoder.from_folder(base, context=256, positions="tile", activations="float32").train()
    assert encoder.embeddings.new_positions is not None
    new = encoder.embeddings.new_positions.weight
    stage = stage_of(None, skips=SkipSettings("chunks"), anchors={"positions": 0.5})
    step = Step(encoder, encoder, as_layerwise(make("contrastive")), stage, ALONE)
    rows, batch = encoder.embeddings.position_embeddings.weight, make_batch(texts, 9, 1)

    def gradient_of(step: Step) -> tuple[Done, torch.Tensor]:
        encoder.zero_grad()
        done = seeded(step, batch)
        assert rows.grad is not None
        return done, rows.grad.clone()

    done, _ = gradient_of(step)
    assert done.parts == {"anchor positions": 0}
    assert new.grad is not None
    assert len(new.grad.abs().sum(1).nonzero()) > 60, "short texts have reached many of the 192 new rows"
    with torch.no_grad():
        rows -= 0.01
    pulled, with_anchor = gradient_of(step)
    plain, without = gradient_of(
        Step(encoder, encoder, as_layerwise(make("contrastive")), replace(stage, anchors={}), ALONE)
    )
    assert pulled.parts["anchor positions"] == pytest.approx(0.5 * rows.numel() * 0.01**2, rel=1e-3)
    assert pulled.loss == pytest.approx(plain.loss + pulled.parts["anchor positions"])
    torch.testing.assert_close(with_anchor - without, torch.full_like(rows, 2 * 0.5 * -0.01), atol=1e-5, rtol=1e-3)
