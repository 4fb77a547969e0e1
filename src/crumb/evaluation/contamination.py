"""Whether a model has been trained on what it is tested with: word n-grams that test texts share with training texts.

Enters: tasks, and JSON lines that were trained on. Leaves: `Contamination`, plain data. Knows nothing of models, and
leaves finding to crumb.evaluation.ngrams.

The check is that of GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C), whose n is 13. A test text of n words or
more is *shared* if some n words of it follow one another in a training text too, and *verbatim* if all its words do. A
shorter one is both if a training text consists of the same words, and neither otherwise: a question of five words
occurs in many texts by chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crumb.evaluation.ngrams import Met, Wanted
from crumb.evaluation.tasks import StsTask, Task
from crumb.text.lines import numbered, opened

N = 13
EXAMPLES = 3
_WORDS_SHOWN = 40


@dataclass(frozen=True)
class Example:
    """A test text that training texts cover.

    Attributes:
        id: of the query or document; of pairs of sentences the number of the pair from 0 and of the side, "7.1".
        covered: the share of its words that lie in n-grams which training texts have, 0..1.
        words: the longest run of such words, its first 40.
        at: "file:line (field)" of a training text that has the first n of them.
    """

    id: str
    covered: float
    words: str
    at: str


@dataclass(frozen=True)
class Overlap:
    """One side of a task.

    Attributes:
        texts: how many there are; `short` of them have fewer than n words.
        verbatim: how many occur as a whole.
        half: how many are covered by half or more.
        shared: how many share at least one n-gram; these include the others.
        examples: those that are covered most.
    """

    texts: int
    short: int
    verbatim: int
    half: int
    shared: int
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Contamination:
    """What tasks share with training texts.

    Attributes:
        n: words of an n-gram.
        files: training file to the number of objects read, and `unreadable` to the number of lines that are none.
        texts, words: how much training text was looked through.
        tasks: task to "queries" and "passages", of pairs to "sentences", to what they share.
    """

    n: int
    files: dict[str, int]
    unreadable: dict[str, int]
    texts: int
    words: int
    tasks: dict[str, dict[str, Overlap]]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Contamination:
        """The inverse of `as_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """

        def overlap(side: Mapping[str, Any]) -> Overlap:
            return Overlap(**{**side, "examples": [Example(**example) for example in side["examples"]]})

        tasks = {task: {name: overlap(side) for name, side in sides.items()} for task, sides in found["tasks"].items()}
        return cls(**{**found, "tasks": tasks})


def contamination(
    tasks: Sequence[Task],
    training: Sequence[Path],
    *,
    n: int = N,
    fields: Sequence[str] | None = None,
    examples: int = EXAMPLES,
) -> Contamination:
    """Compares the texts of tasks with training texts.

    A line that is no JSON object cannot have been trained on, and is counted.

    Args:
        tasks: whose queries, documents and sentences are looked for.
        training: files of JSON objects, one a line (.jsonl, .jsonl.gz), or folders with such files at any depth.
        n: words of an n-gram, at least 1.
        fields: of the objects that are read; None for all that hold a string or a list of strings.
        examples: kept of each side, at most.

    Raises:
        FileNotFoundError: a path is not there, or a folder has no such file.
        ValueError: n below 1, or no object has a string in any of the fields.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a whole number of at least 1, got {n!r}")
    files = training_files(training)
    wanted = Wanted(n)
    sides = {
        task.name: {side: (list(t), wanted.add(t.values())) for side, t in texts_of(task).items()} for task in tasks
    }
    met = Met(wanted)
    places: list[tuple[Path, int, str]] = []
    read = dict.fromkeys(map(str, files), 0)
    unreadable: dict[str, int] = {}
    for file in files:
        for line, row in _rows(file):
            if row is None:
                unreadable[str(file)] = unreadable.get(str(file), 0) + 1
                continue
            read[str(file)] += 1
            for name, text in _strings(row, fields):
                places.append((file, line, name))
                met.add(text)
    met.flush()
    if not met.texts:
        raise ValueError(
            f"no training text: {sum(read.values()):,} objects in {len(files)} files have no string"
            + (f" in {', '.join(fields)}" if fields is not None else "")
        )
    found = {
        task: {side: _overlap(names, numbers, wanted, met, places, examples) for side, (names, numbers) in of.items()}
        for task, of in sides.items()
    }
    return Contamination(n, read, unreadable, met.texts, met.words, found)


def training_files(paths: Sequence[Path]) -> list[Path]:
    """The files of JSON lines that paths name, or that lie below them.

    Raises:
        FileNotFoundError: a path is not there, or a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"training texts: there is no {path}")
        below = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith((".jsonl", ".jsonl.gz")))
        if path.is_dir() and not below:
            raise FileNotFoundError(f"training texts: no .jsonl or .jsonl.gz below {path}")
        found += below if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def texts_of(task: Task) -> dict[str, dict[str, str]]:
    """A task's texts by side and id; ids of parts are told apart where they are the same."""
    if isinstance(task, StsTask):
        pairs = task.read()
        both = zip(pairs.first, pairs.second, strict=True)
        return {"sentences": {f"{i}.{side}": t for i, pair in enumerate(both) for side, t in enumerate(pair, start=1)}}
    parts = task.read()
    found: dict[str, dict[str, str]] = {"queries": {}, "passages": {}}
    for part, data in parts.items():
        for side, texts in (("queries", data.queries), ("passages", data.corpus)):
            for name, text in texts.items():
                found[side][name if name not in found[side] else f"{part}/{name}"] = text
    return found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The objects of a file of JSON lines by line number, None for a line that is none; blank lines are passed over."""
    with opened(path) as stream:
        for number, line in numbered(path, stream):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError:  # bytes that are no UTF-8 are one too
                    row = None
                yield number, row if isinstance(row, dict) else None


def _strings(row: Mapping[str, Any], fields: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if fields is not None and name not in fields:
            continue
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list):
            yield from ((name, text) for text in value if isinstance(text, str))


def _overlap(
    names: Sequence[str],
    numbers: range,
    wanted: Wanted,
    met: Met,
    places: Sequence[tuple[Path, int, str]],
    examples: int,
) -> Overlap:
    """Counts one side, and keeps what is covered most."""
    shares = {i: float(mask.mean()) for i in numbers if (mask := met.covered(i)).any()}
    most = sorted(shares, key=lambda i: (-shares[i], i))[:examples]

    def example(i: int) -> Example:
        begin, end, number = met.longest(i)
        file, line, name = places[number]
        words = wanted.words(i)[begin : min(end, begin + _WORDS_SHOWN)]
        return Example(names[i - numbers.start], round(shares[i], 4), " ".join(words), f"{file}:{line} ({name})")

    return Overlap(
        texts=len(numbers),
        short=sum(wanted.short(i) for i in numbers),
        verbatim=sum(i in met.whole for i in numbers),
        half=sum(share >= 0.5 for share in shares.values()),
        shared=len(shares),
        examples=[example(i) for i in most],
    )
