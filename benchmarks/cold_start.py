"""A new process to its first vector, beside others: `python -m benchmarks.cold_start [--peers onnxruntime-int8]`.

Enters: nothing but the default model. Leaves: wall seconds and peak memory of whole processes, alternating, after one
warm-up each, as minimum, median and maximum; and how many times crumb's median that is; and what importing numpy takes
of it. ONNX Runtime loads a file that is made beforehand, with the tokenizers library and pooling in numpy: the least
that its users write.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import line_of, machine, versions
from crumb import store

_CRUMB = "import crumb; crumb.load(precision={precision!r}).encode('hello')"
_SENTENCE_TRANSFORMERS = (
    "from sentence_transformers import SentenceTransformer as S; S({folder!r}, device='cpu').encode('hello')"
)
_ONNXRUNTIME = """
import numpy, onnxruntime, tokenizers
session = onnxruntime.InferenceSession({file!r}, providers=['CPUExecutionProvider'])
ids = numpy.array([tokenizers.Tokenizer.from_file({folder!r} + '/tokenizer.json').encode('hello').ids])
mask = numpy.ones_like(ids)
rows = session.run(['rows'], dict(input_ids=ids, attention_mask=mask))[0]
vector = rows[0].mean(0)
vector / numpy.linalg.norm(vector)
"""
_PEERS = ("sentence-transformers", "onnxruntime-int8")


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


def codes(peers: list[str], file: Path) -> dict[str, str]:
    """What each process runs; `file` is an int8 ONNX file."""
    folder = str(store.resolve(None, fetch=True))
    found = {f"crumb-{precision}": _CRUMB.format(precision=precision) for precision in ("auto", "int8")}
    found["numpy alone"] = "import numpy"  # what nobody here can do without
    if "sentence-transformers" in peers:
        found["sentence-transformers"] = _SENTENCE_TRANSFORMERS.format(folder=folder)
    if "onnxruntime-int8" in peers:
        found["onnxruntime-int8"] = _ONNXRUNTIME.format(folder=folder, file=str(file))
    return found


def export(file: Path) -> None:
    """Makes the int8 ONNX file."""
    from benchmarks.peers.export import onnx_file
    from benchmarks.peers.onnxruntime import quantised_file

    shutil.copy(quantised_file(onnx_file(store.resolve(None, fetch=True), 512)), file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", choices=_PEERS, default=list(_PEERS))
    parser.add_argument("--onnx", type=Path, default=Path("build/int8.onnx"), help="made if it is not there")
    parser.add_argument("--export", action="store_true", help="make that file and nothing else")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if args.export:
        export(args.onnx)
        return
    if "onnxruntime-int8" in args.peers and not args.onnx.is_file():
        # elsewhere: a child's peak memory begins with that of the process that starts it
        args.onnx.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.cold_start", "--export", "--onnx", str(args.onnx)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    programs = codes(args.peers, args.onnx)
    for code in programs.values():
        run(code)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    print(f"{line_of(machine(os.cpu_count() or 1))}; {args.runs} alternating runs, minimum, median, maximum")
    print(", ".join(f"{name} {version}" for name, version in versions([*args.peers, "onnxruntime"]).items()))
    for _ in range(args.runs):
        for name, code in programs.items():
            found[name].append(run(code))
    ours = [statistics.median(column) for column in zip(*found["crumb-auto"], strict=True)]
    for name, pairs in found.items():
        seconds, megabytes = (sorted(column) for column in zip(*pairs, strict=True))
        middle = statistics.median(seconds), statistics.median(megabytes)
        print(
            f"{name:22} {seconds[0]:.3f} {middle[0]:.3f} {seconds[-1]:.3f} s ({middle[0] / ours[0]:.1f}x)   "
            f"{megabytes[0]:.0f} {middle[1]:.0f} {megabytes[-1]:.0f} MB ({middle[1] / ours[1]:.1f}x)"
        )


if __name__ == "__main__":
    main()
