"""The model card: what a model was made of, how, and what came of it.

Enters: a prepared recipe and the run's log. Leaves: README.md. Knows nothing of how any of it came about: every figure
is the log's, every word about the data the recipe's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crumb.checkpoint import read_contract
from crumb.training.check import Prepared
from crumb.training.recipe import Stage

Event = dict[str, Any]


def write_card(path: Path, prepared: Prepared, events: Sequence[Event], curves: Sequence[str]) -> None:
    """Writes the card of the model in `path`'s folder.

    Args:
        path: README.md beside the model's files.
        prepared: the recipe.
        events: the run's log.
        curves: file names in training/.
    """
    recipe = prepared.recipe
    contract = read_contract(path.parent, recipe.name)
    parts = [
        _front(prepared),
        f"# {recipe.name}\n\n{recipe.description.strip()}".rstrip(),
        f"Trained by crumb from {recipe.base} by the recipe in `recipe.yaml`, which repeats it:\n"
        f"`crumb train recipe.yaml --out DIR`. Vectors have {contract.dimensions} dimensions; texts of up to "
        f"{contract.context} tokens are read.",
        _use(recipe.name),
        _data(prepared, events),
        _figures(prepared, events),
        _training(prepared, events, curves),
    ]
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _front(prepared: Prepared) -> str:
    recipe = prepared.recipe
    fields = {
        "license": recipe.licence.lower(),
        "language": list(recipe.language),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "crumb"],
        "base_model": recipe.base,
    }
    # JSON is YAML
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def _use(name: str) -> str:
    return f"""## Use

```python
import crumb

model = crumb.load("{name}")  # this folder
vectors = model.encode(["A man is eating food.", "A man is eating pasta."])
```

`SentenceTransformer("{name}")` loads the same folder."""


def _data(prepared: Prepared, events: Sequence[Event]) -> str:
    # a source that is split has a part for each of its values
    parts = {event["stage"]: event["sources"] for event in events if event["event"] == "stage"}
    lines = ["## Data", "", "| data | stage | rows | licence | SHA-256 |", "|---|---|---|---|---|"]
    for number, stage in enumerate(prepared.recipe.stages):
        for settings, source in zip(stage.sources, prepared.sources(number), strict=True):
            own = [
                p for p in parts.get(number, []) if p["name"] == source.name or p["name"].startswith(f"{source.name}/")
            ]
            count = sum(part["rows"] for part in own)
            name = f"[{source.name}]({settings.url})" if settings.url else source.name
            digest = (settings.sha256 or "")[:16]  # `prepare` lets none pass without
            lines.append(f"| {name} | {stage.name} | {count:,} | {settings.licence} | `{digest}…` |")
    return "\n".join(lines)


def _figures(prepared: Prepared, events: Sequence[Event]) -> str:
    found = []
    for number, stage in enumerate(prepared.recipe.stages):
        evaluations = {e["step"]: e for e in events if e["event"] == "evaluation" and e["stage"] == number}
        kept = next((e["kept_step"] for e in events if e["event"] == "result" and e["stage"] == number), None)
        if not evaluations or kept not in evaluations:
            continue
        first, last = evaluations[0], evaluations[kept]
        lines = [f"| {stage.name} | before | after |", "|---|---|---|"]
        for name, score in last["scores"].items():
            lines.append(f"| {name} | {100 * first['scores'][name]:.2f} | {100 * score:.2f} |")
        lines.append(f"| **mean** | **{100 * first['mean']:.2f}** | **{100 * last['mean']:.2f}** |")
        if kept == 0:
            lines += ["", "No step of this stage was better than what it began with, so its weights are those."]
        found.append("\n".join(lines))
    if not found:
        return ""
    note = (
        "nDCG@10. These sets chose the weights that were kept, so the figures after are a little kinder than a test's."
    )
    return "\n\n".join(["## Figures", note, *found])


def _training(prepared: Prepared, events: Sequence[Event], curves: Sequence[str]) -> str:
    lines = ["## Training", ""]
    for number, stage in enumerate(prepared.recipe.stages):
        done = next((e for e in events if e["event"] == "result" and e["stage"] == number), None)
        lines.append(f"{number + 1}. {_stage(stage, done)}")
    lines += ["", *(f"![{Path(name).stem}](training/{name})" for name in curves)]
    return "\n".join(lines).rstrip()


def _stage(stage: Stage, done: Event | None) -> str:
    said = [
        f"**{stage.name}**: loss `{json.dumps(stage.loss)}`",
        f"batches of {stage.batch.size} examples" + (f" and {stage.batch.tokens} tokens" if stage.batch.tokens else ""),
        f"AdamW at {stage.optimiser.rate:g}, {stage.schedule.kind}",
    ]
    if stage.freeze:
        said.append(f"frozen: {', '.join(stage.freeze)}")
    if stage.averaging is not None:
        said.append(f"weights averaged with a decay of {stage.averaging:g}")
    if done is not None:
        said.append(f"{done['step']:,} steps, {done['tokens']:,} tokens")
        if done["cut"]:
            said.append(f"{done['cut']:,} more cut off longer texts")
        if done["kept_step"] != done["step"]:
            said.append(f"weights of step {done['kept_step']:,} kept")
    return "; ".join(said) + "."
