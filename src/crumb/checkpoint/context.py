"""Another context than the checkpoint's own.

Enters: a contract. Leaves: one with the context that was asked for, and how its position rows are to be made. Knows no
weights: the rows are made in positions.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from crumb.checkpoint.contract import Contract
from crumb.checkpoint.positions import METHODS

Positions = Literal["tile", "interpolate", "hierarchical"]


def with_context(contract: Contract, context: int | None, positions: Positions | None) -> Contract:
    """`contract` with another context; raises ValueError where it cannot be had."""
    if positions is not None and positions not in METHODS:
        raise ValueError(f"unknown positions {positions!r}; choose {', '.join(METHODS)}")
    if context is None:
        if positions is not None:
            raise ValueError(f"positions={positions!r} needs a context: how many tokens are wanted?")
        return contract
    if isinstance(context, bool) or not isinstance(context, int) or context < 3:
        raise ValueError(f"context must be a whole number of at least 3 tokens, got {context!r}")
    origins = {**contract.origins, "context": "asked for"}
    if context <= contract.position_rows:
        return replace(contract, context=context, origins=origins)
    if positions is None:
        raise ValueError(
            f"context={context} needs {context} position rows, but {contract.name} has {contract.position_rows}. Say "
            f"how to make the others: positions={' | '.join(map(repr, METHODS))} (tile measured best without training)"
        )
    return replace(contract, context=context, positions=positions, origins={**origins, "positions": "asked for"})
