"""What a row of training data means: which columns are its texts, labels and scores.

Enters: the columns of a file, and what the user says of them; then one row after another. Leaves: a `Row`, or the
reason why a row is none. Knows nothing of files.

A file has one of four shapes, told by its columns:

    pairs        query, positive
    triplets     query, positive, and negatives (a list), negative, or negative_1, negative_2, …
    candidates   query, candidates (a list), scores; or a triplet with scores of its positive and of each negative
    graded       text1, text2, label; or sentence1, sentence2, score

`anchor` is read as query, `pos` and `neg` are not read: their lists have another meaning. Columns beside these are
passed over. A file that fits none, or two, is refused, and `columns` says what is what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from crumb.training.data.files import DataError

ROLES = ("query", "positive", "negatives", "candidates", "scores", "label")
# role -> the columns that have it where the user says nothing
QUERY = ("query", "anchor")
GRADED = (("text1", "text2"), ("sentence1", "sentence2"))
LABEL = ("label", "score", "similarity")
EXPECTED = (
    "expected query and positive; with negatives, negative or negative_1, negative_2, … and perhaps scores; or query, "
    "candidates and scores; or text1, text2 and label; or sentence1, sentence2 and score. Other names: say which "
    "column is what with columns={'query': …, 'positive': …}"
)


class Row(NamedTuple):
    """What a row says; texts as they stand in the file."""

    query: str
    positive: str
    negatives: Sequence[str] = ()
    label: float | None = None
    scores: Sequence[float] | None = None
    group: str | None = None


class BadRowError(Exception):
    """A row that is none; the message is the reason, in words that many rows can share."""


@dataclass(frozen=True)
class Shape:
    """Which columns of a file have which role.

    Attributes:
        query, positive: columns of texts; `positive` is None where candidates take its place.
        negatives: columns of negatives; one may hold lists.
        candidates, scores, label, group: columns, or None.
        unseen: names that would have made another shape of the file, had its first row had them.
    """

    query: str
    positive: str | None
    negatives: tuple[str, ...] = ()
    candidates: str | None = None
    scores: str | None = None
    label: str | None = None
    group: str | None = None
    unseen: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        named = (self.query, self.positive, *self.negatives, self.candidates, self.scores, self.label, self.group)
        return [name for name in named if name is not None]

    def read(self, fields: Mapping[str, Any], *, parse: bool) -> Row:
        """The row that `fields` say.

        Args:
            parse: whether numbers may be written as strings, as they are in tables.

        Raises:
            BadRowError: a field is missing, empty, of another type, or does not fit the others.
        """
        if not self.unseen.isdisjoint(fields):
            raise BadRowError(f"has {min(self.unseen.intersection(fields))!r}, which the first row has not")
        query = _text(fields, self.query)
        group = None if self.group is None else _group(fields, self.group)
        if self.candidates is not None and self.scores is not None:
            texts = _texts(fields, self.candidates)
            scores = _numbers(fields, self.scores)
            if len(texts) < 2:
                raise BadRowError(f"{self.candidates!r} has fewer than two texts")
            if len(scores) != len(texts):
                raise BadRowError(f"{self.scores!r} has not one number for each of {self.candidates!r}")
            # by falling score; Python's sort is stable, so equal ones stay in the file's order
            order = sorted(range(len(texts)), key=lambda i: -scores[i])
            texts, scores = [texts[i] for i in order], [scores[i] for i in order]
            return _checked(Row(query, texts[0], texts[1:], None, scores, group))
        assert self.positive is not None  # every other shape has one
        positive = _text(fields, self.positive)
        if self.label is not None:
            return Row(query, positive, (), _number(fields, self.label, parse), None, group)
        negatives: list[str] = []
        for name in self.negatives:
            value = fields.get(name)
            negatives += _texts(fields, name) if isinstance(value, list | tuple) else [_text(fields, name)]
        given = None
        if self.scores is not None:
            given = _numbers(fields, self.scores)
            if len(given) != 1 + len(negatives):
                raise BadRowError(f"{self.scores!r} has not one number for the positive and each negative")
        return _checked(Row(query, positive, negatives, None, given, group))


def shape_of(
    there: Sequence[str], columns: Mapping[str, str | Sequence[str]] | None, group: str | None, where: str
) -> Shape:
    """The shape of a file that has the columns `there`.

    Args:
        columns: role ("query", "positive", "negatives", "candidates", "scores", "label") to column; where given, it is
            the whole of what is read. Several columns of negatives are a list.
        group: the column of the group, or None.
        where: the file, for messages.

    Raises:
        DataError: the columns fit no shape, or more than one; or `columns` names a role or a column that is not there.
    """
    found = f"{where} has the columns {', '.join(map(repr, there)) or 'none'}"
    if group is not None and group not in there:
        raise DataError(f"{found}; the group was to be in {group!r}")
    if columns is not None:
        return _asked(there, columns, group, found)
    names = set(there)
    query = next((name for name in QUERY if name in names), None)
    numbered = sorted(
        (name for name in names if name.startswith("negative_") and name[9:].isdigit()), key=lambda name: int(name[9:])
    )
    negatives = [name for name in ("negatives", "negative") if name in names] or numbered
    labels = [name for name in LABEL if name in names]
    known = {*QUERY, "positive", "negatives", "negative", "candidates", "scores", *sum(GRADED, ())}
    unseen = frozenset(known - names)
    shapes = []
    if query and "positive" in names:
        if "candidates" in names:
            raise DataError(f"{found}: both positive and candidates; {EXPECTED}")
        if len(negatives) > 1 and negatives[0] == "negatives":
            raise DataError(f"{found}: both negatives and negative; {EXPECTED}")
        if labels:
            raise DataError(
                f"{found}: positive pairs, or pairs graded by {labels[0]!r}? Say columns={{'query': {query!r}, "
                f"'positive': 'positive'}}, with or without 'label': {labels[0]!r}"
            )
        scores = "scores" if "scores" in names else None
        shapes.append(Shape(query, "positive", tuple(negatives), None, scores, None, group, unseen))
    elif query and "candidates" in names and "scores" in names:
        shapes.append(Shape(query, None, (), "candidates", "scores", None, group, unseen))
    for first, second in GRADED:
        if first in names and second in names and len(labels) == 1:
            shapes.append(Shape(first, second, label=labels[0], group=group, unseen=unseen))
    if len(shapes) != 1:
        raise DataError(f"{found}, which fit {'no shape' if not shapes else 'two shapes'}: {EXPECTED}")
    return shapes[0]


def _asked(there: Sequence[str], columns: Mapping[str, str | Sequence[str]], group: str | None, found: str) -> Shape:
    unknown = sorted(set(columns) - set(ROLES))
    if unknown:
        raise DataError(f"columns: unknown role {unknown[0]!r}; choose among {', '.join(ROLES)}")
    named = {role: (name,) if isinstance(name, str) else tuple(name) for role, name in columns.items()}
    for role, names in named.items():
        for name in names:
            if name not in there:
                raise DataError(f"{found}; {role} was to be in {name!r}")
        if len(names) != 1 and role != "negatives":
            raise DataError(f"columns: {role} is one column, got {len(names)}")
    one = {role: names[0] for role, names in named.items() if role != "negatives"}
    roles = set(named)
    if roles not in (
        {"query", "positive"},
        {"query", "positive", "negatives"},
        {"query", "positive", "negatives", "scores"},
        {"query", "positive", "scores"},
        {"query", "candidates", "scores"},
        {"query", "positive", "label"},
    ):
        raise DataError(f"columns: {', '.join(sorted(roles)) or 'nothing'} make no shape; {EXPECTED}")
    return Shape(
        one["query"],
        one.get("positive"),
        named.get("negatives", ()),
        one.get("candidates"),
        one.get("scores"),
        one.get("label"),
        group,
    )


def _checked(row: Row) -> Row:
    if row.positive in row.negatives:
        raise BadRowError("a negative is the positive's text")
    return row


def _text(fields: Mapping[str, Any], name: str) -> str:
    return _as_text(_there(fields, name), repr(name))


def _there(fields: Mapping[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise BadRowError(f"no {name!r}")
    return fields[name]


def _as_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadRowError(f"{name} is no string")
    if not value.strip():
        raise BadRowError(f"{name} is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRowError(f"{name} is not UTF-8") from None
    return value


def _texts(fields: Mapping[str, Any], name: str) -> list[str]:
    value = _there(fields, name)
    if not isinstance(value, list | tuple):
        raise BadRowError(f"{name!r} is no list")
    return [_as_text(text, f"a text of {name!r}") for text in value]


def _numbers(fields: Mapping[str, Any], name: str) -> list[float]:
    value = _there(fields, name)
    if not isinstance(value, list | tuple):
        raise BadRowError(f"{name!r} is no list")
    return [_as_number(number, f"a number of {name!r}", parse=False) for number in value]


def _number(fields: Mapping[str, Any], name: str, parse: bool) -> float:
    return _as_number(_there(fields, name), repr(name), parse=parse)


def _as_number(value: Any, name: str, *, parse: bool) -> float:
    if parse and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise BadRowError(f"{name} is no number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRowError(f"{name} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadRowError(f"{name} is not finite")
    return number


def _group(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRowError(f"{name!r} is neither a string nor a whole number")
    return str(value)
