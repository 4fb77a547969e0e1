"""False negatives against their definition in loops, and the loss that masks them."""

from __future__ import annotations

import pytest
import slow_losses as slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import Case, batch, hards, lists, mask, quick, same, seeds, sizes

from crumb.training.losses import (
    Contrastive,
    Filtered,
    Targets,
    false_negatives,
    text_keys,
)


@quick
@given(
    seed=seeds,
    n=sizes,
    k=hards,
    vocabulary=st.integers(2, 30),
    absolute=st.none() | st.floats(-0.2, 0.5),
    relative=st.none() | st.floats(-0.2, 0.5),
)
def test_false_negatives(
    seed: int, n: int, k: int, vocabulary: int, absolute: float | None, relative: float | None
) -> None:
    generator = torch.Generator().manual_seed(seed)
    words = [f"text {number}" for number in torch.randint(0, vocabulary, (n * (2 + k),), generator=generator)]
    scores = torch.rand(n, n * (1 + k), generator=generator) * 2 - 1
    scores[torch.rand(scores.shape, generator=generator) < 0.2] = torch.nan
    scores[:, :n].diagonal().uniform_(-1, 1, generator=generator)
    by_score = absolute is not None or relative is not None
    found = false_negatives(
        n, k, texts=text_keys(words), scores=scores if by_score else None, absolute=absolute, relative=relative
    )
    for i in range(n):
        positive = scores[i, i].item()
        for column in range(n * (1 + k)):
            text, score = words[n + column], scores[i, column].item()
            wrong = text in (words[i], words[n + i])
            if column < n:
                wrong = wrong or words[column] == words[i]
            if absolute is not None:
                wrong = wrong or score > torch.tensor(positive) - absolute
            if relative is not None:
                wrong = wrong or score > torch.tensor(positive) - relative * abs(torch.tensor(positive))
            assert bool(found[i, column]) == (bool(wrong) and column != i)


def test_false_negatives_refuses() -> None:
    with pytest.raises(ValueError, match="needs texts or scores"):
        false_negatives(2)
    with pytest.raises(ValueError, match="scores but no margin"):
        false_negatives(2, scores=torch.zeros(2, 2))
    with pytest.raises(ValueError, match="margins but no scores: absolute=0.1"):
        false_negatives(2, texts=torch.zeros(4), absolute=0.1)
    with pytest.raises(ValueError, match=r"texts must have shape \[6\] for 2 examples, got \[4\]"):
        false_negatives(2, 1, texts=torch.zeros(4))
    with pytest.raises(ValueError, match=r"scores must have shape \[2, 4\], got \[2, 2\]"):
        false_negatives(2, 1, scores=torch.zeros(2, 2), absolute=0)
    for settings_, message in [
        ({"by": "teacher"}, "expected a margin where scores decide"),
        ({"absolute": 0.1}, "expected a margin where scores decide"),
        ({"by": "guess", "absolute": 0.1}, "by must be one of None, 'teacher', 'own', got 'guess'"),
        ({"duplicates": False}, "nothing to filter by"),
    ]:
        with pytest.raises(ValueError, match=message):
            Filtered(Contrastive(), **settings_)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Filtered needs the texts' keys"):
        Filtered(Contrastive())(batch(0), Targets())
    with pytest.raises(ValueError, match="Filtered needs a teacher's vectors, or its scores"):
        Filtered(Contrastive(), duplicates=False, by="teacher", absolute=0)(batch(0), Targets())


def test_text_keys_tell_texts_apart() -> None:
    words = ["", "a", "A", "ä", "a ", "\ud800", *map(str, range(1000))]
    keys = text_keys(words)
    assert keys.dtype == torch.int64
    assert len(set(keys.tolist())) == len(words)
    assert text_keys(words[::-1]).flip(0).equal(keys)
    assert (
        text_keys(["a"]).item() == 3405396810240292928
    )  # the same in every process and release: it is stored nowhere, yet


@quick
@given(seed=seeds, n=sizes, k=hards, margin=st.floats(-0.1, 0.4))
def test_filtered(seed: int, n: int, k: int, margin: float) -> None:
    """The loss inside with the mask that scores make: by its own vectors, and by a teacher's vectors and scores."""
    embedded = batch(seed, n, k)
    q, p, hard = lists(embedded)
    given_mask = mask(seed, n, k)

    def expected(scores: list[list[float | None]], positives: list[float]) -> float:
        masked = [
            [
                bool(given_mask[i, j]) or (score is not None and score > positives[i] - margin)
                for j, score in enumerate(row)
            ]
            for i, row in enumerate(scores)
        ]
        return slow.contrastive(q, p, hard, masked=masked)

    texts = [*p, *(text for texts in hard or [] for text in texts)]
    own: list[list[float | None]] = [[slow.cosine(query, text) for text in texts] for query in q]
    loss = Filtered(Contrastive(), duplicates=False, by="own", absolute=margin)
    same(loss(embedded, Targets(masked=given_mask)), expected(own, [own[i][i] or 0.0 for i in range(n)]))

    taught = Case(loss, k, ("teacher_queries", "teacher_positives", "masked")).targets(n, seed)
    assert taught.teacher_queries is not None
    assert taught.teacher_positives is not None
    products = (taught.teacher_queries @ taught.teacher_positives.T).tolist()
    judged: list[list[float | None]] = [row + [None] * (n * k) for row in products]
    loss = Filtered(Contrastive(), duplicates=False, by="teacher", absolute=margin)
    same(loss(embedded, taught), expected(judged, [products[i][i] for i in range(n)]))
    if k:
        taught = Case(loss, k, ("scores", "masked")).targets(n, seed)
        assert taught.scores is not None
        scores = taught.scores.tolist()
        judged = [[None] * (n * (1 + k)) for _ in range(n)]
        for i in range(n):
            judged[i][n + i * k : n + i * k + k] = scores[i][1:]
        same(loss(embedded, taught), expected(judged, [row[0] for row in scores]))
