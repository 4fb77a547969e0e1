"""Losses against their equations in Python loops (slow_losses.py), in float64; and what is refused."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import pytest
import slow_losses as slow
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crumb.training import losses
from crumb.training.losses import AnglE, Contrastive, CoSENT, Embedded, InBatch, Targets
from crumb.training.losses.loss import Loss
from crumb.training.losses.ranking import misordered
from crumb.training.losses.scores import angle, cosines, unit

seeds = st.integers(0, 10_000)
sizes = st.integers(1, 5)
hards = st.integers(0, 3)


def batch(seed: int, n: int = 4, k: int = 2, d: int = 6, dtype: torch.dtype = torch.float64) -> Embedded:
    """Random vectors that are somewhat alike, as a model's are."""
    rows = torch.randn(n * (2 + k), d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3
    return Embedded.of_rows(rows.to(dtype), k)


def lists(embedded: Embedded) -> tuple[Any, Any, Any]:
    hard = None if embedded.negatives is None else embedded.negatives.tolist()
    return embedded.queries.tolist(), embedded.positives.tolist(), hard


def mask(seed: int, embedded: Embedded) -> Tensor:
    n, k = embedded.examples, embedded.hard
    return torch.rand(n, n * (1 + k), generator=torch.Generator().manual_seed(seed)) < 0.3


def same(found: Tensor, expected: float) -> None:
    assert found.ndim == 0
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def graded(seed: int, n: int) -> Tensor:
    """Labels with ties."""
    return torch.randint(0, 4, (n,), generator=torch.Generator().manual_seed(seed)) / 2


# what every loss is held to, with targets that suit it: (loss, k, targets)
def cases(n: int, d: int) -> list[tuple[Loss, int, Targets]]:
    labels = Targets(labels=graded(1, n))
    return [
        (Contrastive(), 0, Targets()),
        (Contrastive(scale=5, symmetric=True), 2, Targets(masked=mask(2, batch(0, n, 2, d)))),
        (CoSENT(), 0, labels),
        (CoSENT(in_batch=True), 2, Targets()),
        (AnglE(), 0, labels),
        (AnglE(), 2, Targets()),
        (InBatch(positive_at=1), 0, labels),
    ]


@pytest.mark.parametrize("case", cases(4, 6), ids=lambda case: type(case[0]).__name__)
def test_gradients(case: tuple[Loss, int, Targets]) -> None:
    """By finite differences."""
    loss, k, targets = case
    rows = batch(3, 4, k).rows().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: loss(Embedded.of_rows(rows, k), targets), rows)


@pytest.mark.parametrize("case", cases(4, 6), ids=lambda case: type(case[0]).__name__)
def test_float32_whatever_the_encoder_computes_in(case: tuple[Loss, int, Targets]) -> None:
    """bfloat16 vectors, with and without autocast: the loss of the same vectors in float64, but for rounding."""
    loss, k, targets = case
    rounded = batch(4, 4, k, dtype=torch.bfloat16)
    expected = loss(rounded.map(Tensor.double), targets).item()
    found = loss(rounded, targets)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=1e-5)
    for vectors in (rounded, rounded.map(Tensor.float)):
        with torch.autocast("cpu", torch.bfloat16):
            assert loss(vectors, targets).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("case", cases(4, 6), ids=lambda case: type(case[0]).__name__)
def test_gradients_stay_finite(case: tuple[Loss, int, Targets]) -> None:
    """Vectors of length 0, equal vectors, and angle similarities of exactly 0."""
    loss, k, targets = case
    rows = torch.zeros(4 * (2 + k), 6)
    rows[1:5, 0] = 1
    rows[5:8, 3] = -1  # x = [c; 0], y = [-c; -c]: cos(x, y) + cos(x, Jy) = 0
    rows[5:8, 0] = 1
    rows.requires_grad_()
    value = loss(Embedded.of_rows(rows, k), targets)
    value.backward()
    assert rows.grad is not None
    assert value.isfinite()
    assert rows.grad.isfinite().all()
    assert (rows.grad[0] == 0).all()


