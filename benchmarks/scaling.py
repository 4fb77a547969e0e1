"""How encoding grows: `python -m benchmarks.scaling [--tokens 10000000]`.

Enters: nothing but the default model. Leaves three tables: tokens a second on one thread and on two, alternating, at
several lengths of text; the time with fewer layers and dimensions as a share of all; and seconds and peak memory for
1,000 to --tokens tokens in texts of one length, each in a process of its own that keeps no vectors.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import crumb
from benchmarks.report import line_of, machine
from crumb.text.truncate import fit

_LENGTH = 128  # tokens of a text in the second table, special tokens included
_WORD = "banana"  # one token


def text_of(tokens: int) -> str:
    """A text of so many tokens, [CLS] and [SEP] included."""
    return " ".join([_WORD] * (tokens - 2))


def threads_table(model: crumb.Model, runs: int) -> None:
    """One thread beside two, at several lengths."""
    print("\ntokens of a text   1 thread   2 threads   gain")
    for length in (19, 128, 263, 512, 4096):
        texts = [text_of(length)] * max(1, 60_000 // length)
        if length == 4096:
            texts = texts[:1]  # a single long text is shared by the threads too
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(runs):
            for threads, found in rates.items():
                started = time.perf_counter()
                model.encode(texts, threads=threads)
                found.append(len(texts) * length / (time.perf_counter() - started))
        one, two = (statistics.median(found) for found in rates.values())
        alone = "  (one text)" if len(texts) == 1 else ""
        print(f"{length:16,} {one:10,.0f} {two:11,.0f}   {two / one:.2f}x{alone}")


def tokens_table(precision: str, most: int, threads: int) -> None:
    """Time and memory of 1,000 tokens and tenfold each time, up to `most`."""
    print(f"\n{'tokens':>12} {'seconds':>10} {'tokens/s':>10} {'peak MB':>8}   (texts of {_LENGTH} tokens)")
    tokens = 1000
    while tokens <= most:
        command = [sys.executable, "-m", "benchmarks.scaling", "--child", str(tokens), "--precision", precision]
        done = subprocess.run([*command, "--threads", str(threads)], capture_output=True, text=True, check=True)
        seconds, megabytes = map(float, done.stdout.split())
        print(f"{tokens:12,} {seconds:10.3f} {tokens / seconds:10,.0f} {megabytes:8.0f}", flush=True)
        tokens *= 10


def child(tokens: int, precision: str, threads: int) -> None:
    """Encodes from a generator, window by window, and prints seconds and this process's peak memory in MB."""
    import resource

    model = crumb.load(precision=precision, threads=threads)
    model.encode(text_of(_LENGTH))
    text, count = text_of(_LENGTH), -(-tokens // _LENGTH)
    started = time.perf_counter()
    done = 0
    # the vectors of ten million tokens are kept by nobody, as when they are written to a file
    for window in windows(text, count):
        done += len(model.encode(window))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    print(seconds * tokens / (count * _LENGTH), peak)


def windows(text: str, count: int, size: int = 1024) -> Iterator[list[str]]:
    """`count` copies of a text, in lists of up to `size`."""
    for start in range(0, count, size):
        yield [text] * min(size, count - start)


def parts_table(model: crumb.Model, runs: int) -> None:
    """Layer exits and Matryoshka cuts, as shares of the time of the whole model."""
    texts = [text_of(_LENGTH)] * 400
    ids, offsets = model.tokenizer.ragged(texts)
    room = {"context": model.context, "side": "end", "prefix": model.tokenizer.prefix, "suffix": model.tokenizer.suffix}
    batch = fit(ids, offsets, **room)
    layers = range(1, model.contract.layers + 1)
    times: dict[str, list[float]] = {f"{n} layers": [] for n in layers} | {"128 dimensions": [], "tokenising": []}
    for _ in range(runs):
        for n in layers:
            started = time.perf_counter()
            model.engine.encode(batch.ids, batch.offsets, layers=n)
            times[f"{n} layers"].append(time.perf_counter() - started)
        started = time.perf_counter()
        model.encode(texts, dimensions=128)
        times["128 dimensions"].append(time.perf_counter() - started)
        started = time.perf_counter()
        fit(*model.tokenizer.ragged(texts, threads=model.engine.threads), **room)
        times["tokenising"].append(time.perf_counter() - started)
    whole = statistics.median(times[f"{layers[-1]} layers"])
    print("\nshare of the whole model's time")
    for name, found in times.items():
        print(f"{name:16} {statistics.median(found) / whole:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("float32", "bf16", "int8"), default="int8")
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.precision, args.threads)
        return
    model = crumb.load(precision=args.precision, threads=args.threads, context=4096, positions="tile")
    print(f"{line_of(machine(args.threads))}, {args.precision} ({model.engine.isa}), medians of {args.runs} runs")
    threads_table(model, args.runs)
    parts_table(model, args.runs)
    tokens_table(args.precision, args.tokens, args.threads)


if __name__ == "__main__":
    main()
