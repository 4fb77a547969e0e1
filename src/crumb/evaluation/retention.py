"""How much of a model's figures smaller forms of its vectors keep: Matryoshka, shallow layers, codes, precisions.

Enters: a model's name and tasks. Leaves: `Retention`. Knows the order of things: texts are embedded once for each
precision, all layers in one pass, and every form is made of those vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crumb.engine.precision import Precision, kernels
from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.embed import Embedded, embed_layers, prompts
from crumb.evaluation.forms import DIMENSIONS, ENCODINGS, Form, forms_of
from crumb.evaluation.measure import as_run, load_for
from crumb.evaluation.metrics import cutoff, score_rankings, spearman
from crumb.evaluation.rank import DEPTH, Ranked, rank
from crumb.evaluation.rates import sample, tokens_per_second
from crumb.evaluation.retained import Retention, with_shares
from crumb.evaluation.settings import Setting
from crumb.evaluation.sts import StsSet
from crumb.evaluation.tasks import StsTask, Task, digests
from crumb.model import Model
from crumb.vectors.codes import Codes
from crumb.vectors.normalize import Floats, cut, normalize
from crumb.vectors.quantize import Ranges

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16", "int8")
"""Those that are measured where this CPU runs them."""

Contents = Mapping[str, RetrievalSet] | StsSet


def retention(
    name: str | Path | None,
    tasks: Sequence[Task],
    *,
    precisions: Sequence[Precision] | None = None,
    layers: Sequence[int] | None = None,
    dimensions: Sequence[int] | None = None,
    encodings: Sequence[str] = tuple(ENCODINGS),
    setting: Setting | None = None,
    rounds: int = 3,
    threads: int | None = None,
    done: Callable[[str], None] | None = None,
) -> Retention:
    """Measures a model in every form (`crumb.evaluation.forms.forms_of`) on tasks, and how fast it is in each.

    Args:
        name: a catalogue name, a folder or a Hub id; None for the default model.
        tasks: retrieval tasks and pairs of sentences; each counts by its main metric.
        precisions: the first is that of the grid and of the full size; None for all of `PRECISIONS` that this CPU runs.
        layers, dimensions: beside the model's own; None for 1, 2, … all, and for those of `DIMENSIONS` below its own.
        encodings: names of `ENCODINGS`.
        setting: context, positions, reading and prompts, for all forms; None for the defaults.
        rounds: of measuring tokens a second, of which the median counts; 0 for not at all.
        threads: of the engine.
        done: called with the name of each task that is done.

    Raises:
        ValueError: no tasks or precisions; a precision "auto", of which nobody would know what it was; a number of
            layers or dimensions that the model does not have; an unknown encoding; a setting that is a form itself.
        CrumbError: the model cannot be had, or was never calibrated and `encodings` has "int8" (`Model.ranges`).
    """
    setting = setting or Setting()
    if precisions is None:
        here = {kernel.precision for kernel in kernels() if kernel.runs}
        precisions = [precision for precision in PRECISIONS if precision in here]
    _check(tasks, precisions, encodings, setting)
    models = {p: load_for(name, replace(setting, precision=p), threads) for p in precisions}
    model = models[precisions[0]]
    depths = _falling("layers", layers, model.contract.layers, range(1, model.contract.layers))
    sizes = _falling("dimensions", dimensions, model.dimensions, DIMENSIONS)
    forms = forms_of(precisions, depths, sizes, encodings)
    ranges = {size: model.ranges(size) for size in sizes} if "int8" in encodings else {}

    values: dict[Form, dict[str, float]] = {form: {} for form in forms}
    texts = []
    for task in tasks:
        contents = task.read()
        texts.append(_documents(contents))
        for precision in models:
            some = [form for form in forms if form.precision == precision]
            for form, value in _values(models[precision], task, contents, some, setting, ranges):
                values[form][task.name] = value
        if done is not None:
            done(task.name)
    rates = tokens_per_second(models, sample(texts), depths, rounds) if rounds else {}
    return Retention(
        model=model.name,
        fingerprint=model.fingerprint,
        isa=model.engine.isa,
        context=model.context,
        setting=setting,
        tasks={task.name: task.main for task in tasks},
        data={task.name: digests(task) or dict(getattr(task, "recipe", {})) for task in tasks},
        precisions=list(precisions),
        layers=depths,
        dimensions=sizes,
        encodings=list(encodings),
        cells=with_shares(forms, values, rates),
    )


def _values(
    model: Model,
    task: Task,
    contents: Contents,
    forms: Sequence[Form],
    setting: Setting,
    ranges: Mapping[int, Ranges],
) -> list[tuple[Form, float]]:
    """The task's main metric in each form that it can take."""
    depths = sorted({form.layers for form in forms})
    if isinstance(task, StsTask):
        assert isinstance(contents, StsSet)
        prompt, _ = prompts(model, setting)
        both, _ = model.encode_layers(contents.first + contents.second, depths, prompt=prompt, truncation="end")
        n = len(contents.first)
        by_depth = {depth: (v[:n], v[n:]) for depth, v in zip(depths, both, strict=True)}
        found = []
        for form in forms:
            if not ENCODINGS[form.encoding].rescore:
                cosines = pair_cosines(*by_depth[form.layers], form, ranges.get(form.dimensions))
                found.append((form, float(spearman(cosines, contents.scores))))
        return found
    assert not isinstance(contents, StsSet)
    embedded = {}
    for part, data in contents.items():
        layered = embed_layers(model, list(data.queries.values()), list(data.corpus.values()), setting, depths)
        embedded[part] = dict(zip(depths, layered, strict=True))
    k = (cutoff(task.main) or DEPTH) + task.drop_same_id

    def value(part: str, data: RetrievalSet, form: Form) -> float:
        best = best_of(embedded[part][form.layers], form.setting(setting), ranges.get(form.dimensions), k)
        run = as_run(data, best, drop_same_id=task.drop_same_id)
        return float(np.mean(list(score_rankings(data.qrels, run, [task.main])[task.main].values())))

    return [(form, float(np.mean([value(part, data, form) for part, data in contents.items()]))) for form in forms]


