"""Drawings: lines, points and heat maps.

Enters: names and numbers. Leaves: `Figure`. Knows nothing of measurements. matplotlib draws, without pyplot and without
a display; the same numbers give the same bytes. Figures are as narrow as a telephone, so that their letters keep their
size there.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crumb.evaluation.extras import need
from crumb.evaluation.report.blocks import Figure, clean
from crumb.evaluation.report.palette import SERIES, STEPS, ink_on, marker_of
from crumb.evaluation.report.svg import finish

_MARKERS = "osD^vPX*"
_WIDTH, _HEIGHT = 5.0, 3.3  # inches; 72 units of the drawing each
_LEGEND_ROW = 0.19
_LEGEND_LETTERS = 30  # of a name in a legend


@dataclass(frozen=True)
class Line:
    """One line, or points: `x` and `y` [n]; `error` [n], half the width of an interval, or empty."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """`label`; `log2` for a scale of doublings; `ticks` with their texts, None for matplotlib's own."""

    label: str
    log2: bool = False
    ticks: Mapping[float, str] | None = None


def lines(
    name: str,
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    series: Sequence[Line],
    *,
    joined: bool = True,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Lines, or with joined=False points; `marks` are upright lines, by what they mean.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    columns = 1 if any(len(line.name) > 18 for line in series) else 2
    legend = len(series) > 1 or any(line.dashed for line in series)
    rows = -(-len(series) // columns) if legend else 0
    with _canvas(_HEIGHT + rows * _LEGEND_ROW) as (figure, axes):
        for place, line in enumerate(series):
            colour = marker_of("faint" if line.dashed else f"s{place % SERIES}")
            axes.errorbar(
                line.x,
                line.y,
                yerr=list(line.error) or None,
                color=colour,
                linestyle=("--" if line.dashed else "-") if joined or line.dashed else "none",
                marker="none" if line.dashed else _MARKERS[place % len(_MARKERS)],
                markersize=5,
                linewidth=1.5,
                capsize=2,
                elinewidth=1,
                label=_short(line.name),
            )
        for meaning, at in (marks or {}).items():
            axes.axvline(at, color=marker_of("faint"), linewidth=1, linestyle=":")
            axes.annotate(
                clean(meaning),
                (at, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-3, -3),
                textcoords="offset points",
                rotation=90,
                va="top",
                ha="right",
                fontsize=8,
                color=marker_of("faint"),
            )
        axes.grid(visible=True, color=marker_of("line"), linewidth=0.6)
        axes.set_axisbelow(True)
        _scale(axes, axes.xaxis, axes.set_xscale, axes.set_xticks, x)
        _scale(axes, axes.yaxis, axes.set_yscale, axes.set_yticks, y)
        if legend:
            figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5)
        return _drawn(figure, name, title, description)


def heat(
    name: str,
    title: str,
    description: str,
    x: tuple[str, Sequence[str]],
    y: tuple[str, Sequence[str]],
    values: Sequence[Sequence[float | None]],
    shown: Sequence[Sequence[str]],
) -> Figure:
    """A heat map: `values` [rows, columns], None where there is none, with `shown` written on them.

    Args:
        name, title, description: of the figure.
        x: label, and the columns' names.
        y: label, and the rows' names, from above.
        values: decide the colours, from the least to the greatest.
        shown: what is written.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    known = [v for row in values for v in row if v is not None]
    least, most = min(known), max(known)
    with _canvas(0.9 + 0.32 * len(values)) as (figure, axes):
        from matplotlib.patches import Rectangle

        for i, row in enumerate(values):
            for j, value in enumerate(row):
                if value is None:
                    continue
                share = (value - least) / (most - least) if most > least else 1.0
                step = min(STEPS - 1, int(share * STEPS))
                axes.add_patch(Rectangle((j, i), 1, 1, facecolor=marker_of(f"h{step}"), edgecolor=marker_of("paper")))
                axes.text(
                    j + 0.5, i + 0.5, shown[i][j], ha="center", va="center", fontsize=8, color=marker_of(ink_on(step))
                )
        axes.set_xlim(0, len(x[1]))
        axes.set_ylim(len(y[1]), 0)
        axes.set_xticks([j + 0.5 for j in range(len(x[1]))], [clean(t) for t in x[1]])
        axes.set_yticks([i + 0.5 for i in range(len(y[1]))], [clean(t) for t in y[1]])
        axes.tick_params(length=0)
        axes.set_xlabel(clean(x[0]))
        axes.set_ylabel(clean(y[0]))
        for spine in axes.spines.values():
            spine.set_visible(False)
        return _drawn(figure, name, title, description)


@contextmanager
def _canvas(height: float) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, in our colours, with matplotlib's settings only inside."""
    matplotlib = need("matplotlib")
    from matplotlib.figure import Figure as Canvas

    ink, faint, edge, paper = (marker_of(name) for name in ("ink", "faint", "edge", "paper"))
    ours: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "crumb",
        "text.parse_math": False,  # names hold dollar signs
        "axes.formatter.use_mathtext": False,
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-9, 9),  # numbers in full
        "font.family": ["DejaVu Sans"],  # comes with matplotlib; wider than the page's fonts, so that those fit
        "font.size": 9,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": edge,
        "axes.facecolor": paper,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": edge,
        "ytick.color": edge,
        "xtick.labelcolor": faint,
        "ytick.labelcolor": faint,
        "figure.facecolor": paper,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not whatever a matplotlibrc of this machine says
        matplotlib.rcParams.update(ours)
        figure = Canvas(figsize=(_WIDTH, height), layout="constrained")
        yield figure, figure.add_subplot()


def _scale(axes: Any, axis: Any, scale: Any, set_ticks: Any, wanted: Axis) -> None:
    from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

    if wanted.log2:
        scale("log", base=2)
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(ScalarFormatter())
    elif wanted.ticks is None:
        axis.set_major_locator(MaxNLocator(6))
    if wanted.ticks is not None:
        set_ticks(list(wanted.ticks), [clean(text) for text in wanted.ticks.values()])
    axis.set_label_text(clean(wanted.label))


def _drawn(figure: Any, name: str, title: str, description: str) -> Figure:
    out = io.StringIO()
    with warnings.catch_warnings():
        # text stays text: whoever looks at it has a font for it, only its width is a guess here
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Figure(name, title, description, finish(out.getvalue(), f"plot-{name}", title, description))


def _short(text: str) -> str:
    text = clean(text)
    # matplotlib leaves names with a leading underscore out of legends
    text = f" {text}" if text.startswith("_") else text
    return text if len(text) <= 2 * _LEGEND_LETTERS else text[: 2 * _LEGEND_LETTERS - 1] + "…"
