"""A model by its name.

Enters: a name and what to run it with. Leaves: a `Model`. Knows the order of things (folder, contract, context) and
does none of them itself.
"""

from __future__ import annotations

from pathlib import Path

from crumb import store
from crumb.checkpoint import read_contract
from crumb.checkpoint.context import Positions, with_context
from crumb.engine.precision import Precision
from crumb.model import Model


def load(
    name: str | Path | None = None,
    *,
    context: int | None = None,
    positions: Positions | None = None,
    threads: int | None = None,
    isa: str | None = None,
    precision: Precision = "auto",
) -> Model:
    """Loads a model.

    Args:
        name: a catalogue name, a folder, or a Hub id that was pulled; None for the default model, which is brought to
            this machine once if it is not there (a line on stderr says so). Nothing else is ever fetched here.
        context: longest input in tokens, special tokens included; None for the checkpoint's own.
        positions: how to make position rows that the checkpoint does not have ("tile", "interpolate", "hierarchical"),
            needed where `context` asks for more than there are; see crumb.checkpoint.positions.
        threads: threads a call uses; None for the physical cores available to the process.
        isa: kernels by name; None for CRUMB_ISA, or else the best this CPU runs.
        precision: "float32"; "bf16", half the memory, with AMX or AVX-512 of AMD twice as fast or more (with AVX2
            alone single queries only are faster), with a cosine of 0.9999 and better to float32; "int8", faster again,
            at 0.9995 in the mean (0.998 for the worst of short texts) and half the memory of bf16; "auto" takes the
            fastest on this CPU whose every cosine is above 0.9995, which is bf16 or float32: `crumb doctor` says which
            and why.

    Raises:
        ModelNotFoundError: no such model here.
        CheckpointError: the folder cannot be read, or asks for what the engine does not do.
        ValueError: `context` is out of range, or larger than the position rows without `positions`; or this CPU has no
            such kernels or precision.
    """
    folder = store.resolve(name, fetch=name is None)
    contract = with_context(read_contract(folder), context, positions)
    return Model(contract, threads=threads, isa=isa, precision=precision)
