"""What smaller forms keep of a model's figures, as drawings with their numbers beside them.

Enters: `Retention`. Leaves: blocks of a page. Knows nothing of how it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from crumb.evaluation.compare import MEAN_OF
from crumb.evaluation.report.blocks import Block, Figure, Paragraph, table
from crumb.evaluation.report.plots import Axis, Line, heat, lines
from crumb.evaluation.report.words import counted, percent, points
from crumb.evaluation.retained import Cell, Retention

_SHARE = Axis("share of full size, %")


def kept_blocks(found: Retention) -> list[Block]:
    """Dimensions, encodings, layers and precisions, each with what it keeps in the mean over tasks and at worst."""
    full = found.full
    cells = [cell for cell in found.cells if cell.shares]
    if not cells:
        return [Paragraph("Every task has 0 at full size: there is nothing to keep.")]
    form = full.form
    intro = Paragraph(
        f"Each task's main metric as a share of what {found.model} has at full size ({form.layers} layers, "
        f"{form.dimensions} dimensions, {form.precision}, float32 vectors; {found.context:,} tokens, {found.isa}), "
        f"over {counted(len(full.shares), 'task')}: {', '.join(full.shares)}."
    )
    sizes = [c for c in cells if _is(c, full, "precision", "layers", "encoding")]
    depths = [c for c in cells if _is(c, full, "precision", "dimensions", "encoding")]
    grid = [c for c in cells if _is(c, full, "precision", "encoding")]
    coded = [c for c in cells if _is(c, full, "precision", "layers")]
    blocks: list[Block] = [intro]
    if len(sizes) > 1:
        blocks.append(_curve("dimensions", "Share of full size by dimensions", sizes, "dimensions"))
    if len({c.form.encoding for c in coded}) > 1:
        blocks.append(_encodings(coded, found.encodings))
    if len(depths) > 1:
        blocks.append(_curve("layers", "Share of full size by layers", depths, "layers"))
    if len(found.layers) > 1 and len(found.dimensions) > 1:
        blocks.append(_grid(found, grid))
    blocks.append(_table("Every form: what it keeps, and what it takes", cells))
    blocks.append(_by_task(found, cells))
    return blocks


def rate_blocks(found: Retention) -> list[Block]:
    """Mean nDCG@10 against tokens a second: precisions, each with fewer and fewer layers."""
    tasks = [task for task, main in found.tasks.items() if main == MEAN_OF]
    full = found.full
    every = [c for c in found.cells if _is(c, full, "dimensions", "encoding") and c.tokens_per_second]
    every = [c for c in every if tasks and all(task in c.values for task in tasks)]
    if len(every) < 2:
        return []
    value = {c.form: sum(c.values[task] for task in tasks) / len(tasks) for c in every}
    series = []
    for precision in found.precisions:
        mine = sorted((c for c in every if c.form.precision == precision), key=lambda c: -c.form.layers)
        if mine:
            span = f"{mine[0].form.layers} to {mine[-1].form.layers} layers" if len(mine) > 1 else "all layers"
            rates = [c.tokens_per_second or 0.0 for c in mine]
            series.append(Line(f"{precision}, {span}", rates, [100 * value[c.form] for c in mine]))
    said = "; ".join(
        f"{line.name}: {line.y[0]:.1f} at {line.x[0]:,.0f} to {line.y[-1]:.1f} at {line.x[-1]:,.0f}" for line in series
    )
    rows = [[c.form.precision, str(c.form.layers), f"{c.tokens_per_second:,.0f}", points(value[c.form])] for c in every]
    return [
        lines(
            "rates",
            f"Mean {MEAN_OF} against tokens a second, by precision and layers",
            f"{said}.",
            Axis("tokens a second"),
            Axis(f"mean {MEAN_OF}, times 100"),
            series,
        ),
        table(
            f"Means over {counted(len(tasks), 'task')}, and speed on this machine",
            ["precision", "layers", "tokens/s", MEAN_OF],
            rows,
            folded=True,
        ),
    ]


def _is(cell: Cell, full: Cell, *fields: str) -> bool:
    """Whether a form is that of the full size in these fields."""
    return all(getattr(cell.form, field) == getattr(full.form, field) for field in fields)


def _curve(name: str, title: str, cells: Sequence[Cell], field: str) -> Figure:
    ordered = sorted(cells, key=lambda c: getattr(c.form, field))
    x = [getattr(c.form, field) for c in ordered]
    mean, worst = [100 * c.mean for c in ordered], [100 * c.worst[1] for c in ordered]
    least = ordered[0]
    return lines(
        name,
        title,
        f"In the mean {mean[0]:.1f} % at {x[0]} and {mean[-1]:.1f} % at {x[-1]}; at worst {worst[0]:.1f} % "
        f"({least.worst[0]}) at {x[0]}.",
        Axis(field, log2=field == "dimensions", ticks={n: str(n) for n in x}),
        _SHARE,
        [Line("mean over tasks", x, mean), Line("worst task", x, worst)],
    )


def _encodings(cells: Sequence[Cell], encodings: Sequence[str]) -> Figure:
    series = []
    for encoding in encodings:
        mine = sorted((c for c in cells if c.form.encoding == encoding), key=lambda c: c.form.stored_bytes)
        if mine:
            series.append(Line(encoding, [c.form.stored_bytes for c in mine], [100 * c.mean for c in mine]))
    most = [2**n for n in range(math.floor(math.log2(min(x for s in series for x in s.x))), 12)]
    reach = max(x for s in series for x in s.x)
    ticks = {float(n): f"{n:,}" for n in most if n <= 2 * reach}
    said = "; ".join(f"{s.name} {s.y[0]:.1f} % with {s.x[0]:,} bytes, {s.y[-1]:.1f} % with {s.x[-1]:,}" for s in series)
    return lines(
        "encodings",
        "Mean share of full size by bytes of a stored vector",
        f"{said}.",
        Axis("bytes of a stored vector", log2=True, ticks=ticks),
        _SHARE,
        series,
    )


def _grid(found: Retention, cells: Sequence[Cell]) -> Figure:
    known = {(c.form.layers, c.form.dimensions): c.mean for c in cells}
    layers, dimensions = sorted(found.layers, reverse=True), sorted(found.dimensions, reverse=True)
    values = [[known.get((depth, size)) for size in dimensions] for depth in layers]
    shown = [["" if value is None else f"{100 * value:.1f}" for value in row] for row in values]
    least = min(known.items(), key=lambda item: item[1])
    return heat(
        "grid",
        "Mean share of full size, %, by layers and dimensions",
        f"From 100 % at {layers[0]} layers and {dimensions[0]} dimensions down to {100 * least[1]:.1f} % at "
        f"{least[0][0]} layers and {least[0][1]} dimensions.",
        ("dimensions", [str(n) for n in dimensions]),
        ("layers", [str(n) for n in layers]),
        values,
        shown,
    )


def _table(caption: str, cells: Sequence[Cell]) -> Block:
    rows = [
        [
            _name(c),
            percent(c.mean),
            percent(c.worst[1]),
            c.worst[0],
            f"{c.form.stored_bytes:,}",
            "" if c.tokens_per_second is None else f"{c.tokens_per_second:,.0f}",
        ]
        for c in cells
    ]
    columns = ["form", "mean", "worst", "worst task", "bytes a vector", "tokens/s"]
    return table(caption, columns, rows, words=["worst task"], folded=True)


def _by_task(found: Retention, cells: Sequence[Cell]) -> Block:
    tasks = list(found.tasks)
    rows = [[_name(c), *(points(c.values[task]) if task in c.values else "" for task in tasks)] for c in cells]
    return table("Every form on every task, times 100", ["form", *tasks], rows, folded=True)


def _name(cell: Cell) -> str:
    form = cell.form
    return f"{form.precision}, {form.layers} layers, {form.dimensions} dimensions, {form.encoding}"
