"""Tokens a second of whole training steps, beside sentence-transformers': `python -m benchmarks.training_speed PAIRS…`.

Enters: files of pairs as JSON lines ("query", "positive"), gzipped or not, or the batches of a recipe's first stage;
without either, titles and abstracts of tests/data. Leaves: a table, or JSON with --json. A step is everything from
texts to new weights: tokens, forward, in-batch contrastive loss, backward, clipping, AdamW (fused in both). Every
runner has a process of its own and all take the same batch in turn; the first step of each warms up. Tokens are real
ones: padding does not count. Rates and ratios to the first runner are medians over steps, with the range of the ratios.
sentence-transformers' trainer needs accelerate besides.

Where a machine is shared, `--threads 1 --clock cpu` still compares: the CPU's seconds of one thread are what it would
take alone, but for the caches that it shares.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn import functional

import crumb
from benchmarks.report import line_of, machine, versions
from benchmarks.texts import records, rows
from crumb.training.check import prepare
from crumb.training.data import Mixture
from crumb.training.encoder import Encoder, freeze, parameter_groups
from crumb.training.memory import keep_freed_memory
from crumb.training.recipe_file import load_recipe

Batches = list[list[tuple[str, str]]]
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}

_SCALE = 20.0
_RATE = 2e-5


def read(path: Path | None, size: int, count: int) -> tuple[str, Batches]:
    """The first `count` batches of a file; of the tests' abstracts, repeated as often as needed."""
    found: Iterator[tuple[str, str]]
    if path is None:
        name = "tests/data"
        texts = [row["text"] for row in rows() if row["source"] == "arxiv"]
        found = cycle(zip(texts[::2], texts[1::2], strict=False))
    else:
        name = path.parent.name
        found = ((row["query"], row["positive"]) for row in records(path))
    pairs = [pair for pair, _ in zip(found, range(size * count), strict=False)]
    batches = [pairs[i : i + size] for i in range(0, len(pairs) - size + 1, size)]
    if len(batches) < count:
        raise SystemExit(f"{name} has {len(pairs)} pairs, fewer than {count} batches of {size}")
    return name, batches


def of_recipe(path: Path, data: Path, size: int, count: int) -> tuple[str, Batches, int | None]:
    """The first `count` full batches of pairs that a recipe's first stage trains on, and where it cuts texts."""
    recipe = load_recipe(path)
    stage = recipe.stages[0]
    prepared = prepare(replace(recipe, stages=(stage,)), (data,))
    mixture = Mixture(prepared.sources(0), size=size, alpha=stage.batch.alpha, seed=recipe.seed)
    # full ones alone: sentence-transformers cuts its rows into batches of one size
    batches = islice((batch for batch in mixture.batches(0) if len(batch) == size), count)
    pairs = [[(example.query, example.positive) for example in batch.examples] for batch in batches]
    return recipe.name, pairs, stage.cut


@dataclass(frozen=True)
class Task:
    """What all runners do."""

    folder: Path
    context: int
    batches: Batches
    threads: int
    clock: str

    def now(self) -> float:
        """Seconds, by the clock that was asked for."""
        return CLOCKS[self.clock]()


def run_ours(pipe: Connection, task: Task, frozen: tuple[str, ...], dropout: float, keep: bool) -> None:
    """crumb's encoder in a plain loop: for each message from `pipe` one step, and its seconds back."""
    torch.set_num_threads(task.threads)
    if keep:
        keep_freed_memory()
    encoder = Encoder.from_folder(task.folder, context=task.context, dropout=dropout).train()
    freeze(encoder, frozen)
    optimizer = torch.optim.AdamW(parameter_groups(encoder, _RATE, weight_decay=0.0), fused=True)

    def step(batch: list[tuple[str, str]]) -> None:
        tokens = encoder.tokenize([query for query, _ in batch] + [positive for _, positive in batch])
        (vectors,) = encoder(tokens).values()
        unit = functional.normalize(vectors, dim=1)
        scores = _SCALE * unit[: len(batch)] @ unit[len(batch) :].T
        functional.cross_entropy(scores, torch.arange(len(batch))).backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step(task.batches[0])
    pipe.send(None)
    for batch in task.batches[1:]:
        pipe.recv()
        started = task.now()
        step(batch)
        pipe.send(task.now() - started)


