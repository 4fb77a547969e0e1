"""Loops around losses: dimensions, layers, sums, fixed pairs and Espresso, against their equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slow_losses as slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import batch, hards, lists, mask, quick, same, seeds, sizes
from torch import Tensor

from crumb.training.losses import (
    Contrastive,
    Embedded,
    Espresso,
    FixedPairs,
    LastLayer,
    Layerwise,
    LayerwiseTotal,
    Matryoshka,
    Targets,
    Term,
    Total,
)


@quick
@given(seed=seeds, n=sizes, k=hards, weights=st.none() | st.tuples(*[st.floats(0, 2)] * 3).filter(any))
def test_matryoshka(seed: int, n: int, k: int, weights: tuple[float, float, float] | None) -> None:
    embedded, targets = batch(seed, n, k), Targets()
    q, p, hard = lists(embedded)
    parts = {}
    for size in (6, 4, 1):
        cut_hard = [[text[:size] for text in texts] for texts in hard] if hard else None
        parts[size] = slow.contrastive([text[:size] for text in q], [text[:size] for text in p], cut_hard)
    loss = Matryoshka(Contrastive(), (6, 4, 1), weights)
    same(loss(embedded, targets), sum(w * part for w, part in zip(weights or (1, 1, 1), parts.values(), strict=True)))
    for size, weight in zip(parts, weights or (1, 1, 1), strict=True):
        if weight:
            assert targets.parts[f"{size} dimensions"] == pytest.approx(parts[size], rel=1e-9, abs=1e-12)


def test_loops_refuse() -> None:
    plain = Contrastive()
    for wrong in ((), (4, 4), (0,), [4], (True,)):
        with pytest.raises(ValueError, match="Matryoshka: dimensions must be different whole numbers from 1"):
            Matryoshka(plain, wrong)  # type: ignore[arg-type]
    for bad in ((1.0,), (0.0, 0.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="weights must be 2 numbers, 0 or above and not all 0"):
            Matryoshka(plain, (4, 2), bad)
    with pytest.raises(ValueError, match="cannot cut vectors of 6 dimensions to 8"):
        Matryoshka(plain, (8,))(batch(0), Targets())
    with pytest.raises(ValueError, match="loss must be a loss over one layer"):
        Matryoshka(Layerwise(plain), (2,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layers has layer 7, but the model has 6"):
        Layerwise(plain, (7,)).wants(6)
    with pytest.raises(ValueError, match="Layerwise needs layer 2, and has 1, 3"):
        Layerwise(plain)({1: batch(1), 3: batch(3)}, Targets())
    with pytest.raises(ValueError, match="need layers"):
        Layerwise(plain, None, (1.0,))
    for sizes_ in ((), ((1, 2),), ((2, 4), (1, 8)), ((1, 4), (2, 2)), ((1, 4), (1, 4)), ((0, 1), (1, 1))):
        with pytest.raises(ValueError, match="FixedPairs: sizes must be two or more pairs"):
            FixedPairs(plain, sizes_)
    with pytest.raises(ValueError, match=r"the last of sizes is \(2, 4\), but the model has 6 layers"):
        FixedPairs(plain, ((1, 2), (2, 4))).wants(6)
    with pytest.raises(ValueError, match="as_published=True has weights='log'"):
        Espresso(plain, as_published=True, weights="uniform")
    with pytest.raises(ValueError, match="Espresso needs layer 0, and has 1, 2"):
        Espresso(plain, 2, as_published=True)({1: batch(1), 2: batch(2)}, Targets())
    with pytest.raises(ValueError, match="two terms have the same name: a, a"):
        Total((Term("a", plain), Term("a", plain)))
    with pytest.raises(ValueError, match="the weight of 'a' must be a number above 0, got 0"):
        Total((Term("a", plain, 0),))
    with pytest.raises(ValueError, match="Total: 'a' is a loss over layers"):
        Total((Term("a", Layerwise(plain)),))


@quick
@given(seed=seeds, n=sizes, k=hards)
def test_layerwise_and_sums(seed: int, n: int, k: int) -> None:
    given_layers = {layer: batch(seed + layer, n, k) for layer in (1, 2, 3)}
    each = {layer: slow.contrastive(*lists(embedded)) for layer, embedded in given_layers.items()}
    same(Layerwise(Contrastive())(given_layers, Targets()), sum(each.values()))
    same(Layerwise(Contrastive(), (3, 1), (2, 0.5))(given_layers, Targets()), 2 * each[3] + 0.5 * each[1])
    same(LastLayer(Contrastive())(given_layers, Targets()), each[3])
    targets = Targets()
    total = LayerwiseTotal((Term("one", Layerwise(Contrastive(), (1,)), 3), Term("last", Contrastive(), 0.1)))
    assert total.wants(3) == (1, 3)
    same(total(given_layers, targets), 3 * each[1] + 0.1 * each[3])
    assert targets.parts == {
        "one": pytest.approx(each[1], abs=1e-12),
        "one/layer 1": pytest.approx(each[1], abs=1e-12),
        "last": pytest.approx(each[3], abs=1e-12),
    }
    plain = Total((Term("x", Contrastive(), 3), Term("y", Contrastive(5))))(given_layers[1], Targets())
    same(plain, 3 * each[1] + slow.contrastive(*lists(given_layers[1]), scale=5))


@quick
@given(seed=seeds, n=sizes, k=hards, kl=st.sampled_from([0, 0.3, 1]), hide=st.booleans())
def test_fixed_pairs(seed: int, n: int, k: int, kl: float, hide: bool) -> None:
    pairs = ((1, 2), (1, 3), (2, 6))
    given_layers = {layer: batch(seed + layer, n, k) for layer in (1, 2)}
    masked = mask(seed, n, k) if hide else torch.zeros(n, n * (1 + k), dtype=torch.bool)
    values, rows = [], []
    for layer, size in pairs:
        q, p, hard = lists(given_layers[layer].cut(size))
        values.append(slow.contrastive(q, p, hard, masked=masked.tolist()))
        texts = [*p, *(text for texts in hard or [] for text in texts)]
        rows.append(
            [
                [7 * slow.cosine(q[i], text) for j, text in enumerate(texts) if j == i or not masked[i, j]]
                for i in range(n)
            ]
        )
    apart = [sum(map(slow.divergence, row, rows[-1])) / n for row in rows[:-1]]
    found = FixedPairs(Contrastive(), pairs, kl=kl, scale=7)(given_layers, Targets(masked=masked if hide else None))
    same(found, sum(values) / 3 + kl * sum(apart) / 2)


def test_fixed_pairs_do_not_teach_the_teacher() -> None:
    """What the divergence adds to the gradient: all of it at the smaller pair, none at the last."""
    given_layers = {layer: batch(layer, 4, 1).rows().requires_grad_() for layer in (1, 2)}
    gradients = {}
    for kl in (0.0, 1.0):
        loss = FixedPairs(Contrastive(), ((1, 2), (2, 6)), kl=kl)

        def value(loss: FixedPairs = loss) -> Tensor:
            return loss({layer: Embedded.of_rows(rows, 1) for layer, rows in given_layers.items()}, Targets())

        gradients[kl] = torch.autograd.grad(value(), list(given_layers.values()))
    assert gradients[0.0][1].equal(gradients[1.0][1])
    with torch.no_grad():
        given_layers[1][0, 0] += 1e-6
        ahead = value().item()
        given_layers[1][0, 0] -= 2e-6
        back = value().item()
    assert (ahead - back) / 2e-6 == pytest.approx(gradients[1.0][0][0, 0].item(), rel=1e-5)
    assert not gradients[1.0][0].allclose(gradients[0.0][0])


def espresso(
    layers: dict[int, Embedded], loss: Espresso, weights: dict[int, float]
) -> tuple[Tensor, dict[int, Tensor]]:
    """The equation by numpy in float64, and the gradient of the layers' rows with the targets held fixed."""
    k, depth, heat = loss.dimensions, max(layers), loss.temperature
    rows = {layer: embedded.rows().clone().requires_grad_() for layer, embedded in layers.items()}
    hard = layers[depth].hard

    def small(layer: int) -> Tensor:
        whole = rows[depth if loss.teacher == "last" else layer].detach().numpy()
        powers = np.exp(whole.T @ whole / np.sqrt(whole.shape[1]))
        left, values, _ = np.linalg.svd(powers / powers.sum(1, keepdims=True))
        wanted = whole @ left[:, :k] @ np.diag(values[:k])
        first = rows[layer][:, :k]
        for column in range(k):
            if wanted[:, column] @ first[:, column].detach().numpy() < 0:
                wanted[:, column] *= -1
        value = loss.loss(Embedded.of_rows(first, hard), Targets())
        if loss.compress:
            kl = torch.zeros(())
            for row, target in zip(first, wanted, strict=True):
                t = torch.tensor(slow.softmax(list(target / heat)))
                kl = kl + (t * (t.log() - torch.log_softmax(row / heat, 0))).sum() / len(first)
            square = (first - torch.from_numpy(wanted)).square().mean()
            value = value + loss.compress * (square + heat * kl)
        return value

    value = loss.loss(Embedded.of_rows(rows[depth], hard), Targets()) + small(depth)
    for layer, weight in weights.items():
        value = value + weight * small(layer) / len(weights)
    value.backward()
    return value.detach(), {layer: leaf.grad for layer, leaf in rows.items() if leaf.grad is not None}


