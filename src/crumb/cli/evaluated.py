"""An evaluation as tables for a terminal.

Enters: a `Record`. Leaves: lines on stdout; figures times 100, as the field prints them. Knows nothing of how they
came about.
"""

from __future__ import annotations

from collections.abc import Sequence

from crumb.evaluation.compare import MEAN_OF
from crumb.evaluation.published import published_for
from crumb.evaluation.report.record import Record
from crumb.evaluation.results import Measured
from crumb.evaluation.retained import Retention

_SECOND = ("R@100", "RR@10", "AP@1000")  # beside the main metric, where a task has them


def show(record: Record) -> None:
    """Prints the model's figures, those of the base with their differences, the rivals, what smaller forms keep."""
    evaluation = record.evaluation
    rows = [["task", "metric", "value", *_SECOND, "published", "cut"]]
    rows += [_row(m) for m in evaluation.results]
    alike = [m.value for m in evaluation.results if m.main == MEAN_OF]
    if len(alike) > 1:
        rows.append(["mean", MEAN_OF, f"{100 * sum(alike) / len(alike):.2f}", *[""] * (len(rows[0]) - 3)])
    _table(rows)
    if evaluation.differences:
        base = evaluation.base[0]
        print(f"\nbeside {base.model} at {base.context} tokens (interval of 95 % over the queries; * leaves out 0)")
        rows = [["task", "model", "base", "difference", "from", "to", ""]]
        for d in evaluation.differences:
            figures = [f"{100 * value:.2f}" for value in (d.model, d.base)]
            figures += [f"{100 * value:+.2f}" for value in (d.difference, d.low, d.high)]
            rows.append([d.task, *figures, "*" if d.clear else ""])
        _table(rows)
    if evaluation.rivals:
        print("\nlong documents, read in other ways")
        rows = [["task", "metric", "value", "reading", "context"]]
        for m in [m for m in evaluation.results if m.task in {r.task for r in evaluation.rivals}] + evaluation.rivals:
            rows.append([m.task, m.main, f"{100 * m.value:.2f}", m.setting.reading, str(m.context)])
        _table(sorted(rows[1:], key=lambda row: row[0]), head=rows[0])
    if record.retention is not None:
        print("\nwhat smaller forms keep of the full size, in percent: mean, and the worst task")
        _table(
            [["precision", "layers", "dimensions", "stored", "bytes", "mean", "worst", ""], *_kept(record.retention)]
        )
    if record.contamination is not None:
        found = record.contamination
        print(f"\nwhat tasks share with {found.texts:,} training texts (runs of {found.n} words)")
        rows = [["task", "side", "texts", "verbatim", "half covered", "shared"]]
        for task, sides in found.tasks.items():
            for side, o in sides.items():
                rows.append([task, side, *(f"{n:,}" for n in (o.texts, o.verbatim, o.half, o.shared))])
        _table(rows)


def _kept(found: Retention) -> list[list[str]]:
    """Every form but the grid's inside: a report has that too."""
    full = found.full.form
    rows = []
    for cell in found.cells:
        form = cell.form
        if (form.layers != full.layers and form.dimensions != full.dimensions) or not cell.shares:
            continue
        task, share = cell.worst
        names = [form.precision, str(form.layers), str(form.dimensions), form.encoding, str(form.stored_bytes)]
        rows.append([*names, f"{100 * cell.mean:.1f}", f"{100 * share:.1f}", task])
    return rows


def _row(m: Measured) -> list[str]:
    second = [f"{100 * m.metrics[name]:.2f}" if name in m.metrics else "" for name in _SECOND]
    published = published_for(m)
    known = "" if published is None else f"{published.value:.2f} ({100 * m.value - published.value:+.2f})"
    cost = m.query_cost + m.document_cost
    return [
        m.task,
        m.main,
        f"{100 * m.value:.2f}",
        *second,
        known,
        f"{cost.truncated_texts:,} texts" * (cost.tokens_cut > 0),
    ]


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] | None = None) -> None:
    rows = rows if head is None else [head, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )
