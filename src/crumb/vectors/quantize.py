"""Vectors in fewer bytes: float16, int8, uint8, one bit a dimension, base64; and back.

Enters: float32 rows, and for bytes the range of every dimension. Leaves: codes. Knows nothing of models or of where
ranges come from: they are fixed beforehand (crumb.vectors.calibrate), never taken from the rows at hand, so that a
vector's code does not depend on its neighbours. The codes are those of Mixedbread's API and of sentence-transformers'
quantize_embeddings with the same ranges. Cut and normalise first, then quantise.
"""

from __future__ import annotations

import binascii
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from crumb.vectors.normalize import Floats

Encoding = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary", "base64"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

_STEPS = 255
_OFFSET = 128  # int8 and binary are their unsigned twins minus this


class Ranges(NamedTuple):
    """The least and the greatest value of every dimension, float32 [d] each; values outside are clipped."""

    low: Floats
    high: Floats


def quantize(vectors: npt.ArrayLike, encoding: Encoding, *, ranges: Ranges | None = None) -> Any:
    """Codes of vectors.

    Args:
        vectors: finite float rows [n, d], or [d] for one vector.
        encoding: "float32" and "float16" round; "uint8" is floor((x - low) / ((high - low) / 255)), clipped to a byte,
            and "int8" that minus 128; "ubinary" packs x > 0 eight dimensions to a byte, the first in the highest bit
            (the last byte is filled up with zeros), and "binary" is that minus 128 as int8; "base64" is the text of the
            little-endian float32 bytes.
        ranges: of every dimension, for "int8" and "uint8".

    Returns:
        An array [n, d] (of bits: [n, ceil(d / 8)]) of that dtype; for "base64" a list of n str. For one vector [d], one
        row or one str.

    Raises:
        ValueError: an unknown encoding, rows of another shape, values that are not finite, or missing or unfit ranges.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    _check(rows, encoding, ranges)
    if encoding == "base64":
        raw = [row.astype("<f4").tobytes() for row in np.atleast_2d(rows)]
        texts = [binascii.b2a_base64(row, newline=False).decode("ascii") for row in raw]
        return texts[0] if rows.ndim == 1 else texts
    if encoding in ("binary", "ubinary"):
        bits = np.packbits(rows > 0, axis=-1)
        return bits if encoding == "ubinary" else _signed(bits)
    if encoding in ("int8", "uint8"):
        assert ranges is not None
        steps = steps_of(ranges)
        with np.errstate(over="ignore"):  # a step that is next to nothing: clipped like all that is outside
            codes = np.clip(np.floor((rows - ranges.low) / steps), 0, _STEPS).astype(np.uint8)
        return codes if encoding == "uint8" else _signed(codes)
    return rows.astype(encoding)


def dequantize(
    codes: Any, encoding: Encoding, *, ranges: Ranges | None = None, dimensions: int | None = None
) -> Floats:
    """Vectors that codes stand for: float32 [n, d], or [d] for one.

    Bytes become the middle of their step, bits plus or minus 1 / sqrt(d), so that rows of bits have unit length.
    `quantize` of the result gives the codes again.

    Args:
        codes: what `quantize` gave.
        encoding: which it was.
        ranges: the same as then, for "int8" and "uint8".
        dimensions: d of "binary" and "ubinary", where it is no multiple of 8.

    Raises:
        ValueError: an unknown encoding, codes of another type or shape, or missing or unfit ranges.
    """
    if encoding not in ENCODINGS:
        raise ValueError(_unknown(encoding))
    if encoding == "base64":
        if isinstance(codes, str):
            return _from_base64(codes)
        return np.stack([_from_base64(text) for text in codes]) if len(codes) else np.empty((0, 0), dtype=np.float32)
    wanted = {"binary": "int8", "ubinary": "uint8"}.get(encoding, encoding)
    array = np.asarray(codes)
    if array.dtype != wanted or array.ndim not in (1, 2):
        raise ValueError(
            f"{encoding} codes are an array of {wanted} with shape [n, d] or [d], got {array.dtype} {list(array.shape)}"
        )
    if encoding in ("binary", "ubinary"):
        size = array.shape[-1] * 8 if dimensions is None else dimensions
        if not array.shape[-1] * 8 - 8 < size <= array.shape[-1] * 8:
            raise ValueError(f"{array.shape[-1]} bytes of bits do not hold {size} dimensions")
        bits = np.unpackbits(array if encoding == "ubinary" else _unsigned(array), axis=-1, count=size)
        length = np.float32(1 / np.sqrt(max(size, 1)))
        return np.where(bits, length, -length)
    if encoding in ("int8", "uint8"):
        _check(np.empty(array.shape[-1], dtype=np.float32), encoding, ranges, finite=False)
        assert ranges is not None
        middle = (array if encoding == "uint8" else _unsigned(array)).astype(np.float32) + np.float32(0.5)
        return np.asarray(ranges.low + middle * steps_of(ranges), dtype=np.float32)
    return array.astype(np.float32)


def _check(rows: Floats, encoding: str, ranges: Ranges | None, *, finite: bool = True) -> None:
    if encoding not in ENCODINGS:
        raise ValueError(_unknown(encoding))
    if rows.ndim not in (1, 2):
        raise ValueError(f"vectors must have shape [d] or [n, d], got {list(rows.shape)}")
    if finite and not np.isfinite(rows).all():
        where = np.argwhere(~np.isfinite(np.atleast_2d(rows)))[0]
        raise ValueError(f"vectors must be finite, but vector {where[0]} is not in dimension {where[1]}")
    if encoding not in ("int8", "uint8"):
        return
    if ranges is None:
        raise ValueError(
            f"{encoding} needs the ranges of the dimensions, fixed beforehand: crumb.vectors.calibrate "
            "measures them over vectors of texts like yours"
        )
    size = rows.shape[-1]
    for name, values in zip(Ranges._fields, ranges, strict=True):
        if np.shape(values) != (size,):
            raise ValueError(f"ranges.{name} must have shape [{size}], as the vectors, got {list(np.shape(values))}")
    if not (np.isfinite(ranges.low).all() and np.isfinite(ranges.high).all() and (ranges.low <= ranges.high).all()):
        raise ValueError("ranges must be finite, and low nowhere above high")


def steps_of(ranges: Ranges) -> Floats:
    """What one step of a byte's code is worth in every dimension, float32 [d]; 1 where a range is a point."""
    steps = (np.asarray(ranges.high, dtype=np.float32) - np.asarray(ranges.low, dtype=np.float32)) / _STEPS
    return np.where(steps == 0, np.float32(1), steps)


def _signed(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    return (codes ^ _OFFSET).view(np.int8)  # minus 128, byte by byte


def _unsigned(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(codes).view(np.uint8) ^ np.uint8(_OFFSET)


def _from_base64(text: str) -> Floats:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
        return np.frombuffer(raw, dtype="<f4").astype(np.float32)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ValueError(f"not the base64 text of float32 values: {str(text)[:40]!r} ({error})") from None


def _unknown(encoding: object) -> str:
    return f"unknown encoding {encoding!r}; choose {', '.join(map(repr, ENCODINGS))}"
