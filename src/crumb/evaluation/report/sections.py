"""What a report says, in order.

Enters: a `Record`. Leaves: a `Page`. Knows what a reader asks for and in which order; drawings of how scores depend on
something are in curves.py. Figures are times 100, as the field prints them; nothing that was cut goes unsaid.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from crumb.evaluation.compare import MEAN_OF, Difference
from crumb.evaluation.embed import Cost
from crumb.evaluation.report.beside import Beside
from crumb.evaluation.report.blocks import Block, Cell, Code, Page, Paragraph, Section, Table, table
from crumb.evaluation.report.curves import length_blocks, long_blocks, speed_blocks
from crumb.evaluation.report.kept import kept_blocks, rate_blocks
from crumb.evaluation.report.record import Record
from crumb.evaluation.report.shared import shared_blocks
from crumb.evaluation.report.words import counted, either, how, percent, points, signed
from crumb.evaluation.results import Measured

_SECOND = ("R@100", "RR@10", "AP@1000")
_DIGITS = 12  # of a digest that are shown where the whole one stands elsewhere


def page_of(record: Record, digest: str) -> Page:
    """The report's page; `digest` is that of report.json, so that page and record can be told to belong together."""
    found = record.evaluation
    sections = [
        ("results", "Results", _results(found.results)),
        ("base", "Against the base", _base(record)),
        ("published", "Published figures", _published(record.published)),
        ("long", "Long documents", long_blocks(found)),
        ("length", "Score against document length", length_blocks(found)),
        ("retention", "What smaller forms keep", [] if record.retention is None else kept_blocks(record.retention)),
        ("speed", "Score against speed", _speed(record)),
        ("cut", "What was cut", _cut(record)),
        (
            "contamination",
            "What tests share with training texts",
            [] if record.contamination is None else shared_blocks(record.contamination),
        ),
        ("data", "Data", _data(record)),
        ("how", "How it was made", _how(record)),
    ]
    return Page(
        title=f"Evaluation of {found.results[0].model}",
        lead=_lead(record),
        sections=tuple(Section(name, title, tuple(blocks)) for name, title, blocks in sections if blocks),
        foot=f"crumb {record.machine['versions']['crumb']}, {record.created}. SHA-256 of report.json: {digest}",
    )


def mean_of(measured: Sequence[Measured]) -> float | None:
    """Mean over the tasks whose metric is nDCG@10; None for fewer than two."""
    values = [m.value for m in measured if m.main == MEAN_OF]
    return sum(values) / len(values) if len(values) > 1 else None


def _lead(record: Record) -> tuple[Block, ...]:
    found = record.evaluation
    first = found.results[0]
    said = []
    mean = mean_of(found.results)
    if mean is not None:
        n = sum(m.main == MEAN_OF for m in found.results)
        said.append(f"Mean {MEAN_OF} over {n} tasks: {points(mean)}.")
    if found.differences:
        tasks = [d for d in found.differences if d.task != "mean"]
        better, worse = (sum(d.clear and (d.difference > 0) is up for d in tasks) for up in (True, False))
        said.append(
            f"Against {_base_name(record)}: better on {better} of {counted(len(tasks), 'task')}, worse on {worse}, on "
            f"{len(tasks) - better - worse} no difference beyond chance ({percent(tasks[0].level)} intervals)."
        )
    repeated = [row for row in record.published if row.reproduced is not None]
    if repeated:
        n = sum(bool(row.reproduced) for row in repeated)
        said.append(f"{n} of {counted(len(repeated), 'published figure')} reproduced.")
    total = _total([*found.results, *found.base])
    said.append(
        f"{total.truncated_texts:,} of {total.texts:,} texts were cut at the context; what they lost is listed below."
        if total.truncated_texts
        else "No text was cut."
    )
    if not record.complete:
        said.append("The values of each query are missing: what is drawn from them is left out.")
    return (Paragraph(f"{first.model}, {how(first)}; {record.created}."), Paragraph(" ".join(said)))


def _base_name(record: Record) -> str:
    base, model = record.evaluation.base[0], record.evaluation.results[0]
    return base.model if base.model != model.model else f"{base.model} ({how(base)})"


def _results(results: Sequence[Measured]) -> list[Block]:
    rows = [
        [
            m.task,
            m.main,
            points(m.value),
            *(points(m.metrics[name]) if name in m.metrics else "" for name in _SECOND),
            f"{m.queries:,}",
            f"{m.documents:,}",
        ]
        for m in results
    ]
    mean = mean_of(results)
    if mean is not None:
        rows.append([f"mean of {MEAN_OF}", MEAN_OF, points(mean), *[""] * (len(_SECOND) + 2)])
    columns = ["task", "metric", "value", *_SECOND, "queries", "documents"]
    found: list[Block] = [
        table("Times 100. Of sentence pairs, both columns count pairs.", columns, rows, words=["metric"])
    ]
    parts = [[m.task, part, points(values[m.main])] for m in results for part, values in m.parts.items()]
    if parts:
        found.append(
            table(
                "Tasks in parts: their value is the mean of the parts", ["task", "part", "value"], parts, words=["part"]
            )
        )
    return found


