"""Cached gradients: batches larger than memory, under any loss, with the gradient of the whole batch.

Enters: a way to embed a chunk, the chunks of a batch, an objective over all vectors. Leaves: gradients on the encoder's
parameters. Knows nothing of texts, losses or optimizers.

A loss over a batch needs all vectors at once, but of the encoder only their gradients pass through it. So the batch
is embedded in chunks without a graph, the objective gives the gradient of each vector, and each chunk is embedded
again with a graph and
takes its gradients back: memory for one chunk, time for one more forward pass (Gao et al., GradCache, arXiv 2101.06983,
section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from crumb.training.losses.loss import Embedded, LayerwiseLoss, Targets

Chunk = TypeVar("Chunk")


def cached_backward(
    embed: Callable[[Chunk], dict[int, Tensor]],
    chunks: Sequence[Chunk],
    objective: Callable[[dict[int, Tensor]], Tensor],
    *,
    generators: Sequence[torch.Generator] = (),
    unsynchronised: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tensor:
    """Adds the gradients of objective(embed(all chunks)) to the `grad` of what `embed` has for parameters.

    The same as embedding all chunks with a graph, in order, and one backward pass, but for the order of additions in
    floating
    point: dropout is the same in both passes over a chunk. Afterwards torch's generators are where that plain pass
        would
    have left them: each chunk embedded once, in order, then the objective.

    That holds for what draws from torch's generators of the CPU, of all CUDA devices and of MPS, or from
    `generators`. An encoder that draws from Python's or numpy's, or changes itself while it runs (batch
    normalisation, counters), is not caught.

    Args:
        embed: the vectors of a chunk by layer, each [texts of the chunk, d]; called twice a chunk. Autocast goes
            inside it.
        chunks: the batch in pieces, at least one.
        objective: a scalar of the vectors by layer, those of all chunks below each other; called once.
        generators: those that `embed` draws from, besides torch's own.
        unsynchronised: a context for all chunks but the last, where DistributedDataParallel is not to average
            gradients: its `no_sync`.

    Returns:
        The objective's value, without a graph. Where it is to be scaled (steps of accumulation, a GradScaler), scale
        it in `objective`.

    Raises:
        ValueError: no chunks, or `embed` gives another number of vectors, or other layers, the second time.
    """
    if not chunks:
        raise ValueError("cached_backward needs at least one chunk, got none")
    # 1. All vectors, no graph; what each chunk is about to draw is remembered.
    states, pieces = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_Randomness.now(generators))
            pieces.append(embed(chunk))
    # 2. The gradient of each vector.
    leaves = {layer: torch.cat([piece[layer] for piece in pieces]).requires_grad_() for layer in pieces[0]}
    sizes = [{layer: len(vectors) for layer, vectors in piece.items()} for piece in pieces]
    del pieces
    with torch.enable_grad():
        value = objective(leaves)
    torch.autograd.backward(value)
    # 3. Each chunk again, with a graph and the same draws.
    after = _Randomness.now(generators)
    start = dict.fromkeys(leaves, 0)
    try:
        for number, (chunk, state, size) in enumerate(zip(chunks, states, sizes, strict=True), 1):
            with nullcontext() if number == len(chunks) else unsynchronised():
                state.restore()
                with torch.enable_grad():
                    again = embed(chunk)
                if {layer: len(vectors) for layer, vectors in again.items()} != size:
                    raise ValueError(f"chunk {number} of {len(chunks)} gave other vectors when it was embedded again")
                _backward(
                    again, {layer: leaf.grad[start[layer] :] for layer, leaf in leaves.items() if leaf.grad is not None}
                )
            start = {layer: start[layer] + size[layer] for layer in start}
    finally:
        after.restore()
    return value.detach()


def objective(
    loss: LayerwiseLoss, targets: Targets, *, negatives: int = 0, order: Tensor | None = None
) -> Callable[[dict[int, Tensor]], Tensor]:
    """A loss as `cached_backward` wants it: a scalar of rows by layer.

    Args:
        loss: over layers (`losses.as_layerwise`).
        targets: of the batch; the parts of the loss are written to them.
        negatives: k.
        order: int64 [texts], where chunks hold texts in another order than `Batch.texts`: the place in `Batch.texts`
            of each row. None for the same order.
    """
    back = None if order is None else order.argsort()

    def over(rows: dict[int, Tensor]) -> Tensor:
        sorted_rows = rows if back is None else {layer: vectors[back] for layer, vectors in rows.items()}
        return loss({layer: Embedded.of_rows(vectors, negatives) for layer, vectors in sorted_rows.items()}, targets)

    return over


def _backward(vectors: dict[int, Tensor], gradients: dict[int, Tensor]) -> None:
    """One pass back from a chunk's vectors of all layers; `gradients` begin with this chunk's."""
    wanted = [layer for layer in gradients if vectors[layer].requires_grad]
    if wanted:
        torch.autograd.backward(
            [vectors[layer] for layer in wanted], [gradients[layer][: len(vectors[layer])] for layer in wanted]
        )


@dataclass(frozen=True)
class _Randomness:
    """Where torch's generators stand."""

    cpu: Tensor
    cuda: tuple[Tensor, ...]
    mps: Tensor | None
    own: tuple[tuple[torch.Generator, Tensor], ...]

    @classmethod
    def now(cls, generators: Sequence[torch.Generator]) -> _Randomness:
        return cls(
            torch.get_rng_state(),
            tuple(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else (),
            torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
            tuple((generator, generator.get_state()) for generator in generators),
        )

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(list(self.cuda))
        if self.mps is not None:
            torch.mps.set_rng_state(self.mps)
        for generator, state in self.own:
            generator.set_state(state)
