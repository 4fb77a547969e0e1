"""A recipe: all that decides what a training run makes, as data.

Enters: plain data, through crumb.training.settings. Leaves: typed, checked dataclasses. Knows nothing of YAML, models,
files of data or torch: recipe_file.py reads and writes it, check.py holds it against what is on this machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from crumb.training.schedule import Schedule
from crumb.training.settings import require

_DIGEST = re.compile(r"[0-9a-f]{64}")
ANCHORED = ("word", "positions", "new_positions")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SourceSettings:
    """One set of training data (crumb.training.data.Source, whose attributes these are but for the first two).

    Attributes:
        licence: under which the data may be trained on; the model card names it.
        url: where the data is from; the model card links it.
        path, vectors: relative to the data folder (`--data`, CRUMB_DATA), or else to the recipe.
        sha256: digest that the file must have; `vectors_sha256` the same for the vectors. `prepare` refuses a recipe
            without them, and says what they are.
    """

    path: str
    licence: str
    sha256: str | None = None
    url: str = ""
    name: str = ""
    weight: float = 1.0
    limit: int | None = None
    columns: dict[str, Any] | None = None
    group: str | None = None
    group_before: str | None = None
    split: str | None = None
    negatives: int | None = None
    vectors: str | None = None
    vectors_sha256: str | None = None
    center: bool = True
    max_bad: float = 0.01

    def __post_init__(self) -> None:
        if self.sha256 is not None:
            _digest("sha256", self.sha256)
        require(bool(self.licence), "licence", "is empty, expected the data's licence")
        require(self.weight > 0, "weight", f"is {self.weight:g}, expected more than 0")
        require(self.limit is None or self.limit > 0, "limit", f"is {self.limit}, expected at least 1")
        require(0 <= self.max_bad < 1, "max_bad", f"is {self.max_bad:g}, expected a share from 0 to below 1")
        if self.vectors_sha256 is not None:
            _digest("vectors_sha256", self.vectors_sha256)


@dataclass(frozen=True)
class BatchSettings:
    """How much one step sees, in all processes together.

    Attributes:
        size: examples.
        tokens: of the texts of a batch, at most: batches of long texts then hold fewer than `size` examples.
        chunk: texts that go through the encoder at once; with fewer than the batch has, gradients are cached
            (GradCache, arXiv 2101.06983), which costs one more forward pass and no memory.
        alpha: sources are drawn in proportion to weight * batches ** alpha: 1 in proportion to their size, 0 equally.
    """

    size: int = 64
    tokens: int | None = None
    chunk: int | None = None
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require(self.size > 1, "size", f"is {self.size}, expected at least 2: the loss compares examples")
        require(self.tokens is None or self.tokens > 0, "tokens", f"is {self.tokens}, expected at least 1")
        require(self.chunk is None or self.chunk > 0, "chunk", f"is {self.chunk}, expected at least 1")
        require(0 <= self.alpha <= 1, "alpha", f"is {self.alpha:g}, expected a number from 0 to 1")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101).

    Attributes:
        rate: the learning rate at its height.
        rates: other rates, by group: word, positions, new_positions, embedding_norm, layers, layer.0, layer.1, …
        weight_decay: of matrices; biases and LayerNorms have none.
        betas, epsilon: AdamW's.
        clip: gradients are scaled so that their common norm is at most this; null leaves them.
    """

    rate: float
    rates: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 0.01
    betas: tuple[float, ...] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        require(self.rate > 0, "rate", f"is {self.rate:g}, expected more than 0 (to freeze a group: freeze)")
        for name, rate in self.rates.items():
            require(rate > 0, f"rates.{name}", f"is {rate:g}, expected more than 0 (to freeze a group: freeze)")
        require(self.weight_decay >= 0, "weight_decay", f"is {self.weight_decay:g}, expected at least 0")
        fits = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require(fits, "betas", f"is {list(self.betas)}, expected two numbers from 0 to below 1")
        require(self.epsilon > 0, "epsilon", f"is {self.epsilon:g}, expected more than 0")
        require(self.clip is None or self.clip > 0, "clip", f"is {self.clip}, expected more than 0, or null")


@dataclass(frozen=True)
class EvaluationSet:
    """A folder in BEIR's layout, or a file of sentence pairs with scores.

    Attributes:
        path: relative as sources' paths are.
        sha256: as `crumb.training.data.digest` gives it; null for whatever is there, and the resolved recipe says it.
    """

    path: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None:
            _digest("sha256", self.sha256)


@dataclass(frozen=True)
class EvaluationSettings:
    """Scores while training: the mean over sets of nDCG@10, of the averaged weights where there are such.

    Attributes:
        sets: they choose the weights that are kept, so they are no test sets.
        every: steps from one evaluation to the next; there is one before the first step and one after the last.
        patience: evaluations without a new best after which the stage ends; null never ends it early.
        margin: what a new best must be better by.
        keep: "best" makes the best evaluated weights the stage's result (those it began with, if nothing was better),
            "last" the last ones.
    """

    sets: tuple[EvaluationSet, ...]
    every: int
    patience: int | None = None
    margin: float = 0.0
    keep: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        require(bool(self.sets), "sets", "is empty, expected at least one folder")
        require(self.every > 0, "every", f"is {self.every}, expected at least 1")
        require(self.patience is None or self.patience > 0, "patience", f"is {self.patience}, expected at least 1")
        require(self.margin >= 0, "margin", f"is {self.margin:g}, expected at least 0")


@dataclass(frozen=True)
class CheckpointSettings:
    """Checkpoints of a stage: one every so many steps, the last `keep` of which stay."""

    every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        require(self.every > 0, "every", f"is {self.every}, expected at least 1")
        require(self.keep > 0, "keep", f"is {self.keep}, expected at least 1")