def _base(record: Record) -> list[Block]:
    found = record.evaluation
    if not found.base:
        return []
    base = found.base[0]
    blocks: list[Block] = [
        Paragraph(
            f"{base.model}, {how(base)}. Intervals hold {percent(found.differences[0].level)} of the differences when "
            f"queries are drawn again, the same for both (paired bootstrap, seed {found.asked.seed}). A difference is "
            "clear where its interval leaves out 0."
            if found.differences
            else f"{base.model}, {how(base)}."
        )
    ]
    rows: list[list[Cell | str]] = [
        [
            d.task,
            points(d.model),
            points(d.base),
            signed(d.difference),
            f"{signed(d.low)} to {signed(d.high)}",
            _clear(d),
            f"{d.queries:,}",
        ]
        for d in found.differences
    ]
    columns = ["task", "model", "base", "difference", "interval", "clear", "queries"]
    if rows:
        blocks.append(table("Times 100, in each task's own metric", columns, rows, words=["clear"]))
    return [*blocks, _all_of("All metrics of the base", found.base)]


def _clear(d: Difference) -> Cell:
    if not d.clear:
        return Cell("no")
    return Cell("better", "good") if d.difference > 0 else Cell("worse", "bad")


def _all_of(caption: str, measured: Sequence[Measured]) -> Table:
    rows = [
        [m.task, m.main, points(m.value), *(points(m.metrics[n]) if n in m.metrics else "" for n in _SECOND)]
        for m in measured
    ]
    return table(caption, ["task", "metric", "value", *_SECOND], rows, words=["metric"], folded=True)


def _published(rows: Sequence[Beside]) -> list[Block]:
    ours = [row for row in rows if row.ours is not None]
    others = [row for row in rows if row.ours is None]
    found: list[Block] = []
    if ours:
        cells: list[list[Cell | str]] = [
            [
                row.task if row.split is None else f"{row.task}, part {row.split}",
                row.model,
                "" if row.context is None else f"{row.context:,}",
                f"{row.ours:.2f}",
                f"{row.published:.2f}",
                f"{row.difference:+.2f}",
                f"{row.tolerance:.2f}",
                Cell("yes", "good") if row.reproduced else Cell("no", "bad"),
                row.source,
            ]
            for row in ours
        ]
        columns = ["task", "model", "context", "ours", "published", "difference", "tolerance", "reproduced", "source"]
        found.append(
            table(
                "Published figures of what was measured here, at the same context",
                columns,
                cells,
                words=["model", "reproduced", "source"],
            )
        )
    if others:
        rest = [
            [
                row.task if row.split is None else f"{row.task}, part {row.split}",
                row.model,
                "" if row.context is None else f"{row.context:,}",
                f"{row.published:.2f}",
                row.source,
            ]
            for row in others
        ]
        found.append(
            table(
                "Published figures that nothing here repeats: of other models or contexts, or of a larger set",
                ["task", "model", "context", "published", "source"],
                rest,
                words=["model", "source"],
                folded=bool(ours),
            )
        )
    return found


def _speed(record: Record) -> list[Block]:
    found = speed_blocks(record.measured)
    if record.retention is not None:
        found += rate_blocks(record.retention)
    note = Paragraph("Speed is that of this run on this machine, tokenising included: no figure to be reproduced.")
    return [note, *found] if found else []


def _cut(record: Record) -> list[Block]:
    rows = []
    for measured in record.measured.values():
        for m in measured:
            for side, cost in (("queries", m.query_cost), ("documents", m.document_cost)):
                if cost.truncated_texts:
                    rows.append(
                        [
                            m.task,
                            either(m, record.evaluation.results),
                            side,
                            f"{m.context:,}",
                            f"{cost.truncated_texts:,} of {cost.texts:,}",
                            f"{cost.tokens_cut:,}",
                            percent(cost.tokens_cut / (cost.tokens + cost.tokens_cut)),
                        ]
                    )
    if not rows:
        return [Paragraph("Nothing: every text of every task was read to its end.")]
    return [
        Paragraph("Texts longer than the context lost their end. Tasks and sides that are not listed lost nothing."),
        table(
            "Texts that were cut, and tokens that were lost",
            ["task", "model and setting", "side", "context", "texts cut", "tokens lost", "of all tokens"],
            rows,
            words=["model and setting", "side"],
        ),
    ]


def _data(record: Record) -> list[Block]:
    rows = []
    for m in record.evaluation.results:
        for name, value in m.data.items():
            rows.append([m.task, name, str(value), record.licences.get(m.task, "")])
    columns = ["task", "file or parameter", "SHA-256 or value", "licence of the data"]
    return [table("What was read", columns, rows, words=columns[1:])]


def _how(record: Record) -> list[Block]:
    machine = record.machine
    models = {(m.model, m.fingerprint, how(m)): None for found in record.measured.values() for m in found}
    rows = [
        ["CPU", machine["cpu"]],
        ["instruction sets", ", ".join(machine["instruction_sets"])],
        ["cores", str(machine["cores"])],
        ["system", machine["system"]],
        *([name, number] for name, number in machine["versions"].items()),
        ["seed", str(record.evaluation.asked.seed)],
    ]
    return [
        Code(shlex.join(record.command)),
        Paragraph("To check every figure on this page, with the same data:"),
        Code("crumb eval --reproduce REPORT --data DIR"),
        table("Machine and versions", ["", "value"], rows, words=["value"]),
        table(
            "Models and settings",
            ["model", "setting", "fingerprint"],
            [[model, setting, fingerprint] for model, fingerprint, setting in models],
            words=["setting", "fingerprint"],
        ),
    ]


def _total(measured: Sequence[Measured]) -> Cost:
    return sum((m.query_cost + m.document_cost for m in measured), start=Cost(0, 0, 0, 0, 0.0))
