"""Everything besides the model and the data that decides a figure.

Enters: nothing. Leaves: `Setting`, plain data that is written beside every figure. Knows nothing of how it is done.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from crumb.checkpoint.context import Positions
from crumb.engine.precision import Precision

Stored = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"]
Reading = Literal["whole", "chunk-mean", "chunk-best"]


@dataclass(frozen=True, slots=True)
class Setting:
    """How texts become scores.

    Attributes:
        context: tokens of a text that are read; None for the model's own.
        positions: how position rows beyond the checkpoint's are made.
        precision: of the engine.
        layers: layers that are run; None for all.
        dimensions: leading components that are kept (Matryoshka); None for all.
        stored: the form of the document vectors.
        coded_queries: whether queries take the same form (bits against bits), rather than staying float32.
        rescore: whether codes only choose candidates, and float32 vectors decide.
        reading: what a long document is: the "whole" of it, cut at the context; the mean of its chunks' vectors
            ("chunk-mean", unit length each and again together); or the chunk that fits best ("chunk-best").
        chunk: tokens of a chunk, special tokens included.
        query_prompt, passage_prompt: put before texts; None for what the model's contract names for them.
    """

    context: int | None = None
    positions: Positions | None = None
    precision: Precision = "float32"
    layers: int | None = None
    dimensions: int | None = None
    stored: Stored = "float32"
    coded_queries: bool = False
    rescore: bool = False
    reading: Reading = "whole"
    chunk: int = 512
    query_prompt: str | None = None
    passage_prompt: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("stored", self.stored, get_args(Stored)),
            ("reading", self.reading, get_args(Reading)),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; choose {', '.join(map(repr, known))}")
        if self.rescore and self.coded_queries:
            raise ValueError("rescore=True needs float queries: coded_queries=True leaves nothing to decide with")
        if self.chunk < 3:
            raise ValueError(f"chunk must be at least 3 tokens, got {self.chunk!r}")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; what has its default is left out."""
        default = asdict(Setting())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.as_dict().items()) or "defaults"
