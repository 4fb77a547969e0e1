"""One step: a batch of texts to gradients.

Enters: a `Batch`. Leaves: gradients in the encoder's parameters, the loss and its parts. Knows nothing of optimisers,
schedules or files.

With several processes each encodes its share of the texts, all see all vectors, and each computes the whole loss of
the whole batch: what is learned is what one process would learn of the same batch, up to rounding. Since the loss is
the same everywhere, a process needs the gradient of its own vectors only, and no gradient is sent but those of the
weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crumb.errors import TrainingError
from crumb.training.batch import Batch, Floats
from crumb.training.distributed import World
from crumb.training.encoder import Encoder, TokenBatch
from crumb.training.losses import Embedded, LayerwiseLoss, Targets, text_keys
from crumb.training.recipe import Stage

Rows = dict[int, Tensor]  # layer -> [texts, dimensions]


@dataclass(frozen=True)
class Done:
    """What a step was: the loss, figures that it is made of, tokens of all texts."""

    loss: float
    parts: dict[str, float]
    tokens: int


class Step:
    """Turns batches into gradients.

    Args:
        encoder: what is trained.
        module: the same, as it is called: itself, or wrapped for several processes.
        loss: of the vectors of the layers that it wants.
        stage: its batch's chunk, prompts and offsets are read.
        world: the processes.
    """

    def __init__(self, encoder: Encoder, module: nn.Module, loss: LayerwiseLoss, stage: Stage, world: World) -> None:
        self._encoder = encoder
        self._module = module
        self._loss = loss
        self._stage = stage
        self._world = world
        self._layers = loss.wants(encoder.layers)

    def __call__(self, batch: Batch, seed: Callable[[int], None]) -> Done:
        """Adds the batch's gradients to the parameters'.

        Args:
            batch: of all processes together.
            seed: seeds the generators for a chunk of this process, so that it can be run twice alike.
        """
        tokens = self._tokens(batch)
        mine, chunks = self._dealt(tokens)
        targets = self._targets(batch)
        if len(chunks) == 1:
            seed(0)
            loss = self._loss_of(self._encode(chunks[0]), mine, len(tokens), batch, targets)
            self._backward(loss)
        else:
            loss = self._cached(chunks, mine, len(tokens), batch, targets, seed)
        return Done(loss.item(), dict(targets.parts), tokens.tokens)

    def _dealt(self, tokens: TokenBatch) -> tuple[Tensor, list[TokenBatch]]:
        """This process's texts by number, and as chunks: as many in every process, since all meet at each."""
        processes = self._world.size
        if len(tokens) < processes:
            raise TrainingError(f"a batch of {len(tokens)} texts is too small for {processes} processes")
        # By length, and dealt like cards: processes get equal shares, and chunks texts of about one length.
        order = torch.argsort(tokens.lengths, descending=True, stable=True)
        mine = order[self._world.rank :: processes]
        share = math.ceil(len(tokens) / processes)
        count = min(math.ceil(share / (self._stage.batch.chunk or share)), len(tokens) // processes)
        return mine, [tokens.select(part.tolist()) for part in torch.tensor_split(mine, count)]

    def _cached(
        self,
        chunks: list[TokenBatch],
        mine: Tensor,
        texts: int,
        batch: Batch,
        targets: Targets,
        seed: Callable[[int], None],
    ) -> Tensor:
        """GradCache (Gao et al., arXiv 2101.06983): vectors first, then their gradients, then chunk by chunk those of
        the weights; only one chunk's activations are in memory at a time."""
        parts: list[Rows] = []
        with torch.no_grad():
            for i, chunk in enumerate(chunks):
                seed(i)
                parts.append(self._encode(chunk))
        leaves = {layer: torch.cat([part[layer] for part in parts]).requires_grad_() for layer in self._layers}
        loss = self._loss_of(leaves, mine, texts, batch, targets)
        torch.autograd.backward([loss])
        begin = 0
        for i, chunk in enumerate(chunks):
            seed(i)
            end = begin + len(chunk)
            with self._unsent(last=end == len(mine)):
                rows = self._encode(chunk)
                products = [
                    (rows[layer] * leaf.grad[begin:end]).sum()
                    for layer, leaf in leaves.items()
                    if leaf.grad is not None
                ]
                self._backward(torch.stack(products).sum())
            begin = end
        return loss

    def _unsent(self, last: bool) -> AbstractContextManager[None]:
        """Gradients of the weights travel once a step, with the last chunk's."""
        if last or not isinstance(self._module, DistributedDataParallel):
            return nullcontext()
        kept: AbstractContextManager[None] = self._module.no_sync()
        return kept

    def _encode(self, chunk: TokenBatch) -> Rows:
        rows: Rows = self._module(chunk, self._layers)
        return rows

    def _loss_of(self, rows: Rows, mine: Tensor, texts: int, batch: Batch, targets: Targets) -> Tensor:
        whole = {layer: _in_order(part, mine.to(part.device), texts, self._world) for layer, part in rows.items()}
        return self._loss({layer: Embedded.of_rows(part, batch.negatives) for layer, part in whole.items()}, targets)

    def _backward(self, value: Tensor) -> None:
        # gradients of the weights are averaged over processes, and each has a part of the sum
        torch.autograd.backward([value * self._world.size])

    def _tokens(self, batch: Batch) -> TokenBatch:
        texts, n = batch.texts(), len(batch)
        queries = self._encoder.tokenize(texts[:n], prefix=self._stage.query_prompt)
        others = self._encoder.tokenize(texts[n:], prefix=self._stage.positive_prompt)
        return _joined(queries, others)

    def _targets(self, batch: Batch) -> Targets:
        def moved(values: Floats | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values).to(self._world.device)

        return Targets(
            labels=moved(batch.labels()),
            scores=moved(batch.scores()),
            teacher_queries=moved(batch.teacher_queries),
            teacher_positives=moved(batch.teacher_positives),
            texts=text_keys(batch.texts()).to(self._world.device),
        )


def _joined(first: TokenBatch, second: TokenBatch) -> TokenBatch:
    """The texts of both, one behind the other."""
    pooled = None
    if first.first_pooled is not None or second.first_pooled is not None:
        pooled = torch.cat(
            [torch.zeros_like(b.lengths) if b.first_pooled is None else b.first_pooled for b in (first, second)]
        )
    return TokenBatch(
        torch.cat([first.ids, second.ids]), torch.cat([first.lengths, second.lengths]), first_pooled=pooled
    )


def _in_order(rows: Tensor, mine: Tensor, texts: int, world: World) -> Tensor:
    """The vectors of all processes, [texts, d], in the batch's order; gradients reach this process's own."""
    whole: Tensor = _Whole.apply(rows, mine, texts, world.size)  # type: ignore[no-untyped-call]  # torch has no types
    return whole


class _Whole(torch.autograd.Function):
    """Sums matrices in which each process has filled its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, mine: Tensor, texts: int, processes: int) -> Tensor:
        ctx.save_for_backward(mine)
        whole = rows.new_zeros(texts, rows.shape[1])
        whole[mine] = rows
        if processes > 1:
            dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (mine,) = ctx.saved_tensors
        return gradient[mine], None, None, None
