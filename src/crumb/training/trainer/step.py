"""One step: a batch of texts to gradients.

Enters: a `Batch`. Leaves: gradients in the encoder's parameters, the loss and its parts. Knows nothing of optimisers,
schedules or files. The order of things (tokens, vectors, everybody's vectors, loss) is here, each is done elsewhere.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crumb.training.batch import Batch, Floats
from crumb.training.cached import cached_backward
from crumb.training.distributed import World
from crumb.training.encoder import Encoder, TokenBatch
from crumb.training.gather import gather
from crumb.training.losses import Embedded, LayerwiseLoss, Targets, text_keys
from crumb.training.positions import Anchor, skipped_positions
from crumb.training.recipe import Stage
from crumb.training.trainer.weights import whole


@dataclass(frozen=True)
class Done:
    """What a step was: the loss, figures that it is made of, tokens trained on and tokens cut off, of all processes."""

    loss: float
    parts: dict[str, float]
    tokens: int
    cut: int


class Step:
    """Turns batches into gradients.

    Args:
        encoder: what is trained.
        module: the same, as it is called: itself, or wrapped for several processes.
        loss: of the vectors of the layers that it wants.
        stage: its batch's chunk, prompts, skips and anchors are read.
        world: the processes; each calls with its part of the batch.
    """

    def __init__(self, encoder: Encoder, module: nn.Module, loss: LayerwiseLoss, stage: Stage, world: World) -> None:
        self._encoder = encoder
        self._module = module
        self._loss = loss
        self._stage = stage
        self._world = world
        self._layers = loss.wants(encoder.layers)
        tables = encoder.embeddings
        rows = {
            "word": tables.word_embeddings,
            "positions": tables.position_embeddings,
            "new_positions": tables.new_positions,
        }
        self._anchors = {
            name: Anchor(table.get_parameter("weight"), strength)
            for name, strength in stage.anchors.items()
            if (table := rows[name]) is not None
        }
        self._unsent = module.no_sync if isinstance(module, DistributedDataParallel) else nullcontext

    def __call__(self, batch: Batch) -> Done:
        """Adds the batch's gradients to the parameters'."""
        tokens = self._tokens(batch)
        targets = self._targets(batch)
        # Texts of about one length share a chunk, and little is padded.
        order = torch.argsort(tokens.lengths, stable=True)
        size = self._stage.batch.chunk or len(tokens)
        chunks = [tokens.select(order[begin : begin + size].tolist()) for begin in range(0, len(tokens), size)]
        back = order.argsort().to(self._world.device)

        def objective(rows: dict[int, Tensor]) -> Tensor:
            own = {layer: Embedded.of_rows(vectors[back], batch.negatives) for layer, vectors in rows.items()}
            return self._loss(*gather(own, targets))

        if len(chunks) == 1:
            loss = objective(self._embed(chunks[0]))
            torch.autograd.backward(loss)
        else:
            loss = cached_backward(self._embed, chunks, objective, unsynchronised=self._unsent)
        parts, total = dict(targets.parts), loss.item()
        for name, anchor in self._anchors.items():
            # the same in every process, and added to what they have averaged
            penalty = anchor()
            torch.autograd.backward(penalty)
            parts[f"anchor {name}"] = float(whole([(name, penalty.detach())])[name])
            total += parts[f"anchor {name}"]
        return Done(total, parts, round(self._world.sum(tokens.tokens)), round(self._world.sum(tokens.cut)))

    def _embed(self, chunk: TokenBatch) -> dict[int, Tensor]:
        rows: dict[int, Tensor] = self._module(chunk, self._layers)
        return rows

    def _tokens(self, batch: Batch) -> TokenBatch:
        texts, n = batch.texts(), len(batch)
        queries = self._encoder.tokenize(texts[:n], prefix=self._stage.query_prompt, cut=self._stage.cut)
        others = self._encoder.tokenize(texts[n:], prefix=self._stage.positive_prompt, cut=self._stage.cut)
        tokens = _joined(queries, others)
        skips = self._stage.skips
        if skips is None:
            return tokens
        generator = np.random.default_rng(np.random.randint(0, 2**31, 4))  # which the step has seeded
        positions = skipped_positions(
            tokens.lengths,
            self._encoder.contract.context,
            generator,
            skips=skips.kind,
            share=skips.share,
            kept=skips.kept,
        )
        return replace(tokens, positions=positions)

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
        torch.cat([first.ids, second.ids]),
        torch.cat([first.lengths, second.lengths]),
        first_pooled=pooled,
        cut=first.cut + second.cut,
    )
