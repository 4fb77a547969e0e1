"""Tokens a second of whole training steps, beside sentence-transformers': `python -m benchmarks.training_speed PAIRS…`.

Enters: files of pairs as JSON lines ("query", "positive"), gzipped or not; without one, titles and abstracts of
tests/data. Leaves: a table, or JSON with --json. A step is everything from texts to new weights: tokens, forward,
in-batch contrastive loss, backward, clipping, AdamW (fused in both). Every runner has a process of its own and all take
the same batch in turn; the first step of each warms up. Tokens are real ones: padding does not count.
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
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn import functional

import crumb
from benchmarks.report import line_of, machine, versions
from benchmarks.texts import records, rows
from crumb.training.encoder import Encoder, freeze, parameter_groups
from crumb.training.memory import keep_freed_memory

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


def measure(names: list[str], task: Task) -> dict[str, float]:
    """Median tokens a second of each runner."""
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
    return {name: statistics.median(found) for name, found in rates.items()}


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
    results = []
    for path in args.pairs or [None]:
        name, batches = read(path, args.batch, args.steps + 1)
        task = Task(folder, args.context, batches, args.threads, args.clock)
        ratio, rates = padded(task), measure(args.runners, task)
        results.append({"pairs": name, "padded": ratio, **rates})
        if not args.json:
            first = rates[args.runners[0]]
            shown = ", ".join(f"{runner} {rate:.0f} ({rate / first:.2f})" for runner, rate in rates.items())
            print(f"{name}: {ratio:.2f} tokens with padding for each; tokens/s: {shown}", flush=True)
    if args.json:
        print(json.dumps({"machine": header, "batch": args.batch, "clock": args.clock, "results": results}))


if __name__ == "__main__":
    main()
