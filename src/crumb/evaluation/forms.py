"""Smaller forms of a model's vectors: fewer layers, fewer dimensions, fewer bytes, another precision.

Enters: names and numbers. Leaves: `Form`, and the forms that are worth measuring. Knows nothing of models or texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from crumb.engine.precision import Precision
from crumb.evaluation.settings import Setting, Stored

DIMENSIONS = (384, 256, 192, 128, 96, 64, 32)
"""What Matryoshka vectors are cut to."""


class Encoding(NamedTuple):
    """How vectors are kept and compared: `Setting`'s fields, and the bits that a dimension takes in store."""

    stored: Stored
    coded_queries: bool = False
    rescore: bool = False
    bits: int = 32


ENCODINGS: dict[str, Encoding] = {
    "float32": Encoding("float32"),
    "float16": Encoding("float16", bits=16),
    "int8": Encoding("int8", bits=8),
    "binary": Encoding("binary", bits=1),
    "binary-both": Encoding("binary", coded_queries=True, bits=1),
    "binary-rescore": Encoding("binary", rescore=True, bits=1),
}
"""By name: queries are float32, except that "binary-both" compares bits with bits (Hamming); "binary-rescore" lets bits
choose candidates and float32 vectors decide. uint8 is int8 with another zero (crumb.vectors.quantize), so it finds the
same."""


@dataclass(frozen=True, order=True)
class Form:
    """One form. `precision` of the engine; `layers` that are run; `dimensions` kept; `encoding`, of `ENCODINGS`."""

    precision: Precision
    layers: int
    dimensions: int
    encoding: str = "float32"

    @property
    def stored_bytes(self) -> int:
        """Bytes of a stored vector; those of the float32 vectors that rescore are not counted."""
        return -(-self.dimensions * ENCODINGS[self.encoding].bits // 8)

    def setting(self, base: Setting) -> Setting:
        """`base` in this form."""
        code = ENCODINGS[self.encoding]
        return replace(
            base,
            precision=self.precision,
            layers=self.layers,
            dimensions=self.dimensions,
            stored=code.stored,
            coded_queries=code.coded_queries,
            rescore=code.rescore,
        )


def forms_of(
    precisions: Sequence[Precision], layers: Sequence[int], dimensions: Sequence[int], encodings: Sequence[str]
) -> list[Form]:
    """The forms that are measured, the full size of the first precision first.

    The first precision: every (layers, dimensions) in float32, and every (dimensions, encoding) with all layers. The
    others: every number of layers in full dimensions and float32.

    Args:
        precisions, encodings: in the order in which they are shown.
        layers, dimensions: falling, the model's own first.
    """
    first = precisions[0]
    grid = [Form(first, depth, size) for depth in layers for size in dimensions]
    codes = [Form(first, layers[0], size, code) for code in encodings if code != "float32" for size in dimensions]
    others = [Form(precision, depth, dimensions[0]) for precision in precisions[1:] for depth in layers]
    return grid + codes + others
