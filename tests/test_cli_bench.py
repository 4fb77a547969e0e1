"""`crumb bench` against what can be known without a clock: counts, cosines and the kernels of this CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import PRECISIONS

import crumb
from crumb.cli import main


def test_every_precision_of_this_cpu(model: crumb.Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--runs", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["precision"]: row for row in found["precisions"]}
    assert set(rows) == set(PRECISIONS.values())
    assert found["model"] == model.name
    for precision, row in rows.items():
        assert PRECISIONS[row["kernels"]] == precision
        assert len(row["tokens_per_second"]) == 3
        assert min(row["tokens_per_second"].values()) > 0
        assert 0 < row["query_ms"]["p50"] <= row["query_ms"]["p99"]
    assert rows["float32"]["least_cosine"] == 1
    assert 0.99 < rows["int8"]["least_cosine"] < 1
    assert rows["int8"]["packed_megabytes"] < 0.28 * rows["float32"]["packed_megabytes"]


def test_own_texts_and_one_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"body": f"text number {i}"}) + "\n" for i in range(5)))
    arguments = ["bench", "--from", str(path), "--field", "body", "--limit", "3", "--runs", "1"]
    assert main([*arguments, "--precision", "float32"]) == 0
    out = capsys.readouterr().out
    assert f"3 texts of {path}, tokens/s" in out
    assert "float32" in out
    assert "int8" not in out
    (tmp_path / "none.txt").write_text("")
    assert main(["bench", "--from", str(tmp_path / "none.txt")]) == 1
    assert "has no texts to measure with" in capsys.readouterr().err
