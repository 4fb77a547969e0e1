"""Distillation against its equations in loops."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import slow_losses as slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import batch, lists, quick, same, seeds, sizes

from crumb.training.losses import (
    RelationalDistillation,
    ScoreDistillation,
    Targets,
    standardise,
)


@quick
@given(seed=seeds, n=sizes, k=st.integers(1, 3), heat=st.floats(0.02, 2), teacher_heat=st.floats(0.02, 2))
def test_score_distillation(seed: int, n: int, k: int, heat: float, teacher_heat: float) -> None:
    embedded = batch(seed, n, k)
    q, p, hard = lists(embedded)
    scores = torch.randn(n, 1 + k, generator=torch.Generator().manual_seed(seed))
    expected = sum(
        slow.divergence(
            [slow.cosine(q[i], text) / heat for text in (p[i], *hard[i])],
            [score / teacher_heat for score in scores[i].tolist()],
        )
        for i in range(n)
    )
    same(ScoreDistillation(heat, teacher_heat)(embedded, Targets(scores=scores)), expected / n)


@quick
@given(
    seed=seeds,
    n=st.integers(2, 5),
    form=st.sampled_from(["kl", "mse"]),
    pairs=st.lists(st.sampled_from(["qp", "qq", "pp"]), min_size=1, unique=True),
    standardised=st.booleans(),
    several=st.booleans(),
)
def test_relational(seed: int, n: int, form: str, pairs: list[str], standardised: bool, several: bool) -> None:
    embedded = batch(seed, n, 0)
    teachers = (2, 3) if several else ()
    standardised = standardised or several
    generator = torch.Generator().manual_seed(seed)
    taught = {
        side: torch.cat(
            [torch.nn.functional.normalize(torch.randn(n, d, generator=generator)) for d in teachers or (5,)], dim=1
        ).double()
        for side in "qp"
    }
    own = {"q": embedded.queries.tolist(), "p": embedded.positives.tolist()}

    def matrix(first: Any, second: Any, inside: bool) -> np.ndarray:
        return np.array(
            [
                [np.nan if inside and i == j else slow.cosine(a, b) for j, b in enumerate(second)]
                for i, a in enumerate(first)
            ]
        )

    def spread(scores: np.ndarray) -> np.ndarray:
        used = scores[~np.isnan(scores)]
        return (scores - used.mean()) / used.std()

    if n == 2 and standardised and set(pairs) != {"qp"}:
        return  # two equal similarities have no spread
    expected = 0.0
    for pair in pairs:
        inside = pair != "qp"
        student = matrix(own[pair[0]], own[pair[1]], inside)
        starts = np.cumsum((0, *(teachers or (5,))))
        matrices = [
            matrix(taught[pair[0]][:, a:b].tolist(), taught[pair[1]][:, a:b].tolist(), inside)
            for a, b in pairwise(starts)
        ]
        if standardised:
            matrices = [spread(one) for one in matrices]
        teacher = sum(matrices[1:], matrices[0]) / len(matrices)
        if form == "kl":
            rows = zip(student, teacher, strict=True)
            apart = [slow.divergence(s[~np.isnan(s)] / 0.1, t[~np.isnan(t)] / 0.5) for s, t in rows]
            expected += sum(apart) / n
        else:
            difference = (spread(student) if standardised else student) - teacher
            expected += np.nanmean(difference**2)
    loss = RelationalDistillation(form, tuple(pairs), 0.1, 0.5, standardised, teachers)
    found = loss(embedded, Targets(teacher_queries=taught["q"], teacher_positives=taught["p"]))
    same(found, expected / len(pairs))


def test_distillation_refuses() -> None:
    pairs, triplets = batch(0, k=0), batch(0, k=2)
    with pytest.raises(ValueError, match="ScoreDistillation needs hard negatives"):
        ScoreDistillation()(pairs, Targets(scores=torch.ones(4, 1)))
    with pytest.raises(ValueError, match="ScoreDistillation needs a teacher's scores"):
        ScoreDistillation()(triplets, Targets())
    with pytest.raises(ValueError, match=r"scores must have shape \[4, 3\].*got \[4, 2\]"):
        ScoreDistillation()(triplets, Targets(scores=torch.ones(4, 2)))
    with pytest.raises(ValueError, match="temperature must be a number above 0, got 0"):
        ScoreDistillation(temperature=0)
    with pytest.raises(ValueError, match="needs a teacher's vectors of the queries"):
        RelationalDistillation()(pairs, Targets())
    with pytest.raises(ValueError, match="this batch has one"):
        RelationalDistillation()(batch(0, 1, 0), Targets())
    with pytest.raises(ValueError, match="2 teachers need standardise=True"):
        RelationalDistillation(teachers=(2, 3))
    with pytest.raises(ValueError, match="pairs must be some of qp, qq, pp, got"):
        RelationalDistillation(pairs=("pq",))
    known = Targets(teacher_queries=torch.ones(4, 4), teacher_positives=torch.ones(4, 4))
    with pytest.raises(ValueError, match="have 5 dimensions in all, but the teacher's vectors 4"):
        RelationalDistillation(standardise=True, teachers=(2, 3))(pairs, known)


def test_standardise() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0], [100.0, 4.0, 5.0]])
    used = scores < 50
    values = np.array([1, 2, 3, 4, 5.0])
    np.testing.assert_allclose(standardise(scores, used)[used], (values - 3) / values.std(), rtol=1e-6)
    assert (standardise(torch.full((3,), 0.7)) == 0).all()
