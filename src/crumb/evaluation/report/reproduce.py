"""A report checked by measuring again.

Enters: a `Record`, and something that measures. Leaves: `Reproduction`, every figure of the report beside the new one,
and what else differs between then and now. Knows nothing of how measuring is done.

Vectors have the same bits wherever kernels, precision and crumb are the same, and metrics are pure functions of them:
there every figure has to be equal to the last bit. On other kernels sums are rounded elsewhere, near-ties fall the
other way, and figures may differ by `TOLERANCES`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from crumb import store
from crumb.checkpoint import read_contract
from crumb.checkpoint.context import with_context
from crumb.errors import CrumbError
from crumb.evaluation.compare import Difference
from crumb.evaluation.contamination import Contamination
from crumb.evaluation.evaluate import Asked
from crumb.evaluation.report.machine import COMPUTING
from crumb.evaluation.report.record import Record
from crumb.evaluation.results import Measured
from crumb.evaluation.retained import Retention
from crumb.evaluation.tasks import Task, digests

TOLERANCES = {"float32": 0.02, "bf16": 0.15, "int8": 0.3}
"""How far a metric (0..1) of one query may be from what other kernels gave it, by precision; of a mean over n queries,
this by the square root of n, as queries move independently. About four standard deviations of what was measured
(docs/log.md)."""

CODED = 3.0
"""Times as far for codes: a component near 0 may have another sign, which is all that a bit keeps."""

_FEW = 50  # queries, where a report does not tell how many

Verdict = Literal["equal", "within tolerance", "differs"]
Rerun = Callable[[Asked], Record]


class ReproductionError(CrumbError, ValueError):
    """What the report was made from is not what is here: measuring again would show nothing."""


@dataclass(frozen=True)
class Check:
    """One figure, then and now.

    Attributes:
        of: what was measured: task, model, setting.
        figure: which figure of it.
        then, now: its values; None where one side has none.
        tolerance: how far they may be apart; 0 where they have to be equal.
    """

    of: str
    figure: str
    then: float | None
    now: float | None
    tolerance: float

    @property
    def verdict(self) -> Verdict:
        """Whether the figure is reproduced."""
        if self.then == self.now:
            return "equal"
        if self.then is None or self.now is None or abs(self.then - self.now) > self.tolerance:
            return "differs"
        return "within tolerance"


@dataclass(frozen=True)
class Reproduction:
    """All figures.

    Attributes:
        checks: one a figure.
        changes: what differs between then and now besides figures, in words.
        broken: those of them with which no figure counts as reproduced: other data, another model.
        unchecked: what could not be compared, in words.
    """

    checks: list[Check]
    changes: list[str]
    broken: list[str]
    unchecked: list[str]

    @property
    def reproduced(self) -> bool:
        """Whether every figure is, from the same data and models."""
        return not self.broken and all(check.verdict != "differs" for check in self.checks)


def reproduce(record: Record, asked: Asked, rerun: Rerun) -> Reproduction:
    """Measures again and compares.

    Args:
        record: the report.
        asked: its question as it is to be asked here (`asked_here`).
        rerun: answers the question, with everything that the report has: `crumb.evaluation.evaluate.evaluate`, and what
            smaller forms keep if `record.retention` is there.

    Raises:
        CrumbError, ValueError, OSError: whatever `rerun` raises.
    """
    return compared(record, rerun(asked))


def asked_here(
    record: Record, *, data: str | None = None, tasks: Sequence[str] | None = None, model: str | None = None
) -> Asked:
    """The report's question for this machine.

    Args:
        record: the report.
        data: where data lie here; None for where they lay.
        tasks: what to call the tasks here; None for their names, if `data` is given, or else as they were called.
        model: what to call the model here; None for what it was called. (Fingerprints tell whether it is the same.)

    A precision that the CPU chose then is asked for by name, so that another CPU does not choose another.
    """
    found = record.evaluation
    asked = replace(found.asked, data=found.asked.data if data is None else data, model=model or found.asked.model)
    if tasks is not None or data is not None:
        asked = replace(asked, tasks=tuple(tasks or [m.task for m in found.results]))
    for field, group in (("setting", found.results), ("compare_setting", found.base)):
        setting = getattr(asked, field)
        if setting.precision == "auto" and group:
            asked = replace(asked, **{field: replace(setting, precision=group[0].precision)})
    return asked


def check_data(record: Record, tasks: Sequence[Task]) -> None:
    """Makes sure that the tasks here have the data that the report was made from, before hours are spent.

    Raises:
        ReproductionError: a task is missing, or data differ; the message names all of them.
    """
    here = {task.name: task for task in tasks}
    wrong = []
    for m in record.evaluation.results:
        if m.task not in here:
            wrong.append(f"{m.task} is not here")
            continue
        task = here[m.task]
        wrong += _data_changes(m.task, m.data, digests(task) or dict(getattr(task, "recipe", {})))
    if wrong:
        raise ReproductionError("the data are not those of the report: " + "; ".join(wrong))


def check_models(record: Record, asked: Asked) -> None:
    """Makes sure that the models here are those of the report, before hours are spent.

    Raises:
        ReproductionError: a fingerprint differs.
        CrumbError, ValueError: a model cannot be had.
    """
    found = record.evaluation
    sides = [(asked.model, asked.setting, found.results)]
    if asked.compare is not None:
        sides.append((asked.compare, asked.compare_setting, found.base))
    for name, setting, measured in sides:
        contract = with_context(
            read_contract(store.resolve(name, fetch=name is None)), setting.context, setting.positions
        )
        if measured and contract.fingerprint != measured[0].fingerprint:
            raise ReproductionError(
                f"{contract.name} is not the model of the report, or crumb reads its folder differently by now: its "
                f"fingerprint is {contract.fingerprint}, that of the report {measured[0].fingerprint}"
            )


def compared(then: Record, now: Record) -> Reproduction:
    """Every figure of a report beside that of another one; speeds and dates are not compared."""
    same = all(then.machine["versions"].get(name) == now.machine["versions"].get(name) for name in COMPUTING)
    changes = list(_machine_changes(then.machine, now.machine))
    checks: list[Check] = []
    allowed: dict[str, float] = {}
    broken: list[str] = []
    unchecked = [] if then.complete else ["the report came without the values of each query"]
    for group, olds in then.measured.items():
        news = now.measured[group]
        for i, old in enumerate(olds):
            new = news[i] if i < len(news) and news[i].task == old.task else None
            if new is None:
                broken.append(f"{group}: {old.task} was not measured again")
                continue
            exact = same and (old.isa, old.precision) == (new.isa, new.precision)
            tolerance = 0.0 if exact else _tolerance(old, new)
            allowed[old.task] = max(allowed.get(old.task, 0.0), tolerance)
            checks += _checks(group, old, new, tolerance)
            broken += [line for line in _identity_changes(old, new) if line not in broken]
            changes += [line for line in _kernel_changes(old, new) if line not in changes]
        if len(news) > len(olds):
            broken.append(f"{group}: {len(news) - len(olds)} figures that the report does not have")
    checks += _difference_checks(then.evaluation.differences, now.evaluation.differences, allowed)
    if then.retention is not None and now.retention is None:
        broken.append("retention: was not measured again")
    elif then.retention is not None and now.retention is not None:
        queries = {m.task: m.queries for m in then.evaluation.results}
        checks += _retention_checks(then.retention, now.retention, same, queries)
        broken += [line for line in _retention_changes(then.retention, now.retention) if line not in broken]
    if then.contamination is not None:
        if now.contamination is None:
            unchecked.append("what tests share with training texts: those are not part of a report's data")
        else:
            checks += _contamination_checks(then.contamination, now.contamination)
    return Reproduction(checks, changes, broken, unchecked)


def _checks(group: str, old: Measured, new: Measured, tolerance: float) -> Iterator[Check]:
    of = f"{group}: {old.task}, {old.model}, {old.setting}"
    for name in {**old.metrics, **new.metrics}:
        yield Check(of, name, old.metrics.get(name), new.metrics.get(name), tolerance)
    for part in {**old.parts, **new.parts}:
        before, after = old.parts.get(part, {}), new.parts.get(part, {})
        wider = tolerance * math.sqrt(len(old.parts))  # a part has fewer queries than the whole
        for name in {**before, **after}:
            yield Check(of, f"{name} of {part}", before.get(name), after.get(name), wider)
    for name in ("queries", "documents"):
        yield Check(of, name, getattr(old, name), getattr(new, name), 0.0)
    for side in ("query_cost", "document_cost"):
        for name in ("texts", "tokens", "truncated_texts", "tokens_cut"):
            before, after = getattr(getattr(old, side), name), getattr(getattr(new, side), name)
            yield Check(of, f"{side.removesuffix('_cost')} {name.replace('_', ' ')}", before, after, 0.0)
    if old.per_query and not tolerance:  # on other kernels a single query may well change places
        before_each, after_each = _flat(old.per_query), _flat(new.per_query)
        equal = sum(after_each.get(key) == value for key, value in before_each.items())
        yield Check(of, "values of queries that are equal", len(before_each), equal, 0.0)


def _difference_checks(
    then: Sequence[Difference], now: Sequence[Difference], allowed: Mapping[str, float]
) -> Iterator[Check]:
    here = {d.task: d for d in now}
    for old in then:
        new = here.get(old.task)
        # both models may be off, in opposite directions
        tolerance = 2 * allowed.get(old.task, max(allowed.values(), default=0.0))
        for name in ("difference", "low", "high"):
            value = None if new is None else getattr(new, name)
            yield Check(f"difference: {old.task}", name, getattr(old, name), value, tolerance)


def _retention_checks(then: Retention, now: Retention, same: bool, queries: Mapping[str, int]) -> Iterator[Check]:
    here = {cell.form: cell.values for cell in now.cells}
    for cell in then.cells:
        form = cell.form
        each = 0.0 if same and then.isa == now.isa else _allowed([form.precision], form.encoding != "float32")
        of = f"retention: {form.precision}, {form.layers} layers, {form.dimensions} dimensions, {form.encoding}"
        for task, value in cell.values.items():
            tolerance = each / math.sqrt(queries.get(task, _FEW))
            yield Check(of, f"{then.tasks[task]} of {task}", value, here.get(form, {}).get(task), tolerance)


def _contamination_checks(then: Contamination, now: Contamination) -> Iterator[Check]:
    for task, sides in then.tasks.items():
        for side, old in sides.items():
            new = now.tasks.get(task, {}).get(side)
            for name in ("texts", "short", "verbatim", "half", "shared"):
                value = None if new is None else getattr(new, name)
                yield Check(f"contamination: {task}, {side}", name, getattr(old, name), value, 0.0)


def _identity_changes(old: Measured, new: Measured) -> Iterator[str]:
    yield from _model_changes(old, new)
    yield from _data_changes(old.task, old.data, new.data)


def _retention_changes(then: Retention, now: Retention) -> Iterator[str]:
    yield from _model_changes(then, now)
    for task, data in then.data.items():
        yield from _data_changes(task, data, now.data.get(task, {}))


def _model_changes(old: Measured | Retention, new: Measured | Retention) -> Iterator[str]:
    if old.fingerprint != new.fingerprint:
        yield (
            f"{old.model} is another model or has another context: its fingerprint is {new.fingerprint[:16]}…, that of "
            f"the report {old.fingerprint[:16]}…"
        )


def _data_changes(task: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    # through JSON, since that is what the report went through: tuples become lists
    then, now = (json.loads(json.dumps(dict(data))) for data in (then, now))
    for name in {**then, **now}:
        if name not in now:
            yield f"{task}: {name} is not here"
        elif name not in then:
            yield f"{task}: {name} was not there"
        elif then[name] != now[name]:
            yield f"{task}: {name} is {_short(now[name])}, in the report {_short(then[name])}"


def _kernel_changes(old: Measured, new: Measured) -> Iterator[str]:
    if (old.isa, old.precision) != (new.isa, new.precision):
        yield f"kernels: {old.precision} on {old.isa} then, {new.precision} on {new.isa} now"


def _machine_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in {**then["versions"], **now["versions"]}:
        before, after = then["versions"].get(name), now["versions"].get(name)
        if before != after:
            yield f"{name}: {before} then, {after} now"
    if then["cpu"] != now["cpu"]:
        yield f"CPU: {then['cpu']} then, {now['cpu']} now"


def _tolerance(old: Measured, new: Measured) -> float:
    """Of a mean over the queries."""
    each = _allowed([old.precision, new.precision], old.setting.stored != "float32")
    return each / math.sqrt(max(old.queries, 1))


def _allowed(precisions: Sequence[str], coded: bool) -> float:
    """Of one query."""
    most = max(TOLERANCES.get(precision, max(TOLERANCES.values())) for precision in precisions)
    return most * (CODED if coded else 1.0)


def _flat(values: Mapping[str, Mapping[str, float]]) -> dict[tuple[str, str], float]:
    return {(part, query): value for part, found in values.items() for query, value in found.items()}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:16] + "…"