def run_theirs(pipe: Connection, task: Task, dropout: bool, keep: bool) -> None:
    """SentenceTransformerTrainer with MultipleNegativesRankingLoss, as its documentation has it; answers as `run_ours`.

    Its steps are timed from one's end to the next's, so that the tokens, which it makes between two, count here too.
    """
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    warnings.filterwarnings("ignore")
    if keep:
        keep_freed_memory()
    torch.set_num_threads(task.threads)
    model = SentenceTransformer(str(task.folder), device="cpu", local_files_only=True)
    model.max_seq_length = task.context
    if not dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    class Turns(TrainerCallback):  # type: ignore[misc]  # no types there
        started: float | None = None
        left = len(task.batches)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            pipe.send(None if self.started is None else task.now() - self.started)
            self.left -= 1
            if self.left:
                pipe.recv()
                self.started = task.now()

    def in_order(dataset: Any, **settings: Any) -> Any:
        return DefaultBatchSampler(SequentialSampler(dataset), **settings)

    columns = {
        "anchor": [query for batch in task.batches for query, _ in batch],
        "positive": [positive for batch in task.batches for _, positive in batch],
    }
    with TemporaryDirectory() as output:
        SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=output,
                num_train_epochs=1,
                per_device_train_batch_size=len(task.batches[0]),
                learning_rate=_RATE,
                weight_decay=0.0,
                batch_sampler=in_order,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=Dataset.from_dict(columns),
            loss=MultipleNegativesRankingLoss(model, scale=_SCALE),
            callbacks=[Turns()],
        ).train()


RUNNERS: dict[str, Callable[..., None]] = {
    "sentence-transformers": partial(run_theirs, dropout=True, keep=False),
    "sentence-transformers without dropout": partial(run_theirs, dropout=False, keep=False),
    "sentence-transformers, memory kept": partial(run_theirs, dropout=True, keep=True),
    "crumb": partial(run_ours, frozen=(), dropout=0.0, keep=True),
    "crumb, words frozen": partial(run_ours, frozen=("word",), dropout=0.0, keep=True),
    "crumb with dropout": partial(run_ours, frozen=(), dropout=0.1, keep=True),
    "crumb, memory not kept": partial(run_ours, frozen=(), dropout=0.0, keep=False),
}


def measure(names: list[str], task: Task) -> dict[str, list[float]]:
    """Tokens a second of each runner at each step."""
    encoder = Encoder.from_folder(task.folder, context=task.context)
    tokens = [encoder.tokenize([text for pair in batch for text in pair]).tokens for batch in task.batches]
    processes = multiprocessing.get_context("spawn")
    running = {}
    for name in names:
        here, there = processes.Pipe()
        child = processes.Process(target=RUNNERS[name], args=(there, task), daemon=True)
        child.start()
        there.close()
        running[name] = (here, child)
        here.recv()  # warmed up, before the next begins
    rates: dict[str, list[float]] = {name: [] for name in names}
    for count in tokens[1:]:
        for name, (pipe, _) in running.items():
            pipe.send(None)
            rates[name].append(count / pipe.recv())
    for _, child in running.values():
        child.join()
    return rates


def summary(rates: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Of each runner the median rate, and the median, least and greatest of its ratios to the first runner's rate."""
    first = next(iter(rates.values()))
    found = {}
    for name, own in rates.items():
        ratios = [mine / other for mine, other in zip(own, first, strict=True)]
        found[name] = {
            "tokens_per_second": statistics.median(own),
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
        }
    return found


def padded(task: Task) -> float:
    """Tokens with padding for each real one, where queries and positives are padded to their batch's longest."""
    encoder = Encoder.from_folder(task.folder, context=task.context)
    real = cells = 0
    for batch in task.batches[1:]:
        for side in zip(*batch, strict=True):
            lengths = encoder.tokenize(side).lengths
            real += int(lengths.sum())
            cells += int(lengths.max()) * len(lengths)
    return cells / real


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", type=Path, help="JSON lines with query and positive")
    parser.add_argument("--recipe", type=Path, help="take its first stage's batches instead, and its cut as --context")
    parser.add_argument("--data", type=Path, help="where the recipe's paths begin (default: the recipe's folder)")
    parser.add_argument("--model", default=None)
    parser.add_argument("--batch", type=int, default=64, help="pairs a step")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3, help="measured, after one that warms up")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--runners", nargs="+", choices=RUNNERS, default=["sentence-transformers", "crumb"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = crumb.load(args.model).contract.folder
    header = machine(args.threads)
    if not args.json:
        print(line_of(header), versions(("torch", "transformers", "sentence-transformers")), sep="\n", flush=True)
    context = args.context
    if args.recipe:
        if args.pairs:
            parser.error("--recipe has its own pairs: name either")
        name, batches, cut = of_recipe(args.recipe, args.data or args.recipe.parent, args.batch, args.steps + 1)
        context, found = cut or context, [(name, batches)]
    else:
        found = [read(path, args.batch, args.steps + 1) for path in args.pairs or [None]]
    results = []
    for name, batches in found:
        task = Task(folder, context, batches, args.threads, args.clock)
        ratio, figures = padded(task), summary(measure(args.runners, task))
        results.append({"pairs": name, "padded": ratio, "runners": figures})
        if not args.json:
            shown = ", ".join(
                f"{runner} {own['tokens_per_second']:.0f} "
                f"({own['ratio']:.2f} times, {own['least']:.2f} to {own['greatest']:.2f})"
                for runner, own in figures.items()
            )
            print(f"{name}: {ratio:.2f} tokens with padding for each; tokens/s: {shown}", flush=True)
    if args.json:
        print(json.dumps({"machine": header, "batch": args.batch, "clock": args.clock, "results": results}))


if __name__ == "__main__":
    main()
