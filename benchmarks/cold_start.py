"""A new process to its first vector, beside sentence-transformers: `python -m benchmarks.cold_start [--runs 5]`.

Enters: nothing but the default model. Leaves: wall seconds and peak memory of whole processes, alternating, after one
warm-up each, as minimum, median and maximum; and the ratio of the medians. Needs sentence-transformers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from crumb import store
from crumb.engine.cpu import cpu_name

CRUMB = "import crumb; crumb.load().encode('hello')"
PEER = "from sentence_transformers import SentenceTransformer as S; S({folder!r}, device='cpu').encode('hello')"


def run(code: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a Python process that runs `code`."""
    silence = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    started = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ, file_actions=silence)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"this failed: {code}")
    return seconds, usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    codes = {"crumb": CRUMB, "sentence-transformers": PEER.format(folder=str(store.resolve(None, fetch=True)))}
    for code in codes.values():
        run(code)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for _ in range(runs):
        for name, code in codes.items():
            found[name].append(run(code))
    load, python = os.getloadavg()[0], sys.version.split()[0]
    print(f"{cpu_name()}, {os.cpu_count()} CPUs, load {load:.1f}, Python {python}, {runs} runs")
    medians = {}
    for name, pairs in found.items():
        seconds, megabytes = (sorted(column) for column in zip(*pairs, strict=True))
        medians[name] = statistics.median(seconds), statistics.median(megabytes)
        print(
            f"{name:22} {seconds[0]:.3f} {medians[name][0]:.3f} {seconds[-1]:.3f} s   "
            f"{megabytes[0]:.0f} {medians[name][1]:.0f} {megabytes[-1]:.0f} MB   (minimum, median, maximum)"
        )
    ours, theirs = medians.values()
    print(f"{theirs[0] / ours[0]:.1f} times as quick, {theirs[1] / ours[1]:.1f} times less memory")


if __name__ == "__main__":
    main()
