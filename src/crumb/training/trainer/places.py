"""Where things lie in a run's folder.

Enters: the folder. Leaves: paths. The folder itself becomes the model when the run is done; everything about how it
came to be is in `training/`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from crumb.training.folders import sweep
from crumb.training.recipe import Recipe


@dataclass(frozen=True)
class Places:
    """A run's folder."""

    home: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe; its presence marks a run's folder."""
        return self.home / "recipe.yaml"

    @property
    def training(self) -> Path:
        """log.jsonl, tensorboard/ and the curves, beside what is below."""
        return self.home / "training"

    @property
    def checkpoints(self) -> Path:
        """While the run lasts."""
        return self.training / "checkpoints"

    @property
    def trial(self) -> Path:
        """Weights that are being evaluated."""
        return self.training / "trial"

    def best(self, step: int) -> Path:
        """The best weights of the present stage so far, those of its `step`."""
        return self.training / f"best-{step:08d}"

    def bests(self) -> list[Path]:
        """All that are there."""
        return sorted(self.training.glob("best-*"))

    def result(self, recipe: Recipe, stage: int) -> Path:
        """The model that a stage has made."""
        return self.training / "stages" / f"{stage:02d}-{recipe.stages[stage].name}"

    def clean(self) -> None:
        """Removes what a kill left half written."""
        for folder in (self.training, self.checkpoints, self.training / "stages"):
            sweep(folder)
            for path in folder.glob(".*"):  # Encoder.save's
                shutil.rmtree(path)

    @property
    def config(self) -> Path:
        """The last file to appear in a finished model."""
        return self.home / "config.json"
