"""How scores depend on length, on the way of reading and on speed, as drawings with their numbers beside them.

Enters: an evaluation's figures. Leaves: blocks of a page, none where there is nothing to show. Knows nothing of files
or of the rest of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crumb.evaluation.compare import MEAN_OF
from crumb.evaluation.embed import Cost
from crumb.evaluation.evaluate import Evaluation
from crumb.evaluation.lengths import ceiling, ceilings
from crumb.evaluation.relevant import Bin, by_length
from crumb.evaluation.report.blocks import Block, Paragraph, table
from crumb.evaluation.report.plots import Axis, Line, lines
from crumb.evaluation.report.words import counted, how, percent, points
from crumb.evaluation.results import Measured

_FEWEST = 10  # queries of a bin that is drawn; the table has all
_MOST_LINES = 8


def length_blocks(found: Evaluation) -> list[Block]:
    """The main metric of each task by the length of what is to be found."""
    base = {m.task: m for m in found.base}
    bins = {m.task: _bins(m, m) for m in found.results if m.relevant_tokens and m.per_query}
    others = {task: _bins(base[task], m) for m in found.results if (task := m.task) in base and task in bins}
    if not bins:
        return []
    rows = []
    for task, mine in bins.items():
        theirs = {b.high: points(b.mean) for b in others.get(task, [])}
        for b in mine:
            row = [task, f"{b.low:,} to {b.high:,}", f"{b.queries:,}", points(b.mean), points(b.error)]
            rows.append([*row, theirs.get(b.high, "")] if base else row)
    drawn = {task: [b for b in mine if b.queries >= _FEWEST] for task, mine in bins.items()}
    drawn = {task: mine for task, mine in drawn.items() if len(mine) > 1}
    # the widest ranges of lengths say most
    kept = sorted(drawn, key=lambda task: -len(drawn[task]))[:_MOST_LINES]
    blocks: list[Block] = [
        Paragraph(
            "Queries by the tokens of the document that is relevant to them, uncut (of several, the mean of theirs). "
            "A point stands at the upper bound of its bin; whiskers are one standard error of the mean. Bins of fewer "
            f"than {_FEWEST} queries are in the table only."
        )
    ]
    if kept:
        shown = [m for m in found.results if m.task in kept]
        series = [
            Line(
                m.task,
                [b.high for b in drawn[m.task]],
                [100 * b.mean for b in drawn[m.task]],
                [100 * b.error for b in drawn[m.task]],
            )
            for m in shown
        ]
        every = sorted({int(x) for line in series for x in line.x})
        contexts = {m.context for m in shown}
        said = "; ".join(f"{line.name} from {line.y[0]:.1f} to {line.y[-1]:.1f}" for line in series)
        blocks.append(
            lines(
                "length",
                f"Score by tokens of the relevant document{_left_out(len(drawn) - len(kept))}",
                f"From the shortest to the longest bin: {said}.",
                Axis("tokens of the relevant document", log2=True, ticks=_ticks(every)),
                Axis("mean value, times 100"),
                series,
                marks={"context": contexts.pop()} if len(contexts) == 1 else None,
            )
        )
    columns = ["task", "tokens", "queries", "mean", "standard error", *(["mean of the base"] if base else [])]
    blocks.append(table("Means by length, times 100", columns, rows, folded=bool(kept)))
    return blocks


def long_blocks(found: Evaluation) -> list[Block]:
    """Long documents read in several ways, and tasks whose parts are lengths."""
    blocks: list[Block] = []
    if found.rivals:
        tasks = list(dict.fromkeys(m.task for m in found.rivals))
        every = [m for m in (*found.results, *found.rivals) if m.task in tasks]
        ways = list(dict.fromkeys(_way(m) for m in every))
        values = {(m.task, _way(m)): m.value for m in every}
        blocks.append(
            table(
                "Long documents in one vector, and read in other ways; times 100",
                ["task", *ways],
                [[task, *(points(values[task, w]) if (task, w) in values else "" for w in ways)] for task in tasks],
            )
        )
    for place, task in enumerate(dict.fromkeys(m.task for m in found.results), start=1):
        every = [m for m in (*found.results, *found.rivals, *found.base) if m.task == task and _by_length(m)]
        if every:
            blocks += _lengths_of(f"long-{place}-{_slug(task)}", task, every)
    return blocks


def speed_blocks(measured: Mapping[str, Sequence[Measured]]) -> list[Block]:
    """Mean nDCG@10 against tokens a second, of everything that was measured on all of the retrieval tasks."""
    tasks = {m.task for m in measured["results"] if m.main == MEAN_OF}
    runs: dict[tuple[str, str], dict[str, Measured]] = {}
    for m in (m for found in measured.values() for m in found):
        if m.task in tasks:
            runs.setdefault((m.model, how(m)), {}).setdefault(m.task, m)
    rows = []
    for (model, setting), found in runs.items():
        cost = sum((m.query_cost + m.document_cost for m in found.values()), start=Cost(0, 0, 0, 0, 0.0))
        if found.keys() == tasks and cost.seconds > 0:
            value = sum(m.value for m in found.values()) / len(found)
            rows.append((model, setting, cost.tokens / cost.seconds, value, cost.seconds))
    if len(rows) < 2:
        return []
    same = len({model for model, *_ in rows}) == 1
    series = [
        Line(setting if same else f"{model}, {setting}", [rate], [100 * value])
        for model, setting, rate, value, _ in rows[:_MOST_LINES]
    ]
    best = max(rows, key=lambda row: row[3])
    fastest = max(rows, key=lambda row: row[2])
    return [
        lines(
            "speed",
            f"Mean {MEAN_OF} against tokens a second{_left_out(len(rows) - len(series))}",
            f"The best is {best[0]}, {best[1]}, with {points(best[3])} at {best[2]:,.0f} tokens a second; the fastest "
            f"{fastest[0]}, {fastest[1]}, with {points(fastest[3])} at {fastest[2]:,.0f}.",
            Axis("tokens a second"),
            Axis(f"mean {MEAN_OF}, times 100"),
            series,
            joined=False,
        ),
        table(
            f"Means over {counted(len(tasks), 'task')}",
            ["model", "setting", "tokens/s", MEAN_OF, "seconds of encoding"],
            [[m, setting, f"{rate:,.0f}", points(value), f"{s:,.1f}"] for m, setting, rate, value, s in rows],
            words=["setting"],
            folded=True,
        ),
    ]


def _bins(m: Measured, lengths: Measured) -> list[Bin]:
    """Of all parts together; in the tokens of the model that is reported, so that bins hold the same queries."""
    values, tokens = (
        {(part, query): value for part, found in each.items() for query, value in found.items()}
        for each in (m.per_query, lengths.relevant_tokens)
    )
    return by_length(values, tokens)


def _lengths_of(name: str, task: str, every: Sequence[Measured]) -> list[Block]:
    """A task whose parts are lengths, beside what a perfect reader of the model's context would have."""
    lengths = sorted({int(part) for m in every for part in m.parts})
    series, rows = [], []
    mixed = len({m.precision for m in every}) > 1
    for m in every:
        label = f"{m.model}, {_way(m)}" + (f", {m.precision}" if mixed else "")
        values = {int(part): found[m.main] for part, found in m.parts.items()}
        series.append(Line(label, list(values), [100 * v for v in values.values()]))
        share = m.value / ceiling(m.context, values) if m.setting.reading == "whole" else None
        shown = [points(values[n]) if n in values else "" for n in lengths]
        rows.append([label, *shown, points(m.value), "" if share is None else percent(share)])
    said = "; ".join(f"{line.name} from {line.y[0]:.1f} to {line.y[-1]:.1f}" for line in series)
    main, context = every[0].main, every[0].context
    most = ceilings(context, lengths)
    bound = f"ceiling of {context:,} tokens"
    rows.append([bound, *(points(most[n]) for n in lengths), points(ceiling(context, lengths)), ""])
    series = [*series[: _MOST_LINES - 1], Line(bound, lengths, [100 * most[n] for n in lengths], dashed=True)]
    return [
        lines(
            name,
            f"{task}: {main} by the length of the documents",
            f"From the shortest to the longest: {said}.",
            Axis("tokens of a document", log2=True, ticks=_ticks(lengths)),
            Axis(f"{main}, times 100"),
            series,
        ),
        table(
            f"{task} by length, times 100. The ceiling is what a perfect reader finds that stops at its context; a "
            "share of it is given where documents are read whole.",
            ["", *(f"{n:,}" for n in lengths), "mean", "of its ceiling"],
            rows,
        ),
    ]


def _by_length(m: Measured) -> bool:
    return len(m.parts) > 1 and all(part.isdecimal() for part in m.parts)


def _way(m: Measured) -> str:
    """How documents were read, and whatever else of the setting is not the default."""
    kinds = {"chunk-mean": "mean", "chunk-best": "best"}
    rest = {k: v for k, v in m.setting.as_dict().items() if k not in ("context", "precision", "reading", "chunk")}
    read = f"{m.context:,} tokens"
    if m.setting.reading in kinds:
        read = f"{kinds[m.setting.reading]} of {m.setting.chunk:,}-token chunks"
    return ", ".join([read, *(f"{key}={value}" for key, value in rest.items())])


def _ticks(values: Sequence[float]) -> dict[float, str]:
    return {value: f"{value:,.0f}" if value < 1024 else f"{value / 1024:g}k" for value in values}


def _left_out(n: int) -> str:
    return f" ({n} more in the table)" if n > 0 else ""


def _slug(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text[:40])
