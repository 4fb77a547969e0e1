"""Which precision "auto" means on this CPU, and why.

Enters: the kernel tables of this build. Leaves: a choice with its reason. Knows nothing of models: what a precision
keeps of a vector was measured with the texts of the tests (tests/test_precision.py holds the figures to it), and
`crumb doctor` measures it on the machine.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from crumb import _native

Precision = Literal["auto", "float32", "bf16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

# The least cosine to float32 over all texts of the tests
LEAST_COSINE = {"int8": 0.997, "bf16": 0.9999, "float32": 1.0}
LEAST_OF_AUTO = 0.9995


class KernelInfo(NamedTuple):
    """A kernel table of this build: its name, its precision, and whether this CPU runs it."""

    name: str
    precision: str
    runs: bool


class Choice(NamedTuple):
    """What "auto" came to: the precision, and why in a few words."""

    precision: str
    reason: str


def kernels() -> list[KernelInfo]:
    """The kernel tables this build has, the fastest on this CPU first."""
    return [KernelInfo(*row) for row in _native.kernels()]


def choose(precision: str, isa: str = "") -> Choice:
    """The precision to run: the one asked for, or for "auto" the fastest that keeps every vector.

    Args:
        precision: one of `PRECISIONS`.
        isa: kernels asked for by name, or ""; "auto" is then what they compute in.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose {', '.join(map(repr, PRECISIONS))}")
    if precision != "auto":
        return Choice(precision, "asked for")
    found = kernels()
    for kernel in found:
        if kernel.name == isa:
            return Choice(kernel.precision, f"what the kernels {isa!r} compute in")
    here = [kernel.precision for kernel in found if kernel.runs and LEAST_COSINE[kernel.precision] >= LEAST_OF_AUTO]
    slower = ", as its bf16 is slower" if "bf16" in here[1:] and here[0] == "float32" else ""
    return Choice(
        here[0], f"the fastest on this CPU that keeps every cosine to float32 at {LEAST_OF_AUTO} or above{slower}"
    )
