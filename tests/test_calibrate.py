"""Calibrations against numpy over the same vectors, as JSON and back, and in a folder's crumb.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crumb
from crumb.checkpoint.extras import read_section, write_section
from crumb.errors import CheckpointError
from crumb.vectors import cut, dequantize, normalize, quantize
from crumb.vectors.calibrate import Calibration, calibrate


@pytest.fixture(scope="module")
def vectors(model: crumb.Model, texts: list[str]) -> np.ndarray:
    return model.encode(texts, truncation="end")


def test_ranges_hold_the_vectors_they_were_measured_on(vectors: np.ndarray) -> None:
    found = calibrate(vectors)
    assert found.count == len(vectors)
    full = found.ranges()
    np.testing.assert_array_equal(full.low, vectors.min(0))
    np.testing.assert_array_equal(full.high, vectors.max(0))
    for d in (32, 128, 256, 384):
        short = normalize(cut(vectors, d))
        ranges = found.ranges(d)
        assert ranges.low.shape == ranges.high.shape == (d,)
        inside = (short >= ranges.low) & (short <= ranges.high)
        assert inside.mean() > 0.99
        # and they are not much wider than need be: what comes back is near
        back = dequantize(quantize(short, "int8", ranges=ranges), "int8", ranges=ranges)
        cosines = (normalize(back) * short).sum(1)
        assert cosines.mean() > 0.9999
        assert cosines.min() > 0.995  # a cut vector that grew more than most is clipped


def test_as_json_and_back(vectors: np.ndarray, tmp_path: Path) -> None:
    found = calibrate(vectors)
    again = Calibration.from_dict(json.loads(json.dumps(found.as_dict())))
    for name in ("low", "high", "gain"):
        assert getattr(again, name).tobytes() == getattr(found, name).tobytes()
    assert read_section(tmp_path, "calibration") is None
    write_section(tmp_path, "other", {"a": 1})
    path = write_section(tmp_path, "calibration", found.as_dict())
    assert read_section(tmp_path, "other") == {"a": 1}
    assert read_section(tmp_path, "calibration") == found.as_dict()
    assert [p.name for p in tmp_path.iterdir()] == [path.name] == ["crumb.json"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.eye(99), r"at least 100 texts, got \[99, 99\]"),
        (np.ones(200), "at least 100 texts"),
        (np.ones((200, 4)), "unit length"),
        (np.full((200, 4), np.nan), "finite"),
    ],
)
def test_what_cannot_be_calibrated(rows: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": None}, "low, high and gain"),
        ({"low": [1.0], "high": [0.0], "gain": [1.0]}, "low nowhere above high"),
        ({"high": [1.0, 2.0, 3.0]}, "lists of one length"),
        ({"gain": [float("nan")] * 2}, "finite"),
        ({"count": "many"}, "a calibration has count"),
        ({"low": "x"}, "a calibration has count"),
    ],
)
def test_other_data_is_refused(change: dict[str, Any], message: str) -> None:
    good = {"count": 3, "low": [0.0, 0.0], "high": [1.0, 1.0], "gain": [2.0, 1.0]}
    Calibration.from_dict(good)
    with pytest.raises(ValueError, match=message):
        Calibration.from_dict({**good, **change})


def test_a_broken_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "crumb.json"
    for content, message in (("{", "cannot be read as JSON"), ('{"calibration": 3}', "should be a JSON object")):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=message):
            read_section(tmp_path, "calibration")
        with pytest.raises(CheckpointError, match=message):
            write_section(tmp_path, "calibration", {})
        assert path.read_text() == content
