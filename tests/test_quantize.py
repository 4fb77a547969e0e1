"""Codes against sentence-transformers on given ranges, against arithmetic in Python, and back again."""

from __future__ import annotations

import base64
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sentence_transformers.util import quantize_embeddings

from crumb.vectors import Ranges, dequantize, quantize
from crumb.vectors.quantize import ENCODINGS

VALUES = st.floats(-2, 2, width=32)


@st.composite
def rows_and_ranges(draw: st.DrawFn) -> tuple[np.ndarray, Ranges]:
    d = draw(st.integers(1, 40))
    rows = draw(hnp.arrays(np.float32, (draw(st.integers(1, 6)), d), elements=VALUES))
    ends = draw(hnp.arrays(np.float32, (2, d), elements=VALUES))
    return rows, Ranges(ends.min(0), ends.max(0))


@given(case=rows_and_ranges(), encoding=st.sampled_from(["int8", "uint8", "binary", "ubinary"]))
def test_as_sentence_transformers(case: tuple[np.ndarray, Ranges], encoding: Any) -> None:
    rows, ranges = case
    expected = quantize_embeddings(rows, encoding, ranges=np.stack(ranges))
    found = quantize(rows, encoding, ranges=ranges)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    one = quantize(rows[0], encoding, ranges=ranges)
    np.testing.assert_array_equal(one, expected[0])


def test_by_hand() -> None:
    ranges = Ranges(np.float32([-1, 0, 0.5]), np.float32([1, 0.255, 0.5]))
    row = np.float32([0, 0.1, 0.6])
    assert quantize(row, "uint8", ranges=ranges).tolist() == [127, 100, 0]
    assert quantize(row, "int8", ranges=ranges).tolist() == [-1, -28, -128]
    assert quantize(np.float32([9, -9, 9]), "uint8", ranges=ranges).tolist() == [255, 0, 8]
    bits = np.float32([1, -1, 0, 1e-9, -0.0, 2, 3, -4, 5])
    assert quantize(bits, "ubinary").tolist() == [0b10010110, 0b10000000]
    assert quantize(bits, "binary").tolist() == [0b10010110 - 128, 0]
    assert quantize(row, "base64") == base64.b64encode(struct.pack("<3f", *row)).decode()
    assert quantize([row, row], "base64") == [quantize(row, "base64")] * 2


@given(case=rows_and_ranges(), encoding=st.sampled_from(ENCODINGS))
def test_there_and_back(case: tuple[np.ndarray, Ranges], encoding: Any) -> None:
    """What comes back is within half a step, and gives the same codes again."""
    rows, ranges = case
    size = rows.shape[1]
    codes = quantize(rows, encoding, ranges=ranges)
    back = dequantize(codes, encoding, ranges=ranges, dimensions=size if "binary" in encoding else None)
    assert back.dtype == np.float32
    assert back.shape == rows.shape
    if encoding in ("float32", "base64"):
        np.testing.assert_array_equal(back, rows)
    elif encoding == "float16":
        np.testing.assert_array_equal(back, rows.astype(np.float16))
    elif "binary" in encoding:
        np.testing.assert_array_equal(back > 0, rows > 0)
        np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, rtol=1e-6)
    else:
        step = (ranges.high.astype(np.float64) - ranges.low) / 255
        wide = step > 1e-5  # below, float32 has no digits left for the middle of a step
        inside = np.clip(rows, ranges.low, ranges.high)
        assert (np.abs(back - inside)[:, wide] <= (0.51 * step + 1e-6)[wide]).all()
        again = quantize(back, encoding, ranges=ranges)
        np.testing.assert_array_equal(again[:, wide], codes[:, wide])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize(np.zeros(3), "int4"), "unknown encoding 'int4'; choose 'float32', 'float16', 'int8'"),
        (lambda: quantize(np.zeros(3), "int8"), "int8 needs the ranges of the dimensions, fixed beforehand"),
        (lambda: quantize(np.zeros((1, 2, 3)), "binary"), r"shape \[d\] or \[n, d\], got \[1, 2, 3\]"),
        (lambda: quantize(np.float32([[0, 1], [0, np.nan]]), "binary"), "vector 1 is not in dimension 1"),
        (
            lambda: quantize(np.zeros(3), "uint8", ranges=Ranges(np.zeros(2), np.ones(2))),
            r"ranges.low must have shape \[3\], as the vectors, got \[2\]",
        ),
        (lambda: quantize(np.zeros(2), "uint8", ranges=Ranges(np.ones(2), np.zeros(2))), "low nowhere above high"),
        (lambda: dequantize(np.zeros(3), "int8"), "int8 codes are an array of int8 .* got float64"),
        (lambda: dequantize(np.zeros(3, np.int8), "int8"), "needs the ranges"),
        (lambda: dequantize(np.zeros(2, np.uint8), "ubinary", dimensions=8), "2 bytes of bits do not hold 8"),
        (lambda: dequantize("AAA", "base64"), "not the base64 text of float32 values: 'AAA'"),
        (lambda: dequantize("AAAA", "base64"), "not the base64 text of float32 values"),
    ],
)
def test_what_cannot_be_done(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_rows(encoding: Any) -> None:
    ranges = Ranges(np.zeros(8, np.float32), np.ones(8, np.float32))
    codes = quantize(np.empty((0, 8), np.float32), encoding, ranges=ranges)
    assert len(codes) == 0
    assert len(dequantize(codes, encoding, ranges=ranges)) == 0
