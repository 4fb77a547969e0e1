"""Passkey retrieval: a person's number between the same few sentences, over and over.

Enters: a `Recipe`. Leaves: sets by length, or the task. Knows nothing of models. The idea is Mohtashami and Jaggi's
(arXiv 2305.16300), made a retrieval task by Wang et al. (personalized passkey, arXiv 2401.00368) and LongEmbed; the
sentences are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random

from crumb.evaluation.generated.as_task import as_task
from crumb.evaluation.generated.hide import Count, Fact, Hidden, Recipe, hide, words_and_marks
from crumb.evaluation.generated.people import people
from crumb.evaluation.tasks import RetrievalTask

_FILLER = (
    "The river is wide.",
    "The stones are grey.",
    "The wind is cold.",
    "We walk along the bank.",
    "Down to the bridge and up again.",
)


def generate(recipe: Recipe | None = None, count: Count = words_and_marks) -> dict[str, Hidden]:
    """The sets by length; see `hide`."""
    return hide("passkey", recipe or Recipe(), _facts, _filler, count)


def task(
    recipe: Recipe | None = None, count: Count = words_and_marks, counted: str = "words and marks"
) -> RetrievalTask:
    """The task, a part a length, scored by the best document alone; `counted` says what `count` counts."""
    return as_task("passkey", generate, recipe or Recipe(), count, counted)


def _facts(random: Random, documents: int) -> list[Fact]:
    facts = []
    for person in people(random, documents):
        key = 10000 + int(random.random() * 90000)
        text = f"The pass key of {person} is {key}. Keep it in mind: {key} opens the door for {person}."
        facts.append(Fact(f"What is the pass key of {person}?", text))
    return facts


def _filler(random: Random) -> Iterator[str]:
    return cycle(_FILLER)