def best_of(embedded: Embedded, setting: Setting, ranges: Ranges | None, k: int) -> Ranked:
    """At least the `k` best documents of each query, and with them all that tie with the last of those.

    A metric's cutoff decides among equal scores by document id, so it must see all of them; bits have many. Where codes
    only choose candidates, these are as many as for a search for `k`: asking for more would choose more.
    """
    if setting.rescore:
        return rank(embedded, setting, ranges, k)
    depth = 2 * k
    while True:
        found = rank(embedded, setting, ranges, depth)
        if found.scores.shape[1] < depth or (found.scores[:, -1] < found.scores[:, k - 1]).all():
            return found
        depth *= 4


def pair_cosines(first: Floats, second: Floats, form: Form, ranges: Ranges | None) -> npt.NDArray[np.float64]:
    """Cosines float64 [n] of pairs in a form: the second of each is what is stored, the first what asks.

    Args:
        first, second: float32 [n, d], full size.
        form: dimensions and encoding; where both sides are codes, cosines are of the vectors that bits stand for.
        ranges: of the form's dimensions, for int8.
    """
    code = ENCODINGS[form.encoding]
    asks, stored = (normalize(cut(v, form.dimensions)) for v in (first, second))
    if code.stored != "float32":
        stored = normalize(Codes.of(stored, code.stored, ranges=ranges).dequantize())
        if code.coded_queries:
            asks = normalize(Codes.of(asks, code.stored, ranges=ranges).dequantize())
    return np.asarray(np.einsum("nd,nd->n", asks, stored, dtype=np.float64))


def _documents(contents: Contents) -> list[str]:
    if isinstance(contents, StsSet):
        return contents.second
    return [text for data in contents.values() for text in data.corpus.values()]


def _check(tasks: Sequence[Task], precisions: Sequence[Precision], encodings: Sequence[str], setting: Setting) -> None:
    if not tasks:
        raise ValueError("nothing to measure: name tasks")
    if not precisions or "auto" in precisions:
        raise ValueError(f"precisions must be named, {', '.join(map(repr, PRECISIONS))}, got {list(precisions)}")
    unknown = [name for name in encodings if name not in ENCODINGS]
    if unknown:
        raise ValueError(f"unknown encoding {unknown[0]!r}; choose {', '.join(map(repr, ENCODINGS))}")
    plain = Setting()
    for field in ("precision", "layers", "dimensions", "stored", "coded_queries", "rescore"):
        if getattr(setting, field) != getattr(plain, field):
            raise ValueError(f"{field}={getattr(setting, field)!r} is a form, of which all are measured: leave it out")


def _falling(what: str, asked: Sequence[int] | None, most: int, usual: Sequence[int]) -> list[int]:
    """Numbers below the model's own, which comes first."""
    chosen = [n for n in usual if n < most] if asked is None else list(asked)
    wrong = [n for n in chosen if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= most]
    if wrong:
        raise ValueError(f"{what} must be whole numbers from 1 to {most}, got {wrong[0]!r}")
    return sorted({most, *chosen}, reverse=True)
