"""Tokens a second of whole training steps, beside sentence-transformers': `python -m benchmarks.training_speed PAIRS…`.

Enters: files of pairs as JSON lines ("query", "positive"), gzipped or not; without one, titles and abstracts of
tests/data. Leaves: a table, or JSON with --json. A step is everything from texts to new weights: tokens, forward,
in-batch contrastive loss, backward, AdamW (fused in both), over the same batches in turn. Tokens are real ones: padding
does not count. sentence-transformers' trainer needs accelerate besides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

import crumb
from benchmarks.report import line_of, machine, versions
from benchmarks.texts import records, rows
from crumb.training.encoder import Encoder, freeze, parameter_groups

_SCALE = 20.0
_RATE = 2e-5
_DECAY = 0.0


@dataclass(frozen=True)
class Pairs:
    """Batches of (query, positive), all of one size, and the tokens of each batch."""

    name: str
    batches: list[list[tuple[str, str]]]
    tokens: list[int]


def read(path: Path | None, size: int, count: int, encoder: Encoder) -> Pairs:
    """The first `count` batches of a file, or of the abstracts of the tests (repeated as often as needed)."""
    if path is None:
        name = "tests/data"
        texts = [row["text"] for row in rows() if row["source"] == "arxiv"]
        found: Iterator[tuple[str, str]] = iter(list(zip(texts[::2], texts[1::2], strict=False)) * (size * count))
    else:
        name = path.parent.name
        found = ((row["query"], row["positive"]) for row in records(path))
    pairs = [pair for pair, _ in zip(found, range(size * count), strict=False)]
    batches = [pairs[i : i + size] for i in range(0, len(pairs) - size + 1, size)]
    if len(batches) < count:
        raise SystemExit(f"{name} has {len(pairs)} pairs, fewer than {count} batches of {size}")
    tokens = [encoder.tokenize([text for pair in batch for text in pair]).tokens for batch in batches]
    return Pairs(name, batches, tokens)


class Ours:
    """crumb's encoder in a plain loop."""

    def __init__(self, folder: Path, context: int, frozen: list[str], dropout: float) -> None:
        self.encoder = Encoder.from_folder(folder, context=context, dropout=dropout).train()
        freeze(self.encoder, frozen)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.encoder, _RATE, weight_decay=_DECAY), fused=True)

    def run(self, batches: list[list[tuple[str, str]]]) -> list[float]:
        """Seconds of each step."""
        seconds = []
        for batch in batches:
            started = time.perf_counter()
            tokens = self.encoder.tokenize([query for query, _ in batch] + [positive for _, positive in batch])
            (vectors,) = self.encoder(tokens).values()
            unit = functional.normalize(vectors, dim=1)
            scores = _SCALE * unit[: len(batch)] @ unit[len(batch) :].T
            functional.cross_entropy(scores, torch.arange(len(batch))).backward()
            torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)
        return seconds


class Theirs:
    """SentenceTransformerTrainer with MultipleNegativesRankingLoss, as its documentation has it."""

    def __init__(self, folder: Path, context: int, output: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self.model.max_seq_length = context
        self.output = output

    def run(self, batches: list[list[tuple[str, str]]]) -> list[float]:
        """Seconds of each step, from one step's end to the next's, so that what happens between steps is in."""
        from datasets import Dataset
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
        from sentence_transformers.base.sampler import DefaultBatchSampler
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
        from torch.utils.data import SequentialSampler
        from transformers import TrainerCallback

        ends: list[float] = []

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *_: Any, **__: Any) -> None:
                ends.append(time.perf_counter())

        def in_order(dataset: Any, **settings: Any) -> Any:
            return DefaultBatchSampler(SequentialSampler(dataset), **settings)

        batches = batches[:1] + batches  # whose time has no beginning
        columns = {
            "anchor": [query for batch in batches for query, _ in batch],
            "positive": [positive for batch in batches for _, positive in batch],
        }
        settings = SentenceTransformerTrainingArguments(
            output_dir=self.output,
            num_train_epochs=1,
            per_device_train_batch_size=len(batches[0]),
            learning_rate=_RATE,
            weight_decay=_DECAY,
            batch_sampler=in_order,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        SentenceTransformerTrainer(
            model=self.model,
            args=settings,
            train_dataset=Dataset.from_dict(columns),
            loss=MultipleNegativesRankingLoss(self.model, scale=_SCALE),
            callbacks=[Clock()],
        ).train()
        return [after - before for before, after in pairwise(ends)]


def measure(pairs: Pairs, runners: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median tokens a second of each runner: every round gives the same batches to all in turn, the first warms up."""
    made = {name: make() for name, make in runners.items()}
    rates: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(rounds + 1):
        chosen = [turn % len(pairs.batches), (turn + 1) % len(pairs.batches)]
        for name, runner in made.items():
            seconds = runner.run([pairs.batches[i] for i in chosen])
            if turn:
                rates[name] += [pairs.tokens[i] / s for i, s in zip(chosen, seconds, strict=True)]
    return {name: statistics.median(found) for name, found in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", type=Path, help="JSON lines with query and positive")
    parser.add_argument("--model", default=None)
    parser.add_argument("--batch", type=int, default=64, help="pairs a step")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=None, help="runners by name, separated by commas")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    folder = crumb.load(args.model).contract.folder
    results = []
    header = machine(torch.get_num_threads())
    if not args.json:
        print(line_of(header), versions(("torch", "transformers", "sentence-transformers")), sep="\n")
    with tempfile.TemporaryDirectory() as output:
        runners: dict[str, Callable[[], Any]] = {
            "sentence-transformers": lambda: Theirs(folder, args.context, output),
            "crumb": lambda: Ours(folder, args.context, [], 0.0),
            "crumb, words frozen": lambda: Ours(folder, args.context, ["word"], 0.0),
        }
        if args.only:
            runners = {name: runners[name] for name in args.only.split(",")}
        for path in args.pairs or [None]:
            pairs = read(path, args.batch, 2 + args.rounds, Encoder.from_folder(folder, context=args.context))
            rates = measure(pairs, runners, args.rounds)
            results.append({"pairs": pairs.name, "tokens_a_step": statistics.mean(pairs.tokens), **rates})
            if not args.json:
                base = next(iter(rates.values()))
                shown = ", ".join(f"{name} {rate:.0f} ({rate / base:.2f})" for name, rate in rates.items())
                print(f"{pairs.name}: {statistics.mean(pairs.tokens):.0f} tokens a step; tokens/s: {shown}", flush=True)
    if args.json:
        print(json.dumps({"machine": header, "batch": args.batch, "context": args.context, "results": results}))


if __name__ == "__main__":
    main()
