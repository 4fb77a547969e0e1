"""The encoder's weights in whatever form the processes hold them.

Enters: an encoder, how many processes there are. Leaves: it wrapped for training (DDP), or its weights spread over the
processes (FSDP), and whole tensors where somebody needs them. Knows nothing of losses or files.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from crumb.training.distributed import World
from crumb.training.encoder import Encoder


def spread(encoder: Encoder, world: World, *, shard: bool) -> nn.Module:
    """What to call in place of the encoder.

    One process: the encoder itself. Several: the encoder in DDP; or, with `shard`, the encoder itself, of whose
    weights, gradients and moments each process then keeps a part (FSDP's fully_shard, a layer at a time).
    """
    encoder.embeddings.always_whole = world.size > 1
    if shard:
        for layer in encoder.encoder.layer:
            fully_shard(layer)
        fully_shard(encoder)
        return encoder
    if world.size == 1:
        return encoder
    return DistributedDataParallel(encoder, device_ids=[world.device.index] if world.device.type == "cuda" else None)


def whole(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Whole tensors of perhaps spread ones; all processes must ask, in the same order."""
    return {name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor for name, tensor in tensors}


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Puts the whole tensor `value` into `target`, which may be spread."""
    target.copy_(like(value, target))


def like(value: Tensor, target: Tensor) -> Tensor:
    """The whole tensor `value` where and as `target` is."""
    value = value.to(device=target.device, dtype=target.dtype)
    if isinstance(target, DTensor):
        return distribute_tensor(value, target.device_mesh, target.placements)
    return value
