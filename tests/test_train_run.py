"""`crumb train` as people run it: real processes that are killed, interrupted, resumed, and several at once."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import can_be_interrupted
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from training_recipe import plain_recipe, write_recipe

import crumb
from crumb.cli import main
from crumb.evaluation.beir import read_retrieval_set
from crumb.training.folders import PARTIAL

Run = Callable[..., subprocess.CompletedProcess[str]]
Event = dict[str, Any]


@pytest.fixture(scope="module")
def env(crumb_env: dict[str, str]) -> dict[str, str]:
    # tiny products gain nothing from threads, and lose much where other tests run beside them
    return {**crumb_env, "OMP_NUM_THREADS": "1", "CRUMB_THREADS": "1"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A folder with data, recipe.yaml of two stages with everything that has a state, and short.yaml."""
    folder = tmp_path_factory.mktemp("train")
    recipe = plain_recipe(folder, texts)
    first = recipe["stages"][0]
    longer = {"context": 128, "positions": "tile", "anchors": {"positions": 0.1}}
    write_recipe(folder, {**recipe, "stages": [{**first, **longer}]}, "short.yaml")
    first |= {
        "steps": 24,
        "batch": {"size": 8, "chunk": 6},
        "averaging": 0.9,
        "evaluation": {"sets": [{"path": "set"}], "every": 8, "keep": "best"},
        "checkpoints": {"every": 2, "keep": 2},
    }
    second = {
        **first,
        **longer,
        "name": "angle",
        "skips": {"kind": "chunks"},
        "loss": ["angle-0.6", {"name": "matryoshka", "dimensions": [32, 16], "loss": "contrastive"}],
        "freeze": ["word"],
        "cut": 24,
        "averaging": None,
        "schedule": {"kind": "cosine", "warmup": 3},
        "evaluation": {"sets": [{"path": "set"}], "every": 8, "keep": "last"},
    }
    recipe["stages"] = [first, second]
    write_recipe(folder, recipe)
    return folder


@pytest.fixture(scope="module")
def train(env: dict[str, str], home: Path) -> Run:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(home, *args), env=env, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
        )

    return run


def command(home: Path, *args: str, recipe: str = "recipe.yaml") -> list[str]:
    return [sys.executable, "-m", "crumb.cli", "train", str(home / recipe), *args]


