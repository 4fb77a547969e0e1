"""A recipe over tiny data, for tests of training: `write_recipe` gives the file, `crumb train` does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tiny import write_model, write_pairs, write_retrieval_set


def plain_recipe(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Writes a model, pairs and a retrieval set into `folder`, and gives a recipe of one stage over them."""
    write_model(folder / "base", texts)
    sha256 = write_pairs(folder / "pairs.jsonl.gz", texts)
    write_retrieval_set(folder / "set", texts)
    return {
        "name": "tiny",
        "base": "base",
        "licence": "Apache-2.0",
        "seed": 7,
        "stages": [
            {
                "name": "contrastive",
                "loss": {"name": "contrastive", "scale": 20},
                "sources": [{"path": "pairs.jsonl.gz", "name": "pairs", "sha256": sha256, "licence": "CC0-1.0"}],
                "steps": 12,
                "batch": {"size": 8},
                "optimiser": {"rate": 1e-3},
                "dropout": 0.1,
            }
        ],
    }


def write_recipe(folder: Path, data: Any, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path
