"""Curves of a run: loss, learning rate and evaluation, as SVG.

Enters: a run's log. Leaves: loss.svg, rate.svg and, where there were evaluations, evaluation.svg. Knows nothing of the
run itself. The same log gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crumb.training.logs import read_log

SMOOTHING = 0.05  # weight of a new value in the smoothed loss


def plot(log: Path, folder: Path) -> list[Path]:
    """Draws what the log in `log` has, into `folder`; gives the files."""
    import matplotlib

    events = list(read_log(log))
    steps = [event for event in events if event["event"] == "step"]
    evaluations = [event for event in events if event["event"] == "evaluation"]
    folder.mkdir(parents=True, exist_ok=True)
    # The hash salt keeps the ids inside the file, and with them its bytes, the same.
    with matplotlib.rc_context({"svg.hashsalt": "crumb", "svg.fonttype": "none"}):
        files = []
        if steps:
            files.append(_loss(steps, folder / "loss.svg"))
            files.append(_rate(steps, folder / "rate.svg"))
        if evaluations:
            files.append(_evaluation(evaluations, folder / "evaluation.svg"))
    return files


def _loss(steps: Sequence[dict[str, Any]], path: Path) -> Path:
    at, values = [event["run_step"] for event in steps], [event["loss"] for event in steps]
    smoothed = [values[0]]
    for value in values[1:]:
        smoothed.append(smoothed[-1] + SMOOTHING * (value - smoothed[-1]))
    figure, axes = _axes("step", "loss")
    axes.plot(at, values, color="0.8", linewidth=0.8, label="step")
    axes.plot(at, smoothed, color="C0", label="smoothed")
    return _save(figure, axes, path)


def _rate(steps: Sequence[dict[str, Any]], path: Path) -> Path:
    figure, axes = _axes("step", "learning rate")
    for name in sorted({name for event in steps for name in event["rates"]}):
        points = [(event["run_step"], event["rates"][name]) for event in steps if name in event["rates"]]
        axes.plot(*zip(*points, strict=True), label=name)
    return _save(figure, axes, path)


def _evaluation(evaluations: Sequence[dict[str, Any]], path: Path) -> Path:
    figure, axes = _axes("step", "nDCG@10")
    for name in evaluations[0]["scores"]:
        points = [(event["run_step"], event["scores"][name]) for event in evaluations if name in event["scores"]]
        axes.plot(*zip(*points, strict=True), color="0.7", marker=".", linewidth=0.8)
        axes.annotate(name, points[-1], fontsize=7, color="0.4")
    axes.plot(
        [event["run_step"] for event in evaluations],
        [event["mean"] for event in evaluations],
        color="C0",
        marker="o",
        label="mean",
    )
    return _save(figure, axes, path)


def _axes(x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot: no backend is chosen, no window can open

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> Path:
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    return path