def test_examples_in_docstrings() -> None:
    for module in pkgutil.iter_modules(losses.__path__, f"{losses.__name__}."):
        outcome = doctest.testmod(importlib.import_module(module.name))
        assert outcome.failed == 0, module.name


@given(seed=seeds, n=sizes, k=hards, d=st.integers(1, 4))
def test_rows(seed: int, n: int, k: int, d: int) -> None:
    rows = batch(seed, n, k, d).rows()
    embedded = Embedded.of_rows(rows, k)
    assert (embedded.examples, embedded.hard, embedded.dimensions) == (n, k, d)
    assert embedded.rows().equal(rows)
    for i in range(n):
        assert embedded.queries[i].equal(rows[i])
        assert embedded.positives[i].equal(rows[n + i])
        for j in range(k):
            assert embedded.negatives is not None
            assert embedded.negatives[i, j].equal(rows[2 * n + i * k + j])
            assert embedded.candidates()[n + i * k + j].equal(embedded.negatives[i, j])


def test_rows_of_other_shapes() -> None:
    with pytest.raises(ValueError, match="7 rows are no whole number of examples of 3 texts"):
        Embedded.of_rows(torch.zeros(7, 2), 1)
    with pytest.raises(ValueError, match="cannot cut vectors of 2 dimensions to 3"):
        Embedded.of_rows(torch.zeros(4, 2)).cut(3)


@given(seed=seeds, n=sizes, k=hards, scale=st.floats(0.5, 40), flags=st.tuples(*[st.booleans()] * 4))
def test_contrastive(seed: int, n: int, k: int, scale: float, flags: tuple[bool, bool, bool, bool]) -> None:
    symmetric, positives, negatives, hide = flags
    options: dict[str, Any] = {
        "scale": scale,
        "symmetric": symmetric,
        "in_batch_positives": positives or symmetric or not k,
        "in_batch_negatives": negatives,
    }
    embedded = batch(seed, n, k)
    masked = mask(seed, embedded) if hide else None
    expected = slow.contrastive(*lists(embedded), **options, masked=None if masked is None else masked.tolist())
    same(Contrastive(**options)(embedded, Targets(masked=masked)), expected)


def test_contrastive_refuses() -> None:
    embedded = batch(0, k=0)
    with pytest.raises(ValueError, match="graded labels"):
        Contrastive()(embedded, Targets(labels=torch.ones(4)))
    with pytest.raises(ValueError, match="nothing to contrast with"):
        Contrastive(in_batch_positives=False)(embedded, Targets())
    for wrong in (0, -1, float("nan"), float("inf"), True, "20", None):
        with pytest.raises(ValueError, match="Contrastive: scale must be a number above 0, got "):
            Contrastive(scale=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="symmetric must be true or false, got 1"):
        Contrastive(symmetric=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="in_batch_positives=False leaves out"):
        Contrastive(symmetric=True, in_batch_positives=False)


