"""Vectors of every layer from one pass, beside one layer at a time and beside the last layer alone.

    python -m benchmarks.layers [--precision float32 bf16 int8] [--passages 32] [--rounds 3]

Enters: the passages of tests/data. Leaves: medians and their ratios to the last layer alone, and tokens a second by
layers. Ways take turns, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time

import crumb
from benchmarks.texts import work
from crumb.engine.cpu import cpu_name
from crumb.evaluation.rates import tokens_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16", "int8"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passages", type=int, default=32)
    options = parser.parse_args()
    texts = work()["passages"].texts[: options.passages]
    models = {precision: crumb.load(precision=precision) for precision in options.precision}
    print(f"{cpu_name()}, {next(iter(models.values())).engine.threads} threads, {len(texts)} passages")
    for precision, model in models.items():
        medians = _medians(model, texts, options.rounds)
        ratios = ", ".join(f"{name} {1000 * t:.0f} ms ({t / medians['last']:.2f})" for name, t in medians.items())
        print(f"{precision}: {ratios}")
    layers = range(next(iter(models.values())).contract.layers, 0, -1)
    for (precision, depth), rate in tokens_per_second(models, texts, layers, options.rounds).items():
        print(f"{precision}, {depth} layers: {rate:,.0f} tokens/s")


def _medians(model: crumb.Model, texts: list[str], rounds: int) -> dict[str, float]:
    """Seconds of each way."""
    batch, engine = model.prepare(texts), model.engine
    layers = range(1, engine.layers + 1)
    ways = {
        "last": lambda: engine.encode(batch.ids, batch.offsets),
        "one pass": lambda: engine.encode_layers(batch.ids, batch.offsets, layers),
        "one by one": lambda: [engine.encode(batch.ids, batch.offsets, layers=i) for i in layers],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first one warms up
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


if __name__ == "__main__":
    main()
