"""Cached gradients against one backward pass over the whole batch: every loss, dropout included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from loss_cases import CASES, Case
from torch import Tensor, nn

from crumb.training.cached import cached_backward, objective
from crumb.training.losses import Contrastive, Targets, as_layerwise

N, WORDS, WIDTH = 4, 50, 6


class Encoder(nn.Module):
    """Two layers with dropout over the mean of word vectors; gives layers 0 to 2."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(WORDS, WIDTH, dtype=dtype)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, dtype=dtype) for _ in range(2))
        self.dropout = nn.Dropout(0.3)

    def forward(self, ids: Tensor) -> dict[int, Tensor]:
        hidden = self.dropout(self.words(ids))
        vectors = {0: hidden.mean(1)}
        for number, layer in enumerate(self.layers, 1):
            hidden = hidden + self.dropout(torch.tanh(layer(hidden)))
            vectors[number] = hidden.mean(1)
        return vectors


def texts(count: int) -> Tensor:
    return torch.randint(0, WORDS, (count, 5), generator=torch.Generator().manual_seed(1))


def gradients(encoder: nn.Module) -> dict[str, Tensor]:
    return {name: weights.grad.clone() for name, weights in encoder.named_parameters() if weights.grad is not None}


def plainly(encoder: nn.Module, chunks: Any, goal: Callable[[dict[int, Tensor]], Tensor]) -> Tensor:
    pieces = [encoder(chunk) for chunk in chunks]
    value = goal({layer: torch.cat([piece[layer] for piece in pieces]) for layer in pieces[0]})
    value.backward()
    return value.detach()


def both(case: Case, dtype: torch.dtype, size: int) -> list[tuple[Tensor, dict[str, Tensor], Tensor, dict[str, float]]]:
    """Value, gradients, the next random numbers and the loss's parts: plainly, and cached in chunks of `size` texts."""
    wants = case.layerwise.wants(2)
    outcomes = []
    for step in (plainly, cached_backward):
        encoder, targets = Encoder(dtype), case.targets(N)

        def embed(ids: Tensor, encoder: Encoder = encoder) -> dict[int, Tensor]:
            return {layer: vectors for layer, vectors in encoder(ids).items() if layer in wants}

        torch.manual_seed(7)
        goal = objective(case.layerwise, targets, negatives=case.k)
        value = step(embed, texts(N * (2 + case.k)).split(size), goal)  # type: ignore[operator]
        outcomes.append((value, gradients(encoder), torch.rand(3), targets.parts))
    return outcomes


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_same_gradient(case: Case, dtype: torch.dtype, close: float) -> None:
    (value, expected, draws, parts), (cached, found, cached_draws, cached_parts) = both(case, dtype, 3)
    assert not value.requires_grad
    assert not cached.requires_grad
    assert cached.equal(value)
    assert cached_parts == parts
    assert cached_draws.equal(draws)
    assert found.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    assert largest > 0
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=close, atol=close * largest)


@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_any_chunks(size: int) -> None:
    (_, expected, _, _), (_, found, _, _) = both(Case(Contrastive(), 1), torch.float64, size)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-14)


def test_gradients_are_added() -> None:
    """As backward does: to what is there already."""
    goal = objective(as_layerwise(Contrastive()), Targets())
    outcomes = []
    for steps in (1, 2):
        encoder = Encoder().eval()
        for _ in range(steps):
            cached_backward(encoder, texts(2 * N).split(3), goal)
        outcomes.append(gradients(encoder))
    for name, gradient in outcomes[0].items():
        torch.testing.assert_close(outcomes[1][name], 2 * gradient)


def test_dropout_matters_here() -> None:
    """What the other tests would miss if dropout drew anew: without its state the gradient is another one."""
    outcomes = []
    for seed in (7, 8):
        encoder = Encoder()
        torch.manual_seed(seed)
        plainly(encoder, texts(2 * N).split(3), objective(as_layerwise(Contrastive()), Targets()))
        outcomes.append(gradients(encoder))
    assert not outcomes[0]["words.weight"].allclose(outcomes[1]["words.weight"])


