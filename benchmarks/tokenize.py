"""Tokens a second beside the tokenizers library: `python -m benchmarks.tokenize [--check FILE...]`.

Enters: the default model and the texts of tests/data. Leaves: after the ids were found equal, rates on one thread and
on several as medians of alternating runs, the time of one query up to the engine's input, and the time to load. With
--check nothing is timed: every string in FILES (lines of JSON, or else of fields between tabs; .gz or not) is tokenised
by both, and texts, tokens and differences are counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Library

from benchmarks.texts import TEXTS
from crumb import store
from crumb.engine.cpu import cpu_name
from crumb.text.tokenizer import Tokenizer
from crumb.text.truncate import fit

_QUERY = "how do embeddings of long documents lose what stands at their end, and who counts it?"
_BATCH = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", nargs="+", type=Path, metavar="FILE", default=None)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    folder = store.resolve(None, fetch=True)
    if args.check:
        check(folder, args.check)
    else:
        measure(folder, args.runs, args.threads)


def check(folder: Path, files: list[Path]) -> None:
    """Compares the ids of all texts; exits with 1 if any differ."""
    tokenizer, library = Tokenizer(folder), _library(folder)
    texts = tokens = different = 0
    for path in files:
        source = _strings(path)
        while batch := list(islice(source, _BATCH)):
            found = tokenizer.encode(batch)
            expected = [e.ids for e in library.encode_batch_fast(batch, add_special_tokens=False)]
            texts += len(batch)
            tokens += sum(map(len, expected))
            for text, ours, theirs in zip(batch, found, expected, strict=True):
                if ours != theirs:
                    different += 1
                    print(f"{path}: {text[:100]!r}: {ours[:20]} is not {theirs[:20]}")
    print(f"{len(files)} files, {texts:,} texts, {tokens:,} tokens, {different:,} texts differ")
    raise SystemExit(bool(different))


def measure(folder: Path, runs: int, threads: int) -> None:
    """Prints rates and times, with their ratios to the library's."""
    tokenizer, library = Tokenizer(folder), _library(folder)
    texts = list(_strings(TEXTS)) * 4
    expected = [e.ids for e in library.encode_batch_fast(texts, add_special_tokens=False)]
    if tokenizer.encode(texts) != expected:
        raise SystemExit("the ids differ: see --check")
    tokens = sum(map(len, expected))

    def query() -> None:
        ids, offsets = tokenizer.ragged([_QUERY])
        fit(ids, offsets, context=256, side="end", prefix=tokenizer.prefix, suffix=tokenizer.suffix)

    works: dict[str, tuple[Callable[[], Any], int]] = {
        "crumb, 1 thread": (lambda: tokenizer.ragged(texts, threads=1), 1),
        f"crumb, {threads} threads": (lambda: tokenizer.ragged(texts, threads=threads), 1),
        "tokenizers": (lambda: library.encode_batch_fast(texts, add_special_tokens=False), 1),
        "query: crumb": (query, 200),
        "query: tokenizers": (lambda: library.encode(_QUERY).ids, 200),
        "load: crumb": (lambda: Tokenizer(folder), 1),
        "load: tokenizers": (lambda: _library(folder), 1),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, (work, repeat) in works.items():
            started = time.perf_counter()
            for _ in range(repeat):
                work()
            times[name].append((time.perf_counter() - started) / repeat)
    print(f"{cpu_name()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, median of {runs} alternating runs")
    print(f"{len(texts):,} texts, {tokens:,} tokens; a query of {len(library.encode(_QUERY).ids)} tokens")
    for name, found in times.items():
        seconds = statistics.median(found)
        rate = f"{tokens / seconds:14,.0f} tokens/s" if ":" not in name else f"{seconds * 1e3:14.3f} ms"
        print(f"{name:20} {rate}  (spread {min(found) / seconds:.2f} to {max(found) / seconds:.2f})")


def _library(folder: Path) -> Library:
    library = Library.from_file(str(folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    return library


def _strings(path: Path) -> Iterator[str]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:  # bytes: a lone \r ends no line
        for line in lines:
            try:
                yield from _leaves(json.loads(line))
            except ValueError:
                yield from line.decode("utf-8").rstrip("\n").split("\t")


def _leaves(value: Any) -> Iterator[str]:
    if not isinstance(value, dict | list):
        yield str(value)
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)


if __name__ == "__main__":
    main()
