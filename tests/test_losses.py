"""Losses against their equations in Python loops (slow_losses.py), in float64; and what is refused."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import slow_losses as slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import CASES, Case, batch, graded, hards, lists, mask, quick, same, seeds, sizes
from torch import Tensor

from crumb.training import losses
from crumb.training.losses import (
    AnglE,
    AngleTotal,
    Contrastive,
    CoSENT,
    Embedded,
    Espresso,
    FixedPairs,
    InBatch,
    Targets,
)
from crumb.training.losses.ranking import misordered
from crumb.training.losses.scores import angle, cosines, unit

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def layers(case: Case, change: Callable[[Embedded], Embedded] = lambda embedded: embedded) -> dict[int, Embedded]:
    """Vectors of layers 0 to 2 for a case, those that its loss wants."""
    return {layer: change(batch(layer, 4, case.k)) for layer in case.layerwise.wants(2)}


# a teacher inside the batch moves with the vectors and has no gradient on purpose: these have tests of their own
@pytest.mark.parametrize("case", [case for case in CASES if not isinstance(case.loss, Espresso | FixedPairs)], ids=str)
def test_gradients(case: Case) -> None:
    """By finite differences, in the directions of random changes of all vectors."""
    given, targets = layers(case), case.targets(4)
    leaves = {layer: embedded.rows().requires_grad_() for layer, embedded in given.items()}

    def value(rows: dict[int, Tensor]) -> Tensor:
        torch.manual_seed(0)
        return case.layerwise({layer: Embedded.of_rows(rows[layer], case.k) for layer in rows}, targets)

    value(leaves).backward()
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        moves = {layer: torch.randn(rows.shape, generator=generator).double() for layer, rows in leaves.items()}
        slope = sum((rows.grad * moves[layer]).sum().item() for layer, rows in leaves.items() if rows.grad is not None)
        with torch.no_grad():
            ahead, back = (
                value({layer: rows + sign * 1e-6 * moves[layer] for layer, rows in leaves.items()}).item()
                for sign in (1, -1)
            )
        assert slope != 0
        assert (ahead - back) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-7)


@every_case
def test_float32_whatever_the_encoder_computes_in(case: Case) -> None:
    """bfloat16 vectors, with and without autocast: the loss of the same vectors in float64, but for rounding."""
    rounded = layers(case, lambda embedded: embedded.map(Tensor.bfloat16))
    targets = case.targets(4)

    def value(dtype: torch.dtype) -> Tensor:
        torch.manual_seed(0)
        return case.layerwise({key: one.map(lambda v: v.to(dtype)) for key, one in rounded.items()}, targets)

    found = value(torch.bfloat16)
    assert found.dtype == torch.float32
    if "as_published=True" not in repr(case):  # a randomised decomposition draws other numbers in another type
        assert found.item() == pytest.approx(value(torch.float64).item(), rel=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        for dtype in (torch.bfloat16, torch.float32):
            assert value(dtype).item() == pytest.approx(found.item(), rel=1e-6)


@every_case
def test_gradients_stay_finite(case: Case) -> None:
    """Vectors of length 0, equal vectors, and angle similarities of exactly 0."""
    rows = torch.zeros(4 * (2 + case.k), 6)
    rows[1:5, 0] = 1
    rows[5:8, 3] = -1  # x = [c; 0], y = [c; -c]: cos(x, y) + cos(x, Jy) is not 0, and for -y it is
    rows[5:8, 0] = -1
    leaves = {layer: rows.clone().requires_grad_() for layer in case.layerwise.wants(2)}
    value = case.layerwise({key: Embedded.of_rows(leaf, case.k) for key, leaf in leaves.items()}, case.targets(4))
    assert value.isfinite()
    value.backward()
    for leaf in leaves.values():
        assert leaf.grad is None or leaf.grad.isfinite().all()


def test_no_gradient_where_there_is_no_length_or_a_kink() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    y = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)  # cos(x, y) = -cos(x, Jy) in the second pair
    similarity = angle(x, y)
    assert similarity.tolist() == [0, 0]
    similarity.sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert not x.grad.any()
    assert not y.grad.any()


@every_case
def test_order_of_examples_does_not_matter(case: Case) -> None:
    """Examples in another order, their targets with them: the same loss."""
    given, targets = layers(case), case.targets(4)
    order = torch.tensor([2, 0, 3, 1])
    moved = {key: one.map(lambda vectors: vectors[order]) for key, one in given.items()}
    texts, masked = targets.texts, targets.masked
    if texts is not None:
        texts = Embedded.of_rows(texts[:, None], case.k).map(lambda keys: keys[order]).rows()[:, 0]
    if masked is not None:
        columns = torch.cat((order, (4 + order[:, None] * case.k + torch.arange(case.k)).flatten()))
        masked = masked[order][:, columns]
    others = {
        name: None if (value := getattr(targets, name)) is None else value[order]
        for name in ("labels", "scores", "teacher_queries", "teacher_positives")
    }
    values = []
    for vectors, known in ((given, targets), (moved, Targets(**others, texts=texts, masked=masked))):
        torch.manual_seed(0)
        values.append(case.layerwise(vectors, known).item())
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_examples_in_docstrings() -> None:
    for module in pkgutil.iter_modules(losses.__path__, f"{losses.__name__}."):
        outcome = doctest.testmod(importlib.import_module(module.name))
        assert outcome.failed == 0, module.name


@quick
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


@quick
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
    masked = mask(seed, n, embedded.hard) if hide else None
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


@quick
@given(seed=seeds, n=st.integers(0, 12), scale=st.floats(0.5, 60))
def test_misordered(seed: int, n: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(n, generator=generator, dtype=torch.float64) * 2 - 1
    labels = graded(seed, n).double()
    same(misordered(scores, labels, scale), slow.ranking(scores.tolist(), labels.tolist(), scale))


@quick
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
@quick
@given(seed=seeds, n=sizes, k=hards, in_batch=st.booleans(), hide=st.booleans())
def test_ranking(loss: Any, similarity: slow.Similarity, seed: int, n: int, k: int, in_batch: bool, hide: bool) -> None:
    embedded = batch(seed, n, k)
    q, p, hard = lists(embedded)
    labels = graded(seed, n)
    if k == 0:
        same(loss(scale=7)(embedded, Targets(labels=labels)), slow.labelled(q, p, labels.tolist(), similarity, 7))
    if k or in_batch:
        masked = mask(seed, n, embedded.hard) if hide else None
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


@quick
@given(seed=seeds, n=sizes, scale=st.floats(0.5, 40), hide=st.booleans())
def test_in_batch(seed: int, n: int, scale: float, hide: bool) -> None:
    embedded = batch(seed, n, 0)
    q, p, _ = lists(embedded)
    labels = graded(seed, n)
    masked = mask(seed, n, embedded.hard) if hide else None
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


@quick
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
        *[[pytest.approx(0.6), pytest.approx(0.8)]] * 2,
    ]
    units[:, 1].sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert (vectors.grad[:2] == 0).all()


@quick
@given(seed=seeds, n=sizes, weights=st.tuples(*[st.sampled_from([0.0, 0.02, 1.0, 30.0])] * 3).filter(any))
def test_angle_total(seed: int, n: int, weights: tuple[float, float, float]) -> None:
    """What each published version does with pairs that have labels, rows with a negative, and plain pairs."""
    cosine, in_batch, angle_weight = weights
    options = {"cosine": cosine, "in_batch": in_batch, "angle": angle_weight}
    embedded = batch(seed, n, 0)
    q, p, _ = lists(embedded)
    labels = graded(seed, n).ge(1).float()
    expected = (
        cosine * slow.labelled(q, p, labels.tolist(), slow.cosine)
        + in_batch * slow.all_pairs(q, p, labels.bool().tolist())
        + angle_weight * slow.labelled(q, p, labels.tolist(), slow.angle)
    )
    same(AngleTotal(**options)(embedded, Targets(labels=labels)), expected)
    same(AngleTotal(**options)(embedded, Targets()), slow.contrastive(q, p))

    triplets = batch(seed, n, 1)
    q, p, hard = lists(triplets)
    order = cosine * slow.binary(q, p, hard, slow.cosine) + angle_weight * slow.binary(q, p, hard, slow.angle)
    with_negatives, without = slow.contrastive(q, p, hard), slow.contrastive(q, p)
    same(AngleTotal(**options, halves=False)(triplets, Targets()), order + in_batch * with_negatives)
    same(AngleTotal(**options, halves=True)(triplets, Targets()), order + in_batch * (with_negatives + without) / 2)


def test_angle_presets() -> None:
    targets = Targets()
    old = AngleTotal.preset("angle-0.4.12")
    assert (old.cosine, old.in_batch, old.angle, old.halves) == (0, 30, 1, False)
    new = AngleTotal.preset("angle-0.6", angle_scale=10)
    assert (new.cosine, new.in_batch, new.angle, new.halves, new.angle_scale) == (0, 1, 0.02, True, 10)
    value = new(batch(0), targets)
    assert value.item() == pytest.approx(targets.parts["in_batch"] + 0.02 * targets.parts["angle"])
    with pytest.raises(ValueError, match="unknown preset 'angle-1': expected one of angle-0.4.12, angle-0.6"):
        AngleTotal.preset("angle-1")
    with pytest.raises(ValueError, match="are all 0"):
        AngleTotal(in_batch=0, angle=0)
    with pytest.raises(ValueError, match="in_batch must be a number, 0 or above, got -1"):
        AngleTotal(in_batch=-1)
    with pytest.raises(ValueError, match="a label is 2, which is neither 0 nor 1"):
        new(batch(0, k=0), Targets(labels=torch.tensor([0.0, 1.0, 2.0, 1.0])))
