"""The processes of one run: how many, which one this is, and what they agree on.

Enters: the variables that torchrun sets. Leaves: a `World`. Knows nothing of models. Without torchrun there is one
process, and nothing of torch.distributed is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """Where this process stands.

    Attributes:
        rank: its number, from 0; 0 writes files and talks.
        size: processes.
        device: what it computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all must ask."""
        return flag if self.size == 1 else bool(self.sum(float(flag)))

    def sum(self, value: float) -> float:
        """The sum over processes; all must ask."""
        return float(self._reduced(value, dist.ReduceOp.SUM))

    def of_leader(self, value: float) -> float:
        """The leader's value, in every process."""
        return self.sum(value if self.leads else 0.0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            self.sum(0.0)  # not dist.barrier, which on NCCL has to guess a device

    def _reduced(self, value: float, how: dist.ReduceOp.RedOpType) -> Tensor:
        number = torch.tensor(value, dtype=torch.float64, device=self.device)
        if self.size > 1:
            dist.all_reduce(number, op=how)
        return number


@contextmanager
def world() -> Iterator[World]:
    """This process's place, as torchrun says; a GPU of its own where there are any, gloo on the CPU otherwise."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if "RANK" not in os.environ or size == 1:
        yield World(0, 1, device)
        return
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()