@quick
@given(
    seed=seeds,
    n=st.integers(1, 4),
    hard=st.integers(0, 2),
    teacher=st.sampled_from(["own", "last"]),
    weights=st.sampled_from(["log", "uniform"]),
    compress=st.sampled_from([0, 1, 0.3]),
    temperature=st.sampled_from([1, 0.7]),
)
def test_espresso(seed: int, n: int, hard: int, **options: Any) -> None:
    given_layers = {layer: batch(seed + layer, n, hard) for layer in (1, 2, 3)}
    loss = Espresso(Contrastive(), dimensions=3, **options)
    assert loss.wants(3) == (1, 2, 3)
    paper = {1: 1.0, 2: 1 / (1 + np.log(2))}
    expected, gradients = espresso(
        given_layers, loss, paper if options["weights"] == "log" else dict.fromkeys(paper, 1.0)
    )
    rows = {layer: embedded.rows().requires_grad_() for layer, embedded in given_layers.items()}
    found = loss({layer: Embedded.of_rows(leaf, hard) for layer, leaf in rows.items()}, Targets())
    assert found.item() == pytest.approx(expected.item(), rel=1e-7)
    found.backward()
    for layer, leaf in rows.items():
        torch.testing.assert_close(leaf.grad, gradients[layer], rtol=1e-6, atol=1e-9)


def test_espresso_as_published() -> None:
    """Hidden states 0 to n - 2 with the weights of layers 1 to n - 1, and the code's randomised decomposition."""
    given_layers = {layer: batch(layer, 4, 1) for layer in (0, 1, 3)}
    loss = Espresso(Contrastive(), dimensions=3, as_published=True)
    assert loss.wants(3) == (0, 1, 3)
    torch.manual_seed(5)
    found = loss(given_layers, Targets())
    torch.manual_seed(5)
    expected = slow.contrastive(*lists(given_layers[3]))
    for layer, weight in ((3, 1.0), (0, 1 / 2), (1, 1 / (1 + np.log(2)) / 2)):
        rows = given_layers[layer].rows()
        powers = torch.exp(rows.T @ rows / 6**0.5)
        left, values, _ = torch.svd_lowrank(powers / powers.sum(1, keepdim=True), q=3)
        wanted, first = rows @ left @ torch.diag(values), rows[:, :3]
        align = (first - wanted).square().mean().item()
        align += sum(map(slow.divergence, first.tolist(), wanted.tolist())) / len(rows)
        expected += weight * (slow.contrastive(*lists(given_layers[layer].cut(3))) + align)
    same(found, expected)
