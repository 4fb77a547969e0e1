"""Figures of these models from elsewhere, to hold ours against.

Enters: nothing. Leaves: `PUBLISHED`, task name to figures (times 100). The retrieval rows are those of the models'
public MTEB result files, at each model's own context: for all-MiniLM-L6-v2 256 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from crumb.evaluation.results import Measured


@dataclass(frozen=True)
class Published:
    """A figure from elsewhere, as its source prints it (usually times 100).

    Attributes:
        model: what was measured.
        value: the figure.
        tolerance: how far ours may be from it.
        context: tokens of a text that were read; None where that is not known or does not matter.
        split: of a task in parts, the part.
        queries: how many there are in the whole set; an excerpt of the same name repeats nothing.
        source: where it stands.
    """

    model: str
    value: float
    tolerance: float
    context: int | None = None
    split: str | None = None
    queries: int | None = None
    source: str = ""


BASE, XSMALL, BGE = "all-MiniLM-L6-v2", "mxbai-embed-xsmall-v1", "bge-small-en-v1.5"
_MTEB = "MTEB result files"

# queries; nDCG@10 of BASE, XSMALL and BGE
_BEIR = {
    "arguana": (1406, 50.17, 49.58, 60.35),
    "climate-fever": (1535, 20.27, 22.42, 31.84),
    "cqadupstack": (13145, 41.32, 41.59, 38.28),
    "dbpedia-entity": (400, 32.33, 32.19, 40.03),
    "fever": (6666, 51.93, 56.45, 86.64),
    "fiqa": (648, 36.87, 37.10, 40.34),
    "hotpotqa": (7405, 46.51, 48.37, 69.94),
    "msmarco": (6980, 36.54, 36.76, 40.83),
    "nfcorpus": (323, 31.59, 32.05, 34.26),
    "nq": (3452, 43.87, 44.44, 50.18),
    "quora": (10000, 87.55, 87.70, 88.78),
    "scidocs": (1000, 21.64, 21.50, 20.52),
    "scifact": (300, 64.51, 65.81, 71.27),
    "webis-touche2020": (49, 16.90, 17.09, 26.04),
    "trec-covid": (50, 47.23, 48.90, 75.52),
}


def _beir(name: str) -> tuple[Published, ...]:
    queries, *values = _BEIR[name]
    return tuple(
        Published(model, value, 0.4, context, queries=int(queries), source=_MTEB)
        for model, value, context in zip((BASE, XSMALL, BGE), values, (256, 4096, 512), strict=True)
    )


PUBLISHED: dict[str, tuple[Published, ...]] = {name: _beir(name) for name in _BEIR} | {
    "mlquestions": (Published(BASE, 57.20, 0.4, 256, queries=1500, source=_MTEB),),
    "xquad-en": (Published(BASE, 94.36, 0.4, 256, queries=1187, source=_MTEB),),
    "mbpp": (Published(BASE, 74.60, 0.4, 256, queries=974, source=_MTEB),),
    # passages are joined from their parts a little differently there
    "feedbackqa": (Published(BASE, 58.23, 1.0, 256, queries=1992, source=_MTEB),),
    "qmsum-long": (Published(BASE, 16.32, 0.4, 256, queries=1527, source="MTEB result files, LEMBQMSumRetrieval"),),
    "sts-benchmark": (Published(BASE, 82.03, 0.3, 256, queries=1379, source=_MTEB),),
}

# LongEmbed (crumb.evaluation.longembed), at 256 tokens; of the tasks in lengths also by length, as far as we know them
_LONG = {
    "lemb-narrativeqa": 18.27,
    "lemb-qmsum": 16.32,
    "lemb-summscreenfd": 54.80,
    "lemb-2wikimqa": 46.23,
    "lemb-needle": 20.00,
    "lemb-passkey": 23.25,
}
_BY_LENGTH = {
    "lemb-needle": {"256": 70, "512": 44, "1024": 24, "2048": 12, "4096": 4},
    "lemb-passkey": {"256": 84, "512": 42, "1024": 38, "2048": 8, "4096": 8},
}
PUBLISHED |= {
    name: (
        Published(BASE, value, 0.4, 256, source=_MTEB),
        *(Published(BASE, v, 0.4, 256, split=n, source=_MTEB) for n, v in _BY_LENGTH.get(name, {}).items()),
    )
    for name, value in _LONG.items()
}


def published_for(measured: Measured) -> Published | None:
    """The figure that this one repeats: of the same model and task, at the same context, whole and in full; or None."""
    return next((row for row in repeated_by(measured) if row.split is None), None)


def repeated_by(measured: Measured) -> list[Published]:
    """The figures that this one repeats: `published_for` and those of its parts."""
    setting = measured.setting
    if setting.reading != "whole" or (setting.layers, setting.dimensions, setting.stored) != (None, None, "float32"):
        return []
    return [
        row
        for row in PUBLISHED.get(measured.task, ())
        if row.model == measured.model
        and row.context in (None, measured.context)
        and row.queries in (None, measured.queries)
        and (row.split is None or row.split in measured.parts)
    ]
