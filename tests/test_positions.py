"""Position rows beyond the checkpoint's, against each method's definition written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crumb
from crumb.checkpoint.positions import METHODS, extend_positions
from crumb.checkpoint.weights import read_weights

TABLE = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)


@given(method=st.sampled_from(METHODS), context=st.integers(1, 256))
def test_trained_rows_stay_as_they_are(method: str, context: int) -> None:
    extended = extend_positions(TABLE, context, method)
    assert len(extended) == max(context, 16)
    assert extended.dtype == np.float32
    assert extended[:16].tobytes() == TABLE.tobytes()


def test_tile_repeats_the_table() -> None:
    assert (extend_positions(TABLE, 40, "tile") == np.vstack([TABLE, TABLE, TABLE])[:40]).all()


def test_interpolate_stretches_it() -> None:
    expected = np.stack([np.interp(np.linspace(0, 15, 40), np.arange(16), column) for column in TABLE.T], axis=1)
    np.testing.assert_allclose(extend_positions(TABLE, 40, "interpolate")[16:], expected[16:], atol=1e-6)


def test_hierarchical_adds_coarse_and_fine() -> None:
    a, p = 0.4, TABLE.astype(np.float64)
    u = (p - a * p[0]) / (1 - a)
    extended = extend_positions(TABLE, 256, "hierarchical")
    for t in (16, 17, 31, 32, 100, 255):
        np.testing.assert_allclose(extended[t], a * u[t // 16] + (1 - a) * u[t % 16], atol=1e-6)
    # the definition gives back the trained rows for the first block: that is what u was chosen for
    np.testing.assert_allclose(a * u[0] + (1 - a) * u, p, atol=1e-12)


def test_what_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="hierarchical positions reach 256 tokens from 16 rows, not 257"):
        extend_positions(TABLE, 257, "hierarchical")
    with pytest.raises(ValueError, match="unknown positions 'stretch'; choose tile, interpolate, hierarchical"):
        extend_positions(TABLE, 20, "stretch")


def test_loading_with_more_context(model: crumb.Model) -> None:
    with pytest.raises(
        ValueError,
        match=r"context=4096 needs 4096 position rows, but all-MiniLM-L6-v2 has 512.*'tile' \| 'interpolate' \| 'hier",
    ):
        crumb.load(context=4096)
    for method in METHODS:
        longer = crumb.load(context=2048, positions=method, precision="float32")
        assert longer.context == 2048
        assert longer.contract.positions == method
        weights = read_weights(longer.contract)
        assert weights.position.shape == (2048, 384)
        # short texts keep their vectors, long ones get another one than the cut text
        text = "a text of a few words"
        assert longer.encode(text).tobytes() == model.encode(text).tobytes()
        long_text = "many different words " * 400
        vectors, report = longer.encode([long_text], return_report=True)
        assert report.tokens == 1202
        assert float(vectors[0] @ model.encode([long_text], truncation="end")[0]) < 0.9999
    with pytest.raises(ValueError, match="context must be a whole number of at least 3 tokens, got 2"):
        crumb.load(context=2)
    with pytest.raises(ValueError, match="positions='tile' needs a context"):
        crumb.load(positions="tile")
