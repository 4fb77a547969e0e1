"""Numbers and settings as a reader sees them.

Enters: figures and settings. Leaves: short texts. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Sequence

from crumb.evaluation.results import Measured


def points(value: float) -> str:
    """A figure times 100, with two decimals."""
    return f"{100 * value:.2f}"


def signed(value: float) -> str:
    """A difference times 100, with its sign and two decimals."""
    return f"{100 * value:+.2f}"


def percent(share: float) -> str:
    """A share in per cent; what is not quite nothing or all does not look so."""
    text = f"{100 * share:.1f}".removesuffix(".0")
    if text == "0" and share > 0:
        return "< 0.1 %"
    return "> 99.9 %" if text == "100" and share < 1 else f"{text} %"


def counted(n: int, thing: str) -> str:
    """A number and what it counts, in the plural where it is not one."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def how(m: Measured) -> str:
    """What its setting came to: context, precision, kernels, and what differs from the defaults."""
    rest = m.setting.as_dict()
    rest.pop("context", None)
    rest.pop("precision", None)
    parts = [f"{m.context:,} tokens", f"{m.precision} on {m.isa}", *(f"{k}={v}" for k, v in rest.items())]
    return ", ".join(parts)


def either(m: Measured, results: Sequence[Measured]) -> str:
    """The model's name, and its setting where `results` have another of the same model."""
    same = [r for r in results if r.model == m.model and r.fingerprint == m.fingerprint]
    return m.model if same and same[0].setting == m.setting else f"{m.model}, {how(m)}"