@given(seed=seeds, n=st.integers(0, 12), scale=st.floats(0.5, 60))
def test_misordered(seed: int, n: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(n, generator=generator, dtype=torch.float64) * 2 - 1
    labels = graded(seed, n).double()
    same(misordered(scores, labels, scale), slow.ranking(scores.tolist(), labels.tolist(), scale))


@given(seed=seeds, n=sizes, half=st.integers(1, 5))
def test_angle_by_complex_division(seed: int, n: int, half: int) -> None:
    embedded = batch(seed, n, 0, 2 * half)
    found = angle(embedded.queries, embedded.positives)
    for value, x, y in zip(found, embedded.queries, embedded.positives, strict=True):
        same(value, slow.angle(x.tolist(), y.tolist()))
        turned = torch.cat((-y[half:], y[:half]))
        same(value, abs(slow.cosine(x.tolist(), y.tolist()) + slow.cosine(x.tolist(), turned.tolist())))
        assert value <= 2**0.5 + 1e-12


@pytest.mark.parametrize(("loss", "similarity"), [(CoSENT, slow.cosine), (AnglE, slow.angle)])
@given(seed=seeds, n=sizes, k=hards, in_batch=st.booleans(), hide=st.booleans())
def test_ranking(loss: Any, similarity: slow.Similarity, seed: int, n: int, k: int, in_batch: bool, hide: bool) -> None:
    embedded = batch(seed, n, k)
    q, p, hard = lists(embedded)
    labels = graded(seed, n)
    if k == 0:
        same(loss(scale=7)(embedded, Targets(labels=labels)), slow.labelled(q, p, labels.tolist(), similarity, 7))
    if k or in_batch:
        masked = mask(seed, embedded) if hide else None
        plain = None if masked is None else masked.tolist()
        expected = slow.binary(q, p, hard, similarity, scale=7, in_batch=in_batch, masked=plain)
        same(loss(scale=7, in_batch=in_batch)(embedded, Targets(masked=masked)), expected)


@pytest.mark.parametrize("loss", [CoSENT, AnglE])
def test_ranking_refuses(loss: Any) -> None:
    pairs, triplets, labels = batch(0, k=0), batch(0, k=1), Targets(labels=torch.ones(4))
    with pytest.raises(ValueError, match=f"{loss.__name__} needs labels, hard negatives, or in_batch=True"):
        loss()(pairs, Targets())
    with pytest.raises(ValueError, match="labels and hard negatives"):
        loss()(triplets, labels)
    with pytest.raises(ValueError, match="in_batch=True needs pairs that belong together"):
        loss(in_batch=True)(pairs, labels)
    with pytest.raises(ValueError, match=f"{loss.__name__}: scale must be a number above 0, got -2"):
        loss(scale=-2)


def test_angle_needs_halves() -> None:
    with pytest.raises(ValueError, match="even number of dimensions, got 5"):
        AnglE()(batch(0, d=5), Targets())


@given(seed=seeds, n=sizes, scale=st.floats(0.5, 40), hide=st.booleans())
def test_in_batch(seed: int, n: int, scale: float, hide: bool) -> None:
    embedded = batch(seed, n, 0)
    q, p, _ = lists(embedded)
    labels = graded(seed, n)
    masked = mask(seed, embedded) if hide else None
    plain = None if masked is None else masked.tolist()
    together = [label >= 1 for label in labels.tolist()]
    expected = slow.all_pairs(q, p, together, scale=scale, masked=plain)
    same(InBatch(scale, positive_at=1)(embedded, Targets(labels=labels, masked=masked)), expected)
    binary = labels.ge(1).float()
    same(InBatch(scale)(embedded, Targets(labels=binary, masked=masked)), expected)


def test_graded_labels_never_become_targets() -> None:
    """Labels that are no binary ones are refused, not rounded; and with a threshold only their side of it counts."""
    embedded = batch(0, k=0)
    with pytest.raises(ValueError, match="a label is 3.2, which is neither 0 nor 1"):
        InBatch()(embedded, Targets(labels=torch.tensor([0, 1, 3.2, 1])))
    with pytest.raises(ValueError, match="InBatch needs labels of pairs"):
        InBatch()(embedded, Targets())
    found = [
        InBatch(positive_at=3)(embedded, Targets(labels=torch.tensor(labels)))
        for labels in ([0.0, 4.0, 3.2, 1.0], [2.9, 3.0, 5.0, -7.0])
    ]
    assert found[0].equal(found[1])


@settings(max_examples=30)
@given(seed=seeds, n=sizes, m=sizes)
def test_cosines(seed: int, n: int, m: int) -> None:
    rows = batch(seed, n + m, 0).queries
    found = cosines(rows[:n], rows[n:])
    for i in range(n):
        for j in range(m):
            same(found[i, j], slow.cosine(rows[i].tolist(), rows[n + j].tolist()))


def test_no_length_no_gradient() -> None:
    vectors = torch.tensor([[0.0, 0.0], [3e-13, 0.0], [3e-10, 4e-10], [3.0, 4.0]], requires_grad=True)
    units = unit(vectors)
    assert units.tolist() == [
        [0, 0],
        [0, 0],
        [pytest.approx(0.6), pytest.approx(0.8)],
        [pytest.approx(0.6), pytest.approx(0.8)],
    ]
    units[:, 1].sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert (vectors.grad[:2] == 0).all()
