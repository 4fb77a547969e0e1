"""Mixed load from many threads for some minutes: `python -m benchmarks.soak --minutes 10`.

Enters: the default model in every precision of this CPU, and the texts of tests/data. Leaves: calls done, and memory as
time goes; exits with 1 if a text ever got other bits than at first, or if memory grew from the third quarter of the
time to the last (before, every thread meets its largest texts for the first time). Each thread draws a model, a
handful of texts, layers and a number of engine threads, again and again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import crumb
from benchmarks.report import line_of, machine
from benchmarks.texts import work
from crumb.engine.precision import kernels

_ALLOWED_GROWTH = 16  # MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--threads", type=int, default=8)
    args = parser.parse_args()
    precisions: dict[Any, None] = dict.fromkeys(kernel.precision for kernel in kernels() if kernel.runs)
    models = [crumb.load(precision=precision, context=4096, positions="tile") for precision in precisions]
    texts = work()["queries"].texts[:45] + work()["passages"].texts[:30] + work()["document"].texts + ["", "crumb"]
    known = [[vector.tobytes() for vector in model.encode(texts)] for model in models]
    long = len(texts) - 3
    print(f"{line_of(machine(args.threads))}; {', '.join(precisions)}; {len(texts)} texts")

    end = time.monotonic() + 60 * args.minutes
    calls = [0] * args.threads
    wrong: list[str] = []

    def load(thread: int) -> None:
        dice = random.Random(thread)
        while time.monotonic() < end and not wrong:
            which = dice.randrange(len(models))
            chosen = [dice.randrange(len(texts)) for _ in range(dice.choice((1, 1, 3, 20)))]
            if dice.random() > 0.05:
                chosen = [i for i in chosen if i != long] or [0]
            layers = dice.choice((None, None, 3))
            found = models[which].encode([texts[i] for i in chosen], layers=layers, threads=dice.choice((None, 1, 2)))
            if layers is None:
                wrong.extend(
                    f"text {i} in {models[which].engine.precision}"
                    for i, vector in zip(chosen, found, strict=True)
                    if vector.tobytes() != known[which][i]
                )
            calls[thread] += 1

    threads = [threading.Thread(target=load, args=(i,)) for i in range(args.threads)]
    for thread in threads:
        thread.start()
    seen: list[float] = []
    step = 60 * args.minutes / 20
    while any(thread.is_alive() for thread in threads):
        time.sleep(step)
        seen.append(_resident())
        print(f"{sum(calls):8,} calls   {seen[-1]:6.0f} MB", flush=True)
    for thread in threads:
        thread.join()
    quarter = len(seen) // 4
    # medians: a long text's buffers come and go
    growth = statistics.median(seen[-quarter:]) - statistics.median(seen[-2 * quarter : -quarter])
    print(f"{sum(calls):,} calls, {len(wrong)} vectors with other bits, {growth:+.0f} MB since the third quarter")
    for line in wrong[:10]:
        print(line)
    raise SystemExit(bool(wrong) or growth > _ALLOWED_GROWTH)


def _resident() -> float:
    """Megabytes of this process in memory now (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