@dataclass(frozen=True)
class SkipSettings:
    """Positions of short texts in a long context (crumb.training.positions.skipped_positions)."""

    kind: Literal["offset", "chunks"] = "offset"
    share: float = 1.0
    kept: int = 1

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "share", f"is {self.share:g}, expected a share from 0 to 1")
        require(self.kept >= 0, "kept", f"is {self.kept}, expected at least 0")


@dataclass(frozen=True)
class Stage:
    """One stretch of training with one loss; the next stage begins with its result.

    Attributes:
        name: unique in the recipe.
        loss: a name, a mapping or a list, as crumb.training.losses.make takes it.
        sources: what is trained on; a batch holds examples of one source.
        steps: updates of the weights.
        context: longest text in tokens; null for the model's own.
        positions: how rows beyond the model's are made where `context` needs them.
        cut: tokens of a text that training reads; null for the context. The model that comes out reads `context` all
            the same.
        split: the first position row that counts as new; null for the number that the stage's first model has.
        skips: texts meet other positions than 0, 1, …, so that all rows are trained; null for none.
        anchors: strength of a pull back to where they began, by group: word, positions, new_positions.
        layers: keep the first so many of the encoder's layers; null for all.
        freeze: groups that are not trained (see `OptimiserSettings.rates`).
        dropout: of embeddings, attention weights and residual branches.
        activations: what products are computed in; "auto" is bf16 where the machine multiplies it in hardware.
        averaging: decay of an exponential moving average of the weights, which is what is evaluated and kept; null for
            none.
        interpolation: share of the trained weights in what is evaluated and kept; the rest is what the stage began with
            (WiSE-FT, arXiv 2109.01903).
        query_prompt, positive_prompt: put before queries; before positives and negatives.
    """

    name: str
    loss: Any
    sources: tuple[SourceSettings, ...]
    steps: int
    optimiser: OptimiserSettings
    batch: BatchSettings = field(default_factory=BatchSettings)
    schedule: Schedule = field(default_factory=Schedule)
    context: int | None = None
    positions: Literal["tile", "interpolate", "hierarchical"] | None = None
    cut: int | None = None
    split: int | None = None
    skips: SkipSettings | None = None
    anchors: dict[str, float] = field(default_factory=dict)
    layers: int | None = None
    freeze: tuple[str, ...] = ()
    dropout: float = 0.0
    activations: Literal["auto", "float32", "bf16"] = "auto"
    averaging: float | None = None
    interpolation: float = 1.0
    query_prompt: str = ""
    positive_prompt: str = ""
    evaluation: EvaluationSettings | None = None
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)

    def __post_init__(self) -> None:
        require(bool(_NAME.fullmatch(self.name)), "name", f"is {self.name!r}, expected letters, digits, '.', '_', '-'")
        kind = type(self.loss).__name__
        fits = isinstance(self.loss, str | dict | list)
        require(fits, "loss", f"is a {kind}, expected a name, a mapping or a list")
        require(bool(self.sources), "sources", "is empty, expected at least one")
        require(self.steps > 0, "steps", f"is {self.steps}, expected at least 1")
        require(0 <= self.dropout < 1, "dropout", f"is {self.dropout:g}, expected a share from 0 to below 1")
        fits = self.averaging is None or 0 < self.averaging < 1
        require(fits, "averaging", f"is {self.averaging}, expected a decay between 0 and 1, or null")
        fits = self.positions is None or self.context is not None
        require(fits, "positions", f"is {self.positions}, but no context says how many rows are wanted")
        fits = 0 < self.interpolation <= 1
        require(fits, "interpolation", f"is {self.interpolation:g}, expected a share above 0, up to 1")
        require(self.cut is None or self.cut > 2, "cut", f"is {self.cut}, expected at least 3 tokens")
        require(self.split is None or self.split > 0, "split", f"is {self.split}, expected at least 1")
        for name, strength in self.anchors.items():
            require(name in ANCHORED, f"anchors.{name}", f"is no group to anchor, expected {', '.join(ANCHORED)}")
            require(strength > 0, f"anchors.{name}", f"is {strength:g}, expected more than 0")
            require(name not in self.freeze, f"anchors.{name}", "is of a group that is frozen")
        rise = self.schedule.rise(self.steps)
        require(rise <= self.steps, "schedule.warmup", f"is {rise} steps, but the stage has {self.steps}")


@dataclass(frozen=True)
class Recipe:
    """A model in the making.

    Attributes:
        name: the model's.
        base: the model that the first stage begins with: a catalogue name, or a folder as sources' paths are.
        base_fingerprint: what `crumb models BASE` shows; null takes whatever is there, and the resolved recipe says it.
        licence: the model's own, an SPDX id.
        description: for the model card.
        language: ISO codes, for the model card.
        seed: decides the batches, dropout and every other draw.
    """

    name: str
    base: str
    licence: str
    stages: tuple[Stage, ...]
    seed: int
    base_fingerprint: str | None = None
    description: str = ""
    language: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        require(bool(_NAME.fullmatch(self.name)), "name", f"is {self.name!r}, expected letters, digits, '.', '_', '-'")
        require(bool(self.stages), "stages", "is empty, expected at least one")
        require(0 <= self.seed < 2**63, "seed", f"is {self.seed}, expected a whole number from 0 on")
        names = [stage.name for stage in self.stages]
        for i, name in enumerate(names):
            require(names.index(name) == i, f"stages[{i}].name", f"is {name!r}, which an earlier stage is called too")
        if self.base_fingerprint is not None:
            _digest("base_fingerprint", self.base_fingerprint)

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)


def _digest(key: str, value: str) -> None:
    require(bool(_DIGEST.fullmatch(value)), key, f"is {value!r}, expected a SHA-256 digest of 64 hex digits")
