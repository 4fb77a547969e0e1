"""One of several processes that train on a batch together: run by test_gather.py, writes its gradients.

python gather_process.py RANK PROCESSES FILE_TO_MEET OUT.npz
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.distributed as dist
from loss_cases import CASES, Case, batch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crumb.training.cached import cached_backward
from crumb.training.gather import gather
from crumb.training.losses import Embedded, Targets

N = 6  # examples of the whole batch


class Maps(nn.Module):
    """A linear map for each layer: an encoder of vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(6, 6, dtype=torch.float64) for _ in range(3))

    def forward(self, rows: Tensor) -> dict[int, Tensor]:
        return {number: layer(rows) for number, layer in enumerate(self.layers)}


def share(case: Case, rank: int, processes: int) -> tuple[Tensor, Targets]:
    """A process's texts and targets of the batch; those of the only process are all of it."""
    part = slice(rank * N // processes, (rank + 1) * N // processes)
    rows = batch(0, N, case.k).map(lambda vectors: vectors[part]).rows()
    whole = case.targets(N)
    own: dict[str, Tensor] = {
        name: value[part]
        for name in ("labels", "scores", "teacher_queries", "teacher_positives")
        if (value := getattr(whole, name)) is not None
    }
    if whole.texts is not None:
        own["texts"] = Embedded.of_rows(whole.texts[:, None], case.k).map(lambda keys: keys[part]).rows()[:, 0]
    if whole.masked is not None:  # what processes can know: nothing of each other's texts
        masked = whole.masked & same_process(case.k, 2)
        columns = [masked[part, part], masked[part, N + part.start * case.k : N + part.stop * case.k]]
        own["masked"] = torch.cat(columns, dim=1)
    return rows, Targets(**own)


def same_process(k: int, processes: int) -> Tensor:
    """bool [N, N (1 + k)]: candidates that are in the query's process."""
    owner = torch.arange(N) * processes // N
    return owner[:, None] == torch.cat((owner, owner.repeat_interleave(k)))


def step(case: Case, rank: int, processes: int, cached: bool) -> tuple[float, list[Tensor]]:
    """The loss and the gradients of one step."""
    maps = Maps()
    encoder = DistributedDataParallel(maps, find_unused_parameters=True) if processes > 1 else maps
    rows, targets = share(case, rank, processes)
    wants = case.layerwise.wants(2)

    def embed(chunk: Tensor) -> dict[int, Tensor]:
        return {layer: vectors for layer, vectors in encoder(chunk).items() if layer in wants}

    def objective(vectors: dict[int, Tensor]) -> Tensor:
        own = {layer: Embedded.of_rows(found, case.k) for layer, found in vectors.items()}
        layers, everywhere = gather(own, targets)
        torch.manual_seed(0)
        return case.layerwise(layers, everywhere)

    if cached:
        quiet = encoder.no_sync if isinstance(encoder, DistributedDataParallel) else None
        value = cached_backward(embed, rows.split(4), objective, **({"unsynchronised": quiet} if quiet else {}))
    else:
        value = objective(embed(rows))
        value.backward()
    return value.item(), [torch.zeros(()) if w.grad is None else w.grad for w in maps.parameters()]


def main(rank: int, processes: int, meet: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=processes)
    found: dict[str, np.ndarray] = {}
    for number, case in enumerate(CASES):
        for cached in (False, True):
            value, gradients = step(case, rank, processes, cached)
            found[f"{number} {cached}"] = np.concatenate([np.array([value]), *(g.flatten().numpy() for g in gradients)])
    # bfloat16 vectors, and a batch of another shape in one process
    ones = {1: Embedded(*torch.full((2, 3, 4), float(rank + 1)).bfloat16().requires_grad_())}
    layers, _ = gather(ones, Targets())
    found["bfloat16"] = layers[1].queries.detach().float().numpy()
    try:
        gather({1: Embedded(torch.zeros(2 + rank, 3), torch.zeros(2 + rank, 3))}, Targets())
    except ValueError as error:
        found["refused"] = np.array(str(error))
    if rank == 0:
        np.savez(out, **found)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
