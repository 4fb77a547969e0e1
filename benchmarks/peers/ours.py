"""crumb itself, in one precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import crumb
from benchmarks.peers.batches import Encode


def build(folder: Path, threads: int, context: int, *, precision: Any) -> Encode:
    """The model with "tile"d positions where the context needs them, cutting at its end as the others do."""
    model = crumb.load(folder, context=context, positions="tile", threads=threads, precision=precision)
    return lambda texts: model.encode(list(texts), truncation="end")
