"""Relational distillation: how alike the batch's texts are to each other, as teachers see it.

Enters: a batch and one or several teachers' vectors. Leaves: a scalar. Knows nothing of the teachers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Targets, needed
from crumb.training.losses.scores import HIDDEN, cosines, divergence

PAIRS = ("qp", "qq", "pp")


def standardise(scores: Tensor, used: Tensor | None = None) -> Tensor:
    """(scores - mean) / standard deviation, over all of them or those `used`; 0 where all are equal.

    Teachers spread their scores differently: standardised ones can be averaged.

    Args:
        scores: of any shape.
        used: bool of the same shape: what counts for mean and deviation.
    """
    counted = scores if used is None else scores[used]
    spread = counted.std(correction=0)
    return torch.where(spread > 0, (scores - counted.mean()) / spread.clamp_min(torch.finfo(scores.dtype).tiny), 0)


@dataclass(frozen=True)
class RelationalDistillation:
    """For learning from larger embedders without their dimensions: the similarities between the batch's texts are
    matched, not the vectors.

    For each of `pairs`, with S the cosines of queries with positives (n x n), of queries with each other or of
    positives with each other (less the diagonal), and T the teacher's:

        "mse": mean of (S - T)²
        "kl": mean over rows of KL(softmax(T / teacher_temperature) || softmax(S / temperature)),

    and the mean over `pairs`. T of several teachers is the mean of their standardised matrices.

    Args:
        form: "kl", which looks at each text's ranking of the others, or "mse", which looks at all numbers alike.
        pairs: some of "qp", "qq", "pp".
        temperature, teacher_temperature: for "kl". Of standardised similarities, which lie about 1 apart where
            cosines lie 0.1 or 0.2 apart, the teacher's wants to be larger in that proportion.
        standardise: T has mean 0 and deviation 1; with "mse" S too, so that only the shape counts.
        teachers: the dimensions of several teachers whose vectors stand side by side; () for one teacher. Several need
            `standardise`.

    References:
        Park et al., Relational knowledge distillation, arXiv 1904.05068 (potentials between the examples of a
        batch), with cosines for distances; with "kl" over rows Fang et al., SEED, arXiv 2101.04731.

    Accepts:
        At least two examples, with `teacher_queries` for "qp" and "qq", `teacher_positives` for "qp" and "pp". Hard
        negatives are not looked at.

    Relations:
        `ScoreDistillation` takes scores of a query's own candidates, which any judge can give.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Embedded, RelationalDistillation, Targets
        >>> batch = Embedded(torch.eye(3), torch.eye(3))
        >>> teacher = torch.eye(3, 5)
        >>> RelationalDistillation()(batch, Targets(teacher_queries=teacher, teacher_positives=teacher))
        tensor(0.)
    """

    form: str = "kl"
    pairs: tuple[str, ...] = ("qp",)
    temperature: float = 0.05
    teacher_temperature: float = 0.05
    standardise: bool = False
    teachers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks.one_of(self, "form", ("kl", "mse"))
        checks.above_zero(self, "temperature", "teacher_temperature")
        checks.flag(self, "standardise")
        if (
            not isinstance(self.pairs, tuple)
            or not self.pairs
            or len(set(self.pairs)) < len(self.pairs)
            or not set(self.pairs) <= set(PAIRS)
        ):
            raise ValueError(f"RelationalDistillation: pairs must be some of {', '.join(PAIRS)}, got {self.pairs!r}")
        if not isinstance(self.teachers, tuple) or not all(map(checks.is_count, self.teachers)):
            raise ValueError(f"RelationalDistillation: teachers must be their dimensions, got {self.teachers!r}")
        if len(self.teachers) > 1 and not self.standardise:
            raise ValueError(
                f"RelationalDistillation: {len(self.teachers)} teachers need standardise=True: their cosines are "
                "spread differently, and the mean would be the widest one's"
            )

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The mean over `pairs`."""
        vectors = embedded.exact()
        if vectors.examples < 2:
            raise ValueError("RelationalDistillation compares the examples of a batch, and this batch has one")
        values = [self._apart(pair, vectors, targets) for pair in self.pairs]
        return sum(values[1:], values[0]) / len(values)

    def _apart(self, pair: str, vectors: Embedded, targets: Targets) -> Tensor:
        own = {"q": vectors.queries, "p": vectors.positives}
        first, second = (self._teacher(side, targets) for side in pair)
        found = cosines(own[pair[0]], own[pair[1]])
        used = torch.ones_like(found, dtype=torch.bool)
        if pair != "qp":
            used.fill_diagonal_(False)
        with torch.no_grad():
            wanted = self._wanted(first.to(found.dtype), second.to(found.dtype), used)
        if self.form == "kl":
            hidden = ~used
            logits = (found / self.temperature).masked_fill(hidden, HIDDEN)
            return divergence(logits, (wanted / self.teacher_temperature).masked_fill(hidden, HIDDEN))
        if self.standardise:
            found = standardise(found, used)
        return (found - wanted)[used].square().mean()

    def _wanted(self, first: Tensor, second: Tensor, used: Tensor) -> Tensor:
        widths = list(self.teachers) or [first.shape[1]]
        if sum(widths) != first.shape[1]:
            raise ValueError(
                f"RelationalDistillation: teachers {self.teachers!r} have {sum(widths)} dimensions in all, but the "
                f"teacher's vectors {first.shape[1]}"
            )
        matrices = [
            cosines(a, b) for a, b in zip(torch.split(first, widths, 1), torch.split(second, widths, 1), strict=True)
        ]
        if self.standardise:
            matrices = [standardise(matrix, used) for matrix in matrices]
        return torch.stack(matrices).mean(0)

    def _teacher(self, side: str, targets: Targets) -> Tensor:
        if side == "q":
            return needed(targets.teacher_queries, self, "a teacher's vectors of the queries (Targets.teacher_queries)")
        return needed(
            targets.teacher_positives, self, "a teacher's vectors of the positives (Targets.teacher_positives)"
        )
