"""Two real processes (gloo, DistributedDataParallel) against one with the whole batch: every loss, plain and cached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gather_process import step
from loss_cases import CASES, batch

from crumb.training.gather import gather
from crumb.training.losses import Targets


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What two processes found."""
    folder = tmp_path_factory.mktemp("gather")
    out = folder / "out.npz"
    script = Path(__file__).with_name("gather_process.py")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), "2", str(folder / "meet"), str(out)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    with np.load(out) as found:
        return dict(found)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number]))
@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
def test_gradient_of_one_process(together: dict[str, np.ndarray], number: int, cached: bool) -> None:
    value, gradients = step(CASES[number], 0, 1, cached)
    expected = np.concatenate([np.array([value]), *(gradient.flatten().numpy() for gradient in gradients)])
    assert np.abs(expected[1:]).max() > 0
    np.testing.assert_allclose(together[f"{number} {cached}"], expected, rtol=1e-9, atol=1e-9)


def test_order_of_ranks_and_bfloat16(together: dict[str, np.ndarray]) -> None:
    assert together["bfloat16"].tolist() == [[1.0] * 4] * 3 + [[2.0] * 4] * 3


def test_other_shapes_are_refused(together: dict[str, np.ndarray]) -> None:
    assert "ranks [1] another one than rank 0" in str(together["refused"])
    assert "'layer 1 queries': ([2, 3], 'torch.float32')" in str(together["refused"])


def test_one_process_keeps_what_it_has() -> None:
    layers, targets = {1: batch(0)}, Targets(labels=torch.ones(4))
    assert gather(layers, targets) == (layers, targets)
