"""What a loss costs on top of the encoder: one step of each, forward and backward, as large as the default model's.

    python -m benchmarks.losses [--examples 64] [--negatives 1] [--rounds 15]

Losses take turns, so that what else the machine does falls on all of them. Reported are medians, and their ratios to
the contrastive loss in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from crumb.engine.cpu import cpu_name
from crumb.training.losses import Embedded, Targets, as_layerwise, make

LAYERS, DIMENSIONS = 6, 384
SETTINGS = {
    "contrastive": "contrastive",
    "contrastive, symmetric": {"name": "contrastive", "symmetric": True},
    "filtered by own scores": {"name": "filtered", "by": "own", "absolute": 0.05, "loss": "contrastive"},
    "cosent": "cosent",
    "angle": "angle",
    "angle-0.4.12": "angle-0.4.12",
    "angle-0.6": "angle-0.6",
    "scores": "scores",
    "relational": {"name": "relational", "pairs": ["qp", "qq", "pp"]},
    "matryoshka, 4 sizes": {"name": "matryoshka", "dimensions": [384, 256, 128, 64], "loss": "contrastive"},
    "layerwise, 6 layers": {"name": "layerwise", "loss": "contrastive"},
    "fixed-pairs, 6 sizes": {
        "name": "fixed-pairs",
        "sizes": [[1, 32], [2, 64], [3, 128], [4, 256], [5, 384], [6, 384]],
        "loss": "contrastive",
    },
    "espresso": {"name": "espresso", "loss": "contrastive"},
    "espresso, teacher last": {"name": "espresso", "teacher": "last", "loss": "contrastive"},
    "espresso, as published": {"name": "espresso", "as_published": True, "loss": "contrastive"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--negatives", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    n, k = options.examples, options.negatives
    torch.manual_seed(0)
    rows = {layer: (torch.randn(n * (2 + k), DIMENSIONS) * 0.3).requires_grad_() for layer in range(LAYERS + 1)}
    teacher = torch.nn.functional.normalize(torch.randn(n, DIMENSIONS))
    targets = Targets(
        scores=torch.rand(n, 1 + k),
        teacher_queries=teacher,
        teacher_positives=teacher,
        texts=torch.arange(n * (2 + k)),
    )
    losses = {name: as_layerwise(make(settings)) for name, settings in SETTINGS.items()}
    times: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(options.rounds + 1):  # the first one warms up
        for name, loss in losses.items():
            start = time.perf_counter()
            layers = {layer: Embedded.of_rows(rows[layer], k) for layer in loss.wants(LAYERS)}
            torch.autograd.grad(loss(layers, targets), [rows[layer] for layer in layers], allow_unused=True)
            times[name].append(time.perf_counter() - start)
    print(f"{cpu_name()}, {torch.get_num_threads()} threads; {n} examples, {k} negatives, {DIMENSIONS} dimensions")
    medians = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    for name, median in medians.items():
        print(f"{name:26} {1000 * median:8.2f} ms {median / medians['contrastive']:8.1f}")


if __name__ == "__main__":
    main()