def test_generators_of_the_encoder() -> None:
    """Noise from a generator that is not torch's own: the same in both passes if it is named."""
    outcomes = []
    for cached in (False, True):
        encoder, generator = Encoder(torch.float64).eval(), torch.Generator().manual_seed(3)

        def embed(ids: Tensor, encoder: Encoder = encoder, generator: torch.Generator = generator) -> dict[int, Tensor]:
            vectors = encoder(ids)[2]
            return {2: vectors * torch.rand(vectors.shape, generator=generator, dtype=torch.float64)}

        goal = objective(as_layerwise(Contrastive()), Targets())
        if cached:
            cached_backward(embed, texts(2 * N).split(3), goal, generators=[generator])
        else:
            plainly(embed, texts(2 * N).split(3), goal)  # type: ignore[arg-type]
        outcomes.append((gradients(encoder), torch.rand(2, generator=generator)))
    assert outcomes[0][1].equal(outcomes[1][1])
    for name, gradient in outcomes[0][0].items():
        torch.testing.assert_close(outcomes[1][0][name], gradient, rtol=1e-12, atol=1e-14)


def test_texts_in_another_order() -> None:
    """Chunks by length: rows are put back before the loss sees them."""
    order = torch.randperm(3 * N, generator=torch.Generator().manual_seed(2))
    outcomes = []
    for chunks, place in ((texts(3 * N).split(4), None), (texts(3 * N)[order].split(4), order)):
        encoder = Encoder(torch.float64).eval()
        value = cached_backward(
            encoder, chunks, objective(as_layerwise(Contrastive()), Targets(), negatives=1, order=place)
        )
        outcomes.append((value, gradients(encoder)))
    assert outcomes[0][0].item() == pytest.approx(outcomes[1][0].item(), rel=1e-12)
    for name, gradient in outcomes[0][1].items():
        torch.testing.assert_close(outcomes[1][1][name], gradient, rtol=1e-10, atol=1e-13)


def test_bfloat16_vectors() -> None:
    """As an encoder under autocast gives them."""
    outcomes = []
    for step in (plainly, cached_backward):
        encoder = Encoder()

        def embed(ids: Tensor, encoder: Encoder = encoder) -> dict[int, Tensor]:
            return {layer: vectors.bfloat16() for layer, vectors in encoder(ids).items()}

        torch.manual_seed(7)
        step(embed, texts(2 * N).split(3), objective(as_layerwise(Contrastive()), Targets()))  # type: ignore[operator]
        outcomes.append(gradients(encoder))
    for name, gradient in outcomes[0].items():
        torch.testing.assert_close(outcomes[1][name], gradient, rtol=1e-5, atol=1e-6)


def test_memory_is_for_one_chunk() -> None:
    """At most one chunk has a graph at a time: what the encoder keeps for backward, counted."""
    kept: list[int] = []
    alive = peak = 0

    class Counted:
        def __init__(self, value: Tensor) -> None:
            nonlocal alive, peak
            self.value = value
            alive += value.numel()
            peak = max(peak, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.value.numel()

    for chunks in (texts(64).split(64), texts(64).split(8)):
        encoder = Encoder()
        alive = peak = 0

        def embed(ids: Tensor, encoder: Encoder = encoder) -> dict[int, Tensor]:
            with torch.autograd.graph.saved_tensors_hooks(Counted, lambda counted: counted.value):
                return encoder(ids)

        cached_backward(embed, chunks, objective(as_layerwise(Contrastive()), Targets()))
        kept.append(peak)
    assert kept[1] <= kept[0] / 7


def test_gradients_are_averaged_once() -> None:
    """All chunks but the last run where DistributedDataParallel is told to wait."""
    seen: list[str] = []

    @contextmanager
    def unsynchronised() -> Iterator[None]:
        seen.append("wait")
        yield
        seen.append("done")

    encoder = Encoder()

    def embed(ids: Tensor) -> dict[int, Tensor]:
        if torch.is_grad_enabled():
            seen.append("chunk")
        return encoder(ids)

    goal = objective(as_layerwise(Contrastive()), Targets())
    cached_backward(embed, texts(2 * N).split(3), goal, unsynchronised=unsynchronised)
    assert seen == ["wait", "chunk", "done"] * 2 + ["chunk"]


def test_refuses() -> None:
    goal = objective(as_layerwise(Contrastive()), Targets())
    with pytest.raises(ValueError, match="at least one chunk"):
        cached_backward(Encoder(), [], goal)
    calls = []

    def embed(ids: Tensor) -> dict[int, Tensor]:
        calls.append(ids)
        return {1: torch.ones(len(ids) + (len(calls) > 2), 4, requires_grad=True)}

    torch.manual_seed(0)
    with pytest.raises(ValueError, match="chunk 1 of 2 gave other vectors"):
        cached_backward(embed, texts(2 * N).split(4), goal)
