"""False negatives: texts of a batch that are another example's, and right for this query all the same.

Enters: what tells equal texts, scores, margins. Leaves: the mask that losses know as `Targets.masked`, and a loss
that makes it first. Knows nothing of files or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Loss, Targets, needed
from crumb.training.losses.scores import cosines


def text_keys(texts: Sequence[str]) -> Tensor:
    """A number for each text, int64 [len(texts)], the same for equal texts in every process and run.

    64 bits of BLAKE2b: among a million texts two different ones share a number once in 37 million runs.
    """
    digests = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def false_negatives(
    examples: int,
    negatives: int = 0,
    *,
    texts: Tensor | None = None,
    scores: Tensor | None = None,
    absolute: float | None = None,
    relative: float | None = None,
) -> Tensor:
    """The mask of candidates that are no negatives, bool [n, n (1 + k)], for `Targets.masked`.

    By text, candidate c is masked for query i where its text is p_i's or q_i's own, or where it is the positive of
    another query with q_i's text. By score, where it scores above the positive less a margin, s_ic > s_ip - absolute or
    s_ic > s_ip - relative * |s_ip|; with both margins, where either says so. The own positive is never masked.

    The relative margin is what NV-Retriever (arXiv 2407.15831) calls TopK-PercPos, at mining: relative=0.05 keeps what
    scores below 95 % of the positive. A margin of 0 masks what beats the positive (GISTEmbed, arXiv 2402.16829).

    Args:
        examples, negatives: n and k.
        texts: int64 [n (2 + k)], of `text_keys`, in the order of `Batch.texts`.
        scores: [n, n (1 + k)], a teacher's or the model's own; NaN where there is none.
        absolute, relative: margins, 0 or above; negative ones mask only what beats the positive by as much.

    Raises:
        ValueError: a shape is another one, or scores or margins are given without the other.
    """
    n, k = examples, negatives
    if texts is None and scores is None:
        raise ValueError("false_negatives needs texts or scores to tell them by")
    device = texts.device if texts is not None else scores.device if scores is not None else None
    masked = torch.zeros(n, n * (1 + k), dtype=torch.bool, device=device)
    if texts is not None:
        if texts.shape != (n * (2 + k),):
            raise ValueError(f"texts must have shape [{n * (2 + k)}] for {n} examples, got {list(texts.shape)}")
        queries, candidates = texts[:n, None], texts[None, n:]
        masked |= (candidates == queries) | (candidates == texts[n : 2 * n, None])
        masked[:, :n] |= queries == queries.T
    if scores is not None:
        if scores.shape != masked.shape:
            raise ValueError(f"scores must have shape {list(masked.shape)}, got {list(scores.shape)}")
        if absolute is None and relative is None:
            raise ValueError("false_negatives has scores but no margin: give absolute or relative")
        positive = scores[:, :n].diagonal()[:, None]
        for below in (absolute, None if relative is None else relative * positive.abs()):
            if below is not None:
                masked |= scores > positive - below
    elif absolute is not None or relative is not None:
        raise ValueError(f"false_negatives has margins but no scores: absolute={absolute}, relative={relative}")
    masked[:, :n].fill_diagonal_(False)
    return masked


@dataclass(frozen=True)
class Filtered:
    """For any loss with negatives: leaves out candidates that are right answers themselves.

    Adds to `masked` what `false_negatives` finds, and runs the loss. Filtering here and not in the data sees the
    whole batch, those of other processes included.

    Args:
        loss: the loss inside, one that heeds `masked`.
        duplicates: leave out equal texts.
        by: "teacher" or "own", whose scores the margins are about; None for neither.
        absolute, relative: margins (see `false_negatives`); at least one with `by`, none without.

    References:
        Solatorio, GISTEmbed, arXiv 2402.16829 (a guide's scores mask in the batch); Moreira et al., NV-Retriever, arXiv
        2407.15831 (margins relative to the positive).

    Accepts:
        What the loss inside accepts, less labelled pairs. `duplicates` needs `texts`. by="teacher" needs the teacher's
        vectors, for positives of the batch, or its `scores`, for the query's own negatives, and uses what there is;
        other examples' hard negatives are known to no teacher and kept. by="own" compares the vectors at hand,
        without gradient.

    Relations:
        Inside `Matryoshka` or a layerwise loss by="own" judges by the vectors of each cut or layer; outside of
        Matryoshka by whole ones, which know better.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, Filtered, Targets, text_keys
        >>> texts = text_keys(["key?", "keys?", "the key", "the key"])
        >>> batch = Embedded(torch.eye(2), torch.eye(2))
        >>> Filtered(Contrastive())(batch, Targets(texts=texts))
        tensor(0.)
    """

    loss: Loss
    duplicates: bool = True
    by: str | None = None
    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        checks.plain(self, "loss")
        checks.flag(self, "duplicates")
        checks.one_of(self, "by", (None, "teacher", "own"))
        margins = [name for name in ("absolute", "relative") if getattr(self, name) is not None]
        checks.number(self, *margins)
        if bool(margins) != (self.by is not None):
            raise ValueError(
                f"Filtered: by={self.by!r} with absolute={self.absolute} and relative={self.relative}: expected a "
                "margin where scores decide, and none where they do not"
            )
        if self.by is None and not self.duplicates:
            raise ValueError("Filtered: duplicates=False and by=None: nothing to filter by")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The loss inside, with more of the batch masked; the share of candidates left out in `targets.parts`."""
        if targets.labels is not None:
            raise ValueError("Filtered: labelled pairs have no negatives to filter")
        n, k = embedded.examples, embedded.hard
        masks = []
        if self.duplicates:
            texts = needed(targets.texts, self, "the texts' keys (Targets.texts)")
            masks.append(false_negatives(n, k, texts=texts))
        for scores in self._scores(embedded.exact(), targets):
            masks.append(false_negatives(n, k, scores=scores, absolute=self.absolute, relative=self.relative))
        masked = torch.stack(masks).any(0)
        targets.parts["masked"] = masked.float().mean().item()
        if targets.masked is not None:
            masked |= targets.masked
        return self.loss(embedded, replace(targets, masked=masked))

    @torch.no_grad()
    def _scores(self, vectors: Embedded, targets: Targets) -> list[Tensor]:
        """Scores [n, n (1 + k)], NaN where there is none, one for each of those who judge."""
        if self.by is None:
            return []
        if self.by == "own":
            return [cosines(vectors.queries, vectors.candidates())]
        n, k = vectors.examples, vectors.hard
        judges = []
        if targets.teacher_queries is not None and targets.teacher_positives is not None:
            known = cosines(targets.teacher_queries, targets.teacher_positives)
            judges.append(torch.cat((known, known.new_full((n, n * k), torch.nan)), dim=1))
        if targets.scores is not None and k:
            own = torch.arange(n, device=targets.scores.device)
            positive = targets.scores.new_full((n, n), torch.nan)
            positive[own, own] = targets.scores[:, 0]
            hard = targets.scores.new_full((n, n, k), torch.nan)
            hard[own, own] = targets.scores[:, 1:]
            judges.append(torch.cat((positive, hard.flatten(1)), dim=1))
        return needed(judges or None, self, "a teacher's vectors, or its scores of hard negatives")
