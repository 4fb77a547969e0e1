"""`crumb doctor`: this machine, the engine, the model, and a self-test of about a second.

Enters: nothing but this machine. Leaves: a report on stdout; exit code 1 if the self-test fails. Never fetches
anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crumb import __version__, store
from crumb.default import DEFAULT
from crumb.engine.cpu import cpu_name, instruction_sets
from crumb.engine.encoder import Engine
from crumb.engine.precision import LEAST_COSINE, choose, kernels
from crumb.engine.threads import available_cores, cgroup_cpus, default_threads
from crumb.engine.weights import EncoderWeights, LayerWeights

HELP = "This machine, the engine, the default model, and a self-test of about a second."
_SELF_TEST_SECONDS = 0.7
# LayerNorm bounds the rows; rounding over two layers stays far below these
_TOLERANCES = {"float32": 1e-4, "bf16": 0.1, "int8": 0.2}
_PASSAGE = "Small models that run where the data lies answer most questions of search, and they cost little to run. "
_TEXTS = (
    _PASSAGE * 10,
    "how do vaccines work",
    "The committee met on Tuesday to settle the budget for the coming year; nobody spoke against it.",
    "def add(a, b):\n    return a + b",
    "Rye flour, water and salt: stir, wait a day, feed it again, and after a week the dough will rise by itself.",
    "Photosynthesis turns carbon dioxide and water into sugar and oxygen with the energy of light.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `crumb doctor`."""
    parser.add_argument("--json", action="store_true", help="the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the report; 1 if the self-test found something wrong."""
    report = {"machine": _machine(), "engine": _engine(), "model": _model(), "self_test": _self_test()}
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        for title, facts in report.items():
            print(title.replace("_", "-"))
            for key, value in facts.items():
                shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                print(f"  {key.replace('_', ' '):<18} {shown}")
    return 0 if report["self_test"]["passed"] else 1


def _machine() -> dict[str, Any]:
    quota = cgroup_cpus(Path("/"))
    return {
        "cpu": cpu_name(),
        "instruction_sets": instruction_sets(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "logical_cpus": os.cpu_count(),
        "physical_cores": available_cores(),
        "cgroup_cpus": "no limit" if quota is None else quota,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "tokenizers", "safetensors", "tqdm", "platformdirs")},
    }


def _engine() -> dict[str, Any]:
    found = kernels()
    wish = os.environ.get("CRUMB_ISA", "")
    precision, reason = choose("auto", wish)
    return {
        "crumb": __version__,
        "kernels_built": [kernel.name for kernel in found],
        "kernels_that_run": [kernel.name for kernel in found if kernel.runs],
        "kernels_in_use": wish or next(k.name for k in found if k.runs and k.precision == precision),
        "chosen_by": "CRUMB_ISA" if wish else "precision",
        "precision": precision,
        "because": reason,
        "precisions": sorted({kernel.precision for kernel in found if kernel.runs}),
        "threads": default_threads(),
    }


def _model() -> dict[str, Any]:
    folder = store.locate(DEFAULT)
    facts: dict[str, Any] = {"name": DEFAULT, "home": str(store.home())}
    if folder is None:
        return {**facts, "folder": f"not on this machine: crumb pull {DEFAULT}"}
    from crumb.checkpoint import read_contract

    contract = read_contract(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        **facts,
        "folder": str(folder),
        "megabytes": round(size / 1e6, 1),
        "dimensions": contract.dimensions,
        "layers": contract.layers,
        "context": contract.context,
        "fingerprint": contract.fingerprint,
    }


def _self_test() -> dict[str, Any]:
    """Every kernel against the portable one on a small encoder; then the model, if it is here, in every precision."""
    weights = _small_encoder()
    generator = np.random.default_rng(0)
    lengths = [1, 7, 40, 130]
    ids = generator.integers(0, 50, sum(lengths)).astype(np.int32)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    expected = Engine(weights, isa="portable").encode(ids, offsets)
    facts: dict[str, Any] = {}
    passed = True
    for kernel in kernels():
        if kernel.runs:
            engine = Engine(weights, isa=kernel.name, precision=kernel.precision)
            difference = float(np.abs(engine.encode(ids, offsets) - expected).max())
            facts[f"{kernel.name}_difference"] = f"{difference:.1e}"
            passed = passed and difference <= _TOLERANCES[kernel.precision]
    if store.locate(DEFAULT) is not None:
        in_float32 = _pace("float32")
        for precision in LEAST_COSINE:
            if any(kernel.runs and kernel.precision == precision for kernel in kernels()):
                vectors, same, pace = _pace(precision)
                least = float((vectors * in_float32[0]).sum(1).min())
                facts[precision] = f"{pace} tokens/s, cosine to float32 at least {least:.5f}"
                passed = passed and same and least >= LEAST_COSINE[precision] - 1e-6
    return {"passed": passed, **facts}


def _pace(precision: Any) -> tuple[Any, bool, int]:
    """The default model's vectors of some texts, whether a text's bits stayed the same, and tokens a second."""
    from crumb.loading import load

    model = load(DEFAULT, isa="", precision=precision)
    vectors = model.encode(_TEXTS)
    same = True
    tokens = 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < _SELF_TEST_SECONDS / len(LEAST_COSINE):
        batch, report = model.encode([_TEXTS[0]] * 8, return_report=True)
        tokens += report.tokens
        same = same and all(vector.tobytes() == vectors[0].tobytes() for vector in batch)
    return vectors, same, round(tokens / seconds)


def _small_encoder() -> EncoderWeights:
    generator = np.random.default_rng(1)

    def floats(*shape: int) -> Any:
        return (generator.normal(size=shape) * 0.2).astype(np.float32)

    h, f = 64, 96
    layers = tuple(
        LayerWeights(
            *(floats(h, h), floats(h)) * 3,
            *(floats(h, h), floats(h)),
            *(1 + floats(h), floats(h)),
            *(floats(f, h), floats(f)),
            *(floats(h, f), floats(h)),
            *(1 + floats(h), floats(h)),
        )
        for _ in range(2)
    )
    return EncoderWeights(
        word=floats(50, h),
        position=floats(130, h),
        token_type=floats(2, h),
        embedding_norm=1 + floats(h),
        embedding_norm_bias=floats(h),
        layers=layers,
        heads=2,
        activation="gelu",
        epsilon=1e-12,
    )
