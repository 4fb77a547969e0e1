"""What came of doing a measurement again, for a terminal.

Enters: a `Reproduction`. Leaves: lines. Knows nothing of measuring.
"""

from __future__ import annotations

from crumb.evaluation.report.reproduce import Check, Reproduction

_METRICS = 5  # digits behind the point: enough to see a query change places among thousands


def outcome(found: Reproduction) -> str:
    """What differs between then and now; every metric, and whatever else is not as it was; the verdict."""
    lines = [f"data or model: {line}" for line in found.broken]
    lines += [f"changed since: {line}" for line in found.changes]
    lines += [f"not compared: {line}" for line in found.unchecked]
    shown = [check for check in found.checks if _is_metric(check) or check.verdict != "equal"]
    of = None
    for check in shown:
        if check.of != of:
            of = check.of
            lines += ["", of]
        lines.append(
            f"  {check.figure:<28} {_number(check.then):>12} {_number(check.now):>12}  {check.verdict}"
            + (f" of {check.tolerance:g}" if check.verdict == "within tolerance" else "")
        )
    counts = {verdict: sum(check.verdict == verdict for check in found.checks) for verdict in _VERDICTS}
    told = ", ".join(f"{n:,} {verdict}" for verdict, n in counts.items() if n)
    end = "reproduced" if found.reproduced else "NOT reproduced"
    return "\n".join([*lines, "", f"{end}: of {len(found.checks):,} figures {told}"]).lstrip("\n")


_VERDICTS = ("equal", "within tolerance", "differs")


def _is_metric(check: Check) -> bool:
    return isinstance(check.then, float)


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.{_METRICS}f}" if isinstance(value, float) else f"{value:,}"
