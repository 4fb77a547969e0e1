"""A corpus in fewer bytes: codes together with what is needed to read them.

Enters: an array, how it is encoded, and for bytes the ranges. Leaves: the same, checked once. Knows nothing of scoring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crumb.vectors.normalize import Floats
from crumb.vectors.quantize import Encoding, Ranges, dequantize, quantize

_DTYPES = {
    "float32": "float32",
    "float16": "float16",
    "int8": "int8",
    "uint8": "uint8",
    "binary": "int8",
    "ubinary": "uint8",
}


@dataclass(frozen=True, eq=False)
class Codes:
    """Rows of codes, as `crumb.vectors.quantize` makes them.

    Attributes:
        array: [n, d], of bits [n, ceil(d / 8)]; may be a numpy memmap, and is not copied.
        encoding: "float32", "float16", "int8", "uint8", "binary" or "ubinary"; it settles the dtype.
        ranges: of the dimensions, for "int8" and "uint8"; without them such codes are plain whole numbers.
        dimensions: d of "binary" and "ubinary" where it is no multiple of 8; otherwise found from the array.

    Raises:
        ValueError: anything else; the message says what.
    """

    array: npt.NDArray[Any]
    encoding: Encoding
    ranges: Ranges | None = None
    dimensions: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in _DTYPES:
            raise ValueError(f"codes to be searched are {', '.join(map(repr, _DTYPES))}, not {self.encoding!r}")
        wanted = _DTYPES[self.encoding]
        if not isinstance(self.array, np.ndarray) or self.array.dtype != wanted or self.array.ndim != 2:
            found = f"{self.array.dtype} {list(self.array.shape)}" if isinstance(self.array, np.ndarray) else "no array"
            raise ValueError(f"{self.encoding} codes are an array of {wanted} with shape [n, d], got {found}")
        columns = self.array.shape[1]
        if self.bits:
            d = self.dimensions or columns * 8
            if not columns * 8 - 8 < d <= columns * 8:
                raise ValueError(f"{columns} bytes of bits do not hold {d} dimensions")
        else:
            d = self.dimensions or columns
            if d != columns:
                raise ValueError(f"{self.encoding} codes of shape {list(self.array.shape)} do not have {d} dimensions")
        object.__setattr__(self, "dimensions", d)
        if self.ranges is None:
            return
        if self.encoding not in ("int8", "uint8"):
            raise ValueError(f"ranges belong to int8 and uint8 codes, not to {self.encoding}")
        dequantize(self.array[:0], self.encoding, ranges=self.ranges)  # refuses ranges that do not fit

    @classmethod
    def of(cls, vectors: npt.ArrayLike, encoding: Encoding, *, ranges: Ranges | None = None) -> Codes:
        """Float rows [n, d] encoded; `ranges` as for `crumb.vectors.quantize`.

        Raises:
            ValueError: as `quantize`, or rows of another shape.
        """
        rows = np.asarray(vectors, dtype=np.float32)
        if rows.ndim != 2:
            raise ValueError(f"vectors must have shape [n, d], got {list(rows.shape)}")
        used = ranges if encoding in ("int8", "uint8") else None
        return cls(quantize(rows, encoding, ranges=used), encoding, used, rows.shape[1])

    def __len__(self) -> int:
        return len(self.array)

    @property
    def bits(self) -> bool:
        """Whether a dimension is one bit."""
        return self.encoding in ("binary", "ubinary")

    def dequantize(self) -> Floats:
        """The vectors that the codes stand for, float32 [n, d]; codes of bytes without ranges stand for themselves."""
        if self.encoding in ("int8", "uint8") and self.ranges is None:
            return self.array.astype(np.float32)
        return dequantize(
            self.array, self.encoding, ranges=self.ranges, dimensions=self.dimensions if self.bits else None
        )