@pytest.fixture(scope="module")
def reference(home: Path, train: Run) -> Path:
    """The run that nobody stopped."""
    done = train("--out", str(home / "reference"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(home / "reference")
    return home / "reference"


def events(out: Path, *kinds: str) -> list[Event]:
    lines = (out / "training" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] in kinds]


def curve(out: Path) -> list[Any]:
    """What must not change: every step's loss, parts, rates, gradient and source, and every evaluation."""
    return [{k: v for k, v in e.items() if k != "seconds"} for e in events(out, "step", "evaluation", "result")]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def steps_done(out: Path) -> int:
    path = out / "training" / "log.jsonl"
    return path.read_text(encoding="utf-8").count('"event": "step"') if path.exists() else 0


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def start(env: dict[str, str], home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `crumb train` without waiting for its end."""
    started: list[subprocess.Popen[str]] = []

    def run(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(home, *args, "--no-tensorboard"),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            preexec_fn=can_be_interrupted,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_result_is_a_model_folder(reference: Path, texts: list[str]) -> None:
    theirs = SentenceTransformer(str(reference), device="cpu").encode(texts[:20], normalize_embeddings=True)
    ours = crumb.load(reference, precision="float32").encode(texts[:20], truncation="end")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    left = {path.name for path in (reference / "training").iterdir()}
    assert left == {"log.jsonl", "loss.svg", "rate.svg", "evaluation.svg", "tensorboard", "stages"}
    assert not list(reference.rglob(f"*{PARTIAL}"))


def test_training_learns(reference: Path) -> None:
    scores = [event["mean"] for event in events(reference, "evaluation") if event["stage"] == 0]
    assert max(scores) > scores[0] + 0.02, "nDCG@10 of the base, and after"
    losses = [event["loss"] for event in events(reference, "step") if event["stage"] == 0]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def ndcg(folder: Path, home: Path) -> float:
    """Mean nDCG@10 of a model folder on the set, by sentence-transformers and a sum."""
    data = read_retrieval_set(home / "set")
    model = SentenceTransformer(str(folder), device="cpu")
    documents = model.encode(list(data.corpus.values()), normalize_embeddings=True)
    queries = model.encode(list(data.queries.values()), normalize_embeddings=True)
    gains = []
    for row, query in zip(queries @ documents.T, data.queries, strict=True):
        ranking = [list(data.corpus)[i] for i in np.argsort(-row, kind="stable")[:10]]
        right = next(iter(data.qrels[query]))
        gains.append(1 / math.log2(2 + ranking.index(right)) if right in ranking else 0.0)
    return float(np.mean(gains))


def test_an_evaluation_is_what_sentence_transformers_would_find(reference: Path, home: Path) -> None:
    """The last evaluation scored the weights that are the result, since keep is "last"."""
    assert events(reference, "evaluation")[-1]["scores"]["set"] == pytest.approx(ndcg(reference, home), abs=2e-3)


def test_the_best_weights_are_kept(reference: Path, home: Path) -> None:
    first = [event for event in events(reference, "evaluation") if event["stage"] == 0]
    best = max(first, key=lambda event: event["mean"])
    kept = events(reference, "result")
    assert (kept[0]["kept_step"], kept[1]["kept_step"]) == (best["step"], 24)
    stages = reference / "training" / "stages"
    assert ndcg(stages / "00-contrastive", home) == pytest.approx(best["mean"], abs=2e-3)
    assert sha256(stages / "01-angle" / "model.safetensors") == sha256(reference / "model.safetensors")


def test_frozen_words_stay_in_the_second_stage(reference: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    before = load_file(reference / "training" / "stages" / "00-contrastive" / "model.safetensors")
    after = load_file(reference / "model.safetensors")
    assert np.array_equal(before[name], after[name])
    assert not np.array_equal(
        before["encoder.layer.0.output.dense.weight"], after["encoder.layer.0.output.dense.weight"]
    )


def test_the_card_and_the_resolved_recipe_tell_what_was_done(reference: Path) -> None:
    card = (reference / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["base_model"] == "base"
    digest = yaml.safe_load((reference / "recipe.yaml").read_text())["stages"][0]["sources"][0]["sha256"]
    assert f"| pairs | contrastive | 121 | CC0-1.0 | `{digest[:16]}…` |" in card
    result = events(reference, "result")[1]
    assert f"24 steps, {result['tokens']:,} tokens" in card
    last = events(reference, "evaluation")[-1]
    assert f"{100 * last['mean']:.2f}" in card
    for name in ("tokens", "cut"):
        assert sum(event[name] for event in events(reference, "step") if event["stage"] == 1) == result[name] > 0
    assert f"; {result['cut']:,} more cut off longer texts" in card


def test_tensorboard_has_the_same_figures(reference: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(reference / "training" / "tensorboard"))
    board.Reload()
    logged = [event["loss"] for event in events(reference, "step")]
    shown = board.Scalars("loss/loss")
    assert [event.step for event in shown] == list(range(1, 49))
    np.testing.assert_allclose([event.value for event in shown], logged, rtol=1e-6)
    means = [event["mean"] for event in events(reference, "evaluation")]
    # two evaluations share a step: the end of a stage and the beginning of the next
    np.testing.assert_allclose([event.value for event in board.Scalars("ndcg@10/mean")], means, rtol=1e-6)


def test_killed_again_and_again_it_is_the_same_run(
    home: Path, reference: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    out = home / "killed"
    checkpoints = out / "training" / "checkpoints"

    def kill_when(ready: Callable[[], bool]) -> None:
        process = start("--out", str(out), "--resume")
        wait_for(ready, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    kill_when(lambda: steps_done(out) >= 7)
    first = steps_done(out)
    assert first < 48

    # Stopped first, so that what is seen is what is killed.
    process = start("--out", str(out), "--resume")
    for _ in range(10_000):
        wait_for(lambda: any(checkpoints.glob(f"*{PARTIAL}")), process)
        process.send_signal(signal.SIGSTOP)
        if any(checkpoints.glob(f"*{PARTIAL}")):
            break
        process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(checkpoints.glob(f"*{PARTIAL}")), "killed while a checkpoint was being written"

    kill_when(lambda: steps_done(out) >= 33)
    assert not (out / "config.json").exists(), "a run that is not done is no model"

    process = start("--out", str(out), "--resume")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert curve(out) == curve(reference)
    assert sha256(out / "model.safetensors") == sha256(reference / "model.safetensors")
    assert (out / "README.md").read_bytes() == (reference / "README.md").read_bytes()
    assert (out / "training" / "loss.svg").read_bytes() == (reference / "training" / "loss.svg").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(
    home: Path, reference: Path, start: Callable[..., subprocess.Popen[str]], number: int
) -> None:
    out = home / f"signal{number}"
    process = start("--out", str(out), "--set", "stages[0].checkpoints.every=1000")
    wait_for(lambda: steps_done(out) >= 5, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "stopped after a checkpoint; the same command with --resume goes on" in stderr
    assert "Traceback" not in stderr
    done = steps_done(out)
    assert [path.name for path in (out / "training" / "checkpoints").iterdir()] == [f"stage00-step{done:08d}"]
    assert [e["loss"] for e in events(out, "step")] == [e["loss"] for e in events(reference, "step")][:done]


@pytest.fixture
def here(home: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str]]]:
    """The command in this process: its exit code, and what it said on stderr."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(*args: str, recipe: str = "recipe") -> tuple[int, str]:
        code = main(["train", str(home / f"{recipe}.yaml"), "--no-tensorboard", *args])
        return code, capsys.readouterr().err

    yield run
    torch.set_num_threads(threads)


Here = Callable[..., tuple[int, str]]


def test_a_folder_that_holds_something_else_is_refused(home: Path, reference: Path, here: Here, tmp_path: Path) -> None:
    before = sha256(reference / "model.safetensors")
    code, said = here("--out", str(reference))
    assert (code, "holds a run already: go on with --resume" in said) == (1, True)
    code, said = here("--out", str(reference), "--resume", "--set", "seed=8")
    assert (code, "holds a run of another recipe, with another seed: name another" in said) == (1, True)
    (tmp_path / "thesis.txt").write_text("precious")
    code, said = here("--out", str(tmp_path))
    assert (code, "is not empty, and holds no run" in said) == (1, True)
    assert here("--out", str(reference), "--resume") == (0, ""), "done already: nothing to do"
    assert sha256(reference / "model.safetensors") == before


def test_a_loss_that_is_not_finite_ends_the_run(here: Here, tmp_path: Path) -> None:
    code, said = here("--out", str(tmp_path / "out"), "--set", "stages[0].optimiser.rate=1e30")
    assert code == 1
    assert "the loss is nan at step" in said
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_result_between_the_beginning_and_the_end(home: Path, tmp_path: Path, here: Here) -> None:
    """The trained weights of two equal runs, one of which keeps a quarter of the way."""
    found = {}
    for share in ("1.0", "0.25"):
        code, said = here(
            "--out", str(tmp_path / share), "--steps", "4", "--set", f"stages[0].interpolation={share}",
            "--set", "stages[0].evaluation.keep=last", "--set", "stages[1].evaluation=null",
        )  # fmt: skip
        assert code == 0, said
        found[share] = load_file(tmp_path / share / "training" / "stages" / "00-contrastive" / "model.safetensors")
    base = load_file(home / "base" / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    assert np.abs(found["1.0"][name] - base[name]).max() > 1e-4
    for name, array in found["0.25"].items():
        np.testing.assert_allclose(array, 0.75 * base[name] + 0.25 * found["1.0"][name], atol=1e-6, err_msg=name)


def test_patience_ends_a_stage(home: Path, tmp_path: Path, here: Here) -> None:
    """A rate that ruins the model: nothing is better than the base, which is then the result."""
    code, said = here(
        "--out", str(tmp_path / "out"), "--set", "stages[0].optimiser.rate=0.05",
        "--set", "stages[0].evaluation.patience=1", "--steps", "16", "--set", "stages[0].averaging=null",
        "--set", "stages[1].evaluation=null",
    )  # fmt: skip
    assert code == 0, said
    first = [event for event in events(tmp_path / "out", "step") if event["stage"] == 0]
    assert len(first) == 8
    result = events(tmp_path / "out", "result")[0]
    assert (result["step"], result["kept_step"]) == (8, 0)
    base = load_file(home / "base" / "model.safetensors")
    kept = load_file(tmp_path / "out" / "training" / "stages" / "00-contrastive" / "model.safetensors")
    assert all(np.array_equal(base[name], kept[name]) for name in kept)
    assert "No step of this stage was better" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


# What one process and several do alike: nothing is left to chance, and no batch is cut short.
ALIKE = ["--no-tensorboard"]
for setting in ("dropout=0", "optimiser.epsilon=1e-4", "sources[0].limit=120"):
    ALIKE += ["--set", f"stages[0].{setting}"]


def assert_alike(run: Path, expected: Path) -> None:
    """Every loss and every weight of two runs of short.yaml, up to rounding."""
    losses = [[event["loss"] for event in events(folder, "step")] for folder in (run, expected)]
    assert len(losses[0]) == 12
    np.testing.assert_allclose(*losses, rtol=1e-4)
    weights = load_file(run / "model.safetensors")
    for name, array in load_file(expected / "model.safetensors").items():
        np.testing.assert_allclose(weights[name], array, atol=1e-4, err_msg=name)


def launch(processes: int, home: Path, *args: str) -> list[str]:
    """short.yaml in so many processes."""
    train = command(home, *args, recipe="short.yaml")
    if processes == 1:
        return train
    spread = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [train[0], *spread, *train[1:]]


@pytest.mark.parametrize(
    "settings",
    [
        ("--set", "stages[0].batch={size: 8, chunk: 3}", "--set", "stages[0].averaging=0.9"),
        ("--shard", "--set", "stages[0].averaging=0.9", "--set", "stages[0].checkpoints={every: 5}"),
    ],
    ids=["ddp-cached", "fsdp"],
)
def test_two_processes_learn_what_one_does(
    home: Path, env: dict[str, str], tmp_path: Path, here: Here, settings: tuple[str, ...]
) -> None:
    """The same global batch (120 pairs are full batches of 8): every loss and every weight, up to rounding."""
    code, said = here("--out", str(tmp_path / "one"), *ALIKE, *[s for s in settings if s != "--shard"], recipe="short")
    assert code == 0, said
    train = launch(2, home, "--out", str(tmp_path / "two"), *ALIKE, *settings)
    two = subprocess.run(train, env=env, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)
    assert two.returncode == 0, two.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "one"] == ["two"]
    assert events(tmp_path / "two", "begin")[0]["processes"] == 2
    assert_alike(tmp_path / "two", tmp_path / "one")
    norms = [[event["gradient_norm"] for event in events(tmp_path / name, "step")] for name in ("one", "two")]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("first", "then", "shard"), [(1, 2, False), (2, 1, True)], ids=["one, two", "two by FSDP, one"]
)
def test_a_run_goes_on_in_another_number_of_processes(
    home: Path, env: dict[str, str], tmp_path: Path, here: Here, first: int, then: int, shard: bool
) -> None:
    every = ["--set", "stages[0].checkpoints={every: 2, keep: 1}", "--set", "stages[0].averaging=0.9"]
    code, said = here("--out", str(tmp_path / "whole"), *ALIKE, *every, recipe="short")
    assert code == 0, said
    out = tmp_path / "parts"
    args = ["--out", str(out), "--resume", *ALIKE, *every]
    begun = subprocess.Popen(
        launch(first, home, *args, *(["--shard"] if shard else [])),
        env=env, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    wait_for(lambda: steps_done(out) >= 5, begun)
    begun.terminate()  # torchrun passes it on
    begun.communicate(timeout=60)
    assert 4 <= steps_done(out) < 12
    ended = subprocess.run(
        launch(then, home, *args), env=env, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert [event["processes"] for event in events(out, "begin", "resume")] == [first, then]
    assert_alike(out, tmp_path / "whole")
