"""A batch over several processes: everybody's vectors for everybody's negatives, with gradients.

Enters: a process's vectors and targets. Leaves: those of all processes, in the order of their ranks. Knows nothing
of losses or of who averages gradients.

Each process then computes the loss of the whole batch, the same in all. Backwards a vector's gradients from all
processes are summed and go to the process that made it. With n processes that is n times its gradient, and
DistributedDataParallel's mean over n processes makes it the gradient of one process with the whole batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from crumb.training.losses.filtered import text_keys
from crumb.training.losses.loss import Embedded, Targets


class _Gathered(torch.autograd.Function):
    """[n, …] to [processes * n, …]; back: the own slice of the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group, ctx.rows = group, len(own)
        return _gathered(own, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # in float32, so that the sum over processes is not rounded at each addition
        (gradient,) = gradients
        wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32)).contiguous()
        dist.all_reduce(wide, group=ctx.group)
        start = dist.get_rank(ctx.group) * ctx.rows
        return wide[start : start + ctx.rows].to(gradient.dtype), None


def gather(
    layers: dict[int, Embedded], targets: Targets, group: dist.ProcessGroup | None = None
) -> tuple[dict[int, Embedded], Targets]:
    """The batch of all processes: examples of rank 0, of rank 1, …, with gradients to the own ones.

    Without a process group, or in one of a single process, what came in. `targets.masked` of each process is kept
    for its own block; equal texts of different processes are found where a loss looks for them in the gathered
    `texts` (`Filtered`). `targets.parts` stay the caller's.

    Args:
        layers: the process's vectors by layer: the same layers, n, k, d and type everywhere.
        targets: what the process has; the same fields everywhere.
        group: None for all processes.

    Raises:
        ValueError: in every process alike, where one of them has another shape than the others.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size(group) == 1:
        return layers, targets
    _check_shapes(layers, targets, group)
    whole = {layer: _embedded(layers[layer], group) for layer in sorted(layers)}
    batch = layers[max(layers)]
    n, k = batch.examples, batch.hard
    texts = masked = None
    if targets.texts is not None:
        keys = Embedded.of_rows(targets.texts[:, None], k)
        texts = keys.map(lambda own: _gathered(own, group)).rows()[:, 0]
    if targets.masked is not None:
        masked = _blocks(_gathered(targets.masked, group), n, k)
    return whole, replace(
        targets,
        labels=_optional(targets.labels, group),
        scores=_optional(targets.scores, group),
        teacher_queries=_optional(targets.teacher_queries, group),
        teacher_positives=_optional(targets.teacher_positives, group),
        texts=texts,
        masked=masked,
    )


def _embedded(own: Embedded, group: dist.ProcessGroup | None) -> Embedded:
    def whole(vectors: Tensor) -> Tensor:
        gathered: Tensor = _Gathered.apply(vectors, group)  # type: ignore[no-untyped-call]  # torch does not type it
        return gathered

    return own.map(whole)


def _optional(own: Tensor | None, group: dist.ProcessGroup | None) -> Tensor | None:
    return None if own is None else _gathered(own, group)


def _gathered(own: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    own = own.detach().contiguous()
    # a collective moves bytes as well as numbers, and not every back end knows bool
    plain = own.view(torch.uint8) if own.dtype == torch.bool else own
    parts = [torch.empty_like(plain) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, plain, group=group)
    return torch.cat(parts).view(own.dtype)


def _blocks(masks: Tensor, n: int, k: int) -> Tensor:
    """Masks [processes * n, n (1 + k)], each process's of its own block, as one of the whole batch, False elsewhere."""
    processes = len(masks) // n
    whole = masks.new_zeros(len(masks), len(masks) * (1 + k))
    for rank in range(processes):
        rows = slice(rank * n, (rank + 1) * n)
        whole[rows, rows] = masks[rows, :n]
        first = len(masks) + rank * n * k
        whole[rows, first : first + n * k] = masks[rows, n:]
    return whole


def _check_shapes(layers: dict[int, Embedded], targets: Targets, group: dist.ProcessGroup | None) -> None:
    """A collective over different shapes hangs or reads past a buffer: better to tell before."""
    tensors: dict[str, Tensor | None] = {}
    for layer in sorted(layers):
        tensors |= {f"layer {layer} {name}": vectors for name, vectors in layers[layer]._asdict().items()}
    for name in ("labels", "scores", "teacher_queries", "teacher_positives", "texts", "masked"):
        tensors[name] = getattr(targets, name)
    shapes = {name: (list(own.shape), str(own.dtype)) for name, own in tensors.items() if own is not None}
    device = layers[max(layers)].queries.device
    everywhere = _gathered(text_keys([repr(shapes)]).to(device), group)
    others = (everywhere != everywhere[0]).nonzero().flatten().tolist()
    if others:
        raise ValueError(
            f"processes have batches of different shapes: ranks {others} another one than rank 0; this is rank "
            f"{dist.get_rank(group)} with {shapes}"
        )
