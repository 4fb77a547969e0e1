"""Losses by name, as recipes write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from crumb.training.losses import (
    AngleTotal,
    Contrastive,
    CoSENT,
    Espresso,
    FixedPairs,
    LayerwiseTotal,
    Matryoshka,
    ScoreDistillation,
    Term,
    Total,
    make,
)
from crumb.training.losses.angle_total import PRESETS
from crumb.training.losses.registry import LOSSES


def test_make() -> None:
    assert make("contrastive") == Contrastive()
    assert make({"name": "contrastive", "scale": 50, "symmetric": True}) == Contrastive(50, True)
    assert make({"name": "angle-0.6", "positive_at": 4}) == AngleTotal(0, 1, 0.02, True, positive_at=4)
    inner = Total((Term("contrastive", Contrastive()), Term("judge", ScoreDistillation(0.1), 2)))
    settings_ = {
        "name": "matryoshka",
        "dimensions": [6, 3],
        "weights": [1, 0.5],
        "loss": ["contrastive", {"name": "scores", "temperature": 0.1, "weight": 2, "as": "judge"}],
    }
    assert make(settings_) == Matryoshka(inner, (6, 3), (1, 0.5))
    assert make({"name": "fixed-pairs", "sizes": [[1, 2], [2, 6]], "loss": "cosent"}) == FixedPairs(
        CoSENT(), ((1, 2), (2, 6))
    )
    assert make([{"name": "espresso", "loss": "angle-0.4.12"}, "scores"]) == LayerwiseTotal(
        (Term("espresso", Espresso(AngleTotal.preset("angle-0.4.12"))), Term("scores", ScoreDistillation()))
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("infonce", "loss: unknown loss 'infonce': expected a name, one of angle, angle-0.4.12, angle-0.6, "),
        ({"scale": 3}, "loss: unknown loss None"),
        ({"name": "contrastive", "tau": 20}, "loss: contrastive has no setting 'tau': it has scale, symmetric, "),
        ({"name": "contrastive", "weight": 2}, "loss: contrastive has no setting 'weight'"),
        ({"name": "contrastive", "scale": -1}, "loss: Contrastive: scale must be a number above 0, got -1"),
        ({"name": "matryoshka"}, "loss: matryoshka needs loss and dimensions"),
        (
            {"name": "matryoshka", "dimensions": [2], "loss": ["cosent", {"name": "x"}]},
            "loss.loss\\[1\\]: unknown loss 'x'",
        ),
        ({"name": "matryoshka", "dimensions": 2, "loss": "cosent"}, "dimensions must be different whole numbers"),
        (["cosent", "cosent"], "loss: Total: two terms have the same name"),
        ([{"name": "cosent", "weight": "1"}], "the weight of 'cosent' must be a number above 0, got '1'"),
        ([], "terms must be a tuple of Term, not empty"),
        (3, "loss: expected a loss's name, its settings or a list of losses, got 3"),
        ([["cosent"]], "unknown loss"),
    ],
)
def test_make_refuses(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(wrong)


def test_documentation() -> None:
    """Every name is in the table of docs/training.md, and its recipe can be made."""
    page = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    for name in (*LOSSES, *PRESETS):
        assert f"`{name}`" in page or name == "last-layer"
    recipes = re.findall(r"```yaml\n(loss:.*?)```", page, re.DOTALL)
    assert recipes
    for recipe in recipes:
        assert callable(make(yaml.safe_load(recipe)["loss"]))
