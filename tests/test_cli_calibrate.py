"""`crumb calibrate` as a person runs it: what it writes is what numpy finds in the vectors of the same texts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import crumb
from crumb.checkpoint.extras import read_section
from crumb.errors import CheckpointError
from crumb.vectors.calibrate import Calibration
from crumb.vectors.codes import Codes
from crumb.vectors.normalize import normalize

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model's folder that may be written to; the weights are linked."""
    copy = tmp_path / "model"
    shutil.copytree(model_folder, copy, copy_function=lambda a, b: Path(b).symlink_to(a))
    (copy / "crumb.json").unlink(missing_ok=True)
    return copy


def test_ranges_of_these_texts(run_crumb: Run, folder: Path, tmp_path: Path, texts: list[str]) -> None:
    short = [text[:60].replace("\n", " ") for text in texts[:150]]
    (tmp_path / "a.txt").write_text("".join(f"{text}\n" for text in short[:90]), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"body": t}) + "\n\n" for t in short[90:]), encoding="utf-8")
    (folder / "crumb.json").write_text('{"other": {"a": 1}}')
    done = run_crumb("calibrate", str(folder), "a.txt", "b.jsonl", "--field", "body", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert f"wrote the ranges of 384 dimensions over 150 texts to {folder / 'crumb.json'}" in done.stderr
    assert "60 blank" in done.stderr
    model = crumb.load(folder)
    vectors = model.encode(short, truncation="end")
    section = read_section(folder, "calibration")
    assert section is not None
    found = Calibration.from_dict(section)
    assert found.count == 150
    np.testing.assert_array_equal(found.low, vectors.min(0))
    np.testing.assert_array_equal(found.high, vectors.max(0))
    np.testing.assert_array_equal(model.ranges(), [vectors.min(0), vectors.max(0)])
    assert model.ranges(256).low.shape == (256,)
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).cumsum(1))
    np.testing.assert_allclose(found.gain[8:], (1 / lengths).mean(0)[8:], rtol=1e-6)  # before them there is a floor
    assert read_section(folder, "other") == {"a": 1}
    # the same texts again, from stdin, give the same file
    before = (folder / "crumb.json").read_bytes()
    lines = "".join(f"{text}\n" for text in short)
    done = run_crumb("calibrate", str(folder), "-", input=lines)
    assert done.returncode == 0, done.stderr
    assert (folder / "crumb.json").read_bytes() == before


def test_a_model_without_ranges_says_how_to_make_them(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = bytes(4)  # one number of it is another: nobody has measured these weights
    weights.unlink()
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="crumb calibrate .* TEXTS"):
        crumb.load(folder).ranges()


def test_the_default_model_brings_its_ranges(folder: Path, texts: list[str]) -> None:
    model = crumb.load(folder)
    for dimensions in (384, 128):
        vectors = model.encode(texts, dimensions=dimensions, truncation="end")
        codes = Codes.of(vectors, "int8", ranges=model.ranges(dimensions))
        cosines = (normalize(codes.dequantize()) * vectors).sum(1)
        assert cosines.min() > 0.98  # a text of one odd word lies outside
        assert cosines.mean() > 0.9995


def test_too_few_texts_leave_the_folder_alone(run_crumb: Run, folder: Path) -> None:
    done = run_crumb("calibrate", str(folder), "-", input="one\ntwo\n")
    assert done.returncode == 1
    assert "crumb calibrate: calibrating needs vectors [n, d] of at least 100 texts, got 2" in done.stderr
    assert not (folder / "crumb.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("no-such-model", "-"), 1, "no-such-model"),
        (("all-MiniLM-L6-v2", "nowhere.txt"), 1, "nowhere.txt: no such file or folder"),
        (("all-MiniLM-L6-v2",), 2, "TEXTS"),
        (("all-MiniLM-L6-v2", "-", "-"), 2, "stdin can be read once only"),
        (("all-MiniLM-L6-v2", "-", "--field", "x"), 2, "--field is for JSON lines and CSV"),
    ],
)
def test_used_wrongly(run_crumb: Run, words: tuple[str, ...], code: int, message: str) -> None:
    done = run_crumb("calibrate", *words, input="")
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
