"""A teacher's vectors of a source's texts, from a file.

Enters: a .npz or .npy file. Leaves: float32 rows of unit length for the rows that are asked for. Knows nothing of
texts: row i of the vectors belongs to row i of the source, bad rows counted.

A .npz holds `query` and `positive`, [n, t] each, of floats or of int8 to be multiplied by `scale`; a .npy holds both,
[2, n, t], and is read where it lies. Where a teacher puts prompts before queries and passages, all vectors of a kind
share a large constant part, which says nothing: with `center` the mean of the queries is taken from the queries and
that of the positives from the positives before they are scaled to unit length.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crumb.training.batch import Floats
from crumb.training.data.files import DataError
from crumb.vectors.normalize import normalize

WINDOW = 8192  # rows that are float64 at a time


class TeacherVectors:
    """The vectors of one source.

    Args:
        path: the file.
        center: whether to take away the means.

    Attributes:
        dimensions: t.

    Raises:
        DataError: the file cannot be read, or does not hold what is described above.
    """

    def __init__(self, path: Path, *, center: bool = True) -> None:
        self._path = path
        self._arrays, self._scale = _read(path)
        query, positive = self._arrays
        if query.ndim != 2 or query.shape != positive.shape or not query.size:
            raise DataError(
                f"{path}: vectors of queries have the shape {list(query.shape)}, of positives {list(positive.shape)}; "
                "expected [n, t] of both"
            )
        self.dimensions: int = query.shape[1]
        self._means = [_mean(array) if center else np.zeros(self.dimensions) for array in self._arrays]

    def __len__(self) -> int:
        return len(self._arrays[0])

    def rows(self, numbers: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Queries and positives, float32 [len(numbers), t] each, of unit length.

        Raises:
            DataError: a vector is not finite.
        """
        found = []
        for array, mean in zip(self._arrays, self._means, strict=True):
            # scaled after the mean is taken, which is the mean of what stands in the file; unit length undoes scales
            rows = normalize(((array[numbers] - mean) * self._scale).astype(np.float32))
            if not np.isfinite(rows).all():
                raise DataError(
                    f"{self._path}: a vector of row {int(numbers[~np.isfinite(rows).all(1)][0])} is not finite"
                )
            found.append(rows)
        return found[0], found[1]


def _mean(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The mean of the rows that are there: zeros stand for rows that were bad (`crumb distill --vectors`)."""
    total, rows = np.zeros(array.shape[1]), 0
    for start in range(0, len(array), WINDOW):
        window = array[start : start + WINDOW]
        total += window.sum(axis=0, dtype=np.float64)
        rows += int(window.any(axis=1).sum())
    return total / max(rows, 1)


def _read(path: Path) -> tuple[list[npt.NDArray[Any]], float]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected .npz or .npy with a teacher's vectors")
    try:
        if path.suffix == ".npy":
            both = np.load(path, mmap_mode="r", allow_pickle=False)
            if both.ndim != 3 or len(both) != 2:
                raise DataError(f"{path}: the shape is {list(both.shape)}; expected [2, n, t], queries and positives")
            arrays, scale = [both[0], both[1]], 1.0
        else:
            with np.load(path, allow_pickle=False) as file:
                missing = {"query", "positive"} - set(file.files)
                if missing:
                    raise DataError(f"{path}: no {min(missing)!r} among {', '.join(file.files) or 'no arrays'}")
                arrays = [file["query"], file["positive"]]
                scale = float(file["scale"]) if "scale" in file.files else 1.0
    except (ValueError, OSError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a NumPy file that can be read ({error})") from None
    for array in arrays:
        if array.dtype.kind not in "fi":
            raise DataError(f"{path}: vectors of {array.dtype}; expected floats, or int8 with a scale")
    return arrays, scale
