"""The ranges of a model's dimensions, measured once over many vectors, for codes of one byte a dimension.

Enters: unit vectors of texts like those to come. Leaves: a `Calibration`, which gives `Ranges` for any number of
dimensions and turns into plain JSON data. Knows nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crumb.vectors.normalize import Floats
from crumb.vectors.quantize import Ranges

LEAST_VECTORS = 100


@dataclass(frozen=True)
class Calibration:
    """What was seen of `count` full unit vectors.

    Attributes:
        low, high: the least and the greatest value of every dimension, float32 [d].
        gain: by how much a vector grows when it is cut to its first k dimensions and scaled to unit length again, the
            mean over the vectors, float32 [d] for k = 1 to d.
        count: vectors seen.
    """

    low: Floats
    high: Floats
    gain: Floats
    count: int

    @property
    def dimensions(self) -> int:
        """d, of full vectors."""
        return len(self.low)

    def ranges(self, dimensions: int | None = None) -> Ranges:
        """Ranges of unit vectors cut to `dimensions`; None for full ones.

        Raises:
            ValueError: `dimensions` is not between 1 and d.
        """
        k = self.dimensions if dimensions is None else dimensions
        if not 1 <= k <= self.dimensions:
            raise ValueError(f"dimensions must be a whole number from 1 to {self.dimensions}, got {dimensions!r}")
        # full vectors have length 1 already, whatever rounding made of their mean gain
        gain = self.gain[k - 1] if k < self.dimensions else np.float32(1)
        return Ranges(self.low[:k] * gain, self.high[:k] * gain)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; `from_dict` gives the same bits back."""
        return {"count": self.count, **{name: getattr(self, name).tolist() for name in ("low", "high", "gain")}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """What `as_dict` gave.

        Raises:
            ValueError: something else; the message says what.
        """
        try:
            arrays = {name: np.asarray(data[name], dtype=np.float32) for name in ("low", "high", "gain")}
            count = int(data["count"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"a calibration has count, low, high and gain: {error!r}") from None
        low, high, gain = arrays.values()
        if low.ndim != 1 or not len(low) or not low.shape == high.shape == gain.shape:
            raise ValueError("low, high and gain of a calibration must be lists of one length")
        if not (np.isfinite([low, high, gain]).all() and (low <= high).all() and (gain > 0).all()):
            raise ValueError("a calibration must be finite, low nowhere above high, and gain positive")
        return cls(low, high, gain, count)


class Calibrator:
    """Sees vectors some at a time, so that any number of them fits.

    Args:
        dimensions: of full vectors.
    """

    def __init__(self, dimensions: int) -> None:
        self._low = np.full(dimensions, np.inf, dtype=np.float32)
        self._high = -self._low
        self._gains = np.zeros(dimensions, dtype=np.float64)
        self._count = 0

    def add(self, vectors: npt.ArrayLike) -> None:
        """Sees full unit vectors [n, d], float.

        Raises:
            ValueError: another shape, values that are not finite, or vectors that are not of unit length.
        """
        rows = np.asarray(vectors, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self._low):
            raise ValueError(f"expected vectors [n, {len(self._low)}], got {list(rows.shape)}")
        lengths = np.sqrt(np.cumsum(rows.astype(np.float64) ** 2, axis=1))
        if not np.isfinite(lengths).all() or not (np.abs(lengths[:, -1] - 1) < 1e-3).all():
            raise ValueError("calibrating needs finite vectors of unit length")
        # a dimension or two may be all zero in a vector: the floor keeps their gain finite, and nobody cuts there
        self._gains += (1 / np.maximum(lengths, 1e-3)).sum(axis=0)
        self._low = np.minimum(self._low, rows.min(axis=0, initial=np.inf))
        self._high = np.maximum(self._high, rows.max(axis=0, initial=-np.inf))
        self._count += len(rows)

    def calibration(self) -> Calibration:
        """What was seen.

        Raises:
            ValueError: fewer than 100 vectors.
        """
        if self._count < LEAST_VECTORS:
            raise ValueError(f"calibrating needs vectors [n, d] of at least {LEAST_VECTORS} texts, got {self._count}")
        gain = (self._gains / self._count).astype(np.float32)
        return Calibration(self._low, self._high, gain, self._count)


def calibrate(vectors: npt.ArrayLike) -> Calibration:
    """The calibration of full unit vectors [n, d], float.

    Raises:
        ValueError: another shape, fewer than 100 vectors, values that are not finite, or vectors without length.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) < LEAST_VECTORS:
        raise ValueError(f"calibrating needs vectors [n, d] of at least {LEAST_VECTORS} texts, got {list(rows.shape)}")
    seen = Calibrator(rows.shape[1])
    seen.add(rows)
    return seen.calibration()
