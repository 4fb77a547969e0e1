"""Needle in a haystack: an invented fact about an invented person, somewhere in prose about other things.

Enters: a `Recipe`. Leaves: sets by length, or the task. Knows nothing of models. The form is LongEmbed's (arXiv
2404.12096), after Kamradt's test of language models; the facts and the prose are ours.
"""

from __future__ import annotations

from random import Random

from crumb.evaluation.generated.as_task import as_task
from crumb.evaluation.generated.hide import Count, Fact, Hidden, Recipe, hide, pick, words_and_marks
from crumb.evaluation.generated.people import people
from crumb.evaluation.generated.prose import prose
from crumb.evaluation.tasks import RetrievalTask

# question, fact, what may stand for {x}
_FACTS = (
    (
        "What kind of museum did {n} found?",
        "The museum that {n} founded shows nothing but {x}.",
        ("bells", "umbrellas", "maps of islands", "broken clocks", "kites", "teapots"),
    ),
    (
        "Which instrument does {n} play at night?",
        "At night, when nobody listens, {n} plays the {x}.",
        ("harp", "tuba", "accordion", "cello", "oboe", "banjo"),
    ),
    (
        "What is {n} afraid of?",
        "There is one thing that {n} is afraid of, and that is {x}.",
        ("escalators", "swans", "thunder", "empty theatres", "deep snow", "moths"),
    ),
    (
        "What did {n} win a prize for?",
        "The jury gave its first prize to {n} for {x}.",
        ("a cake of rye", "a poem about salt", "a glass staircase", "the heaviest pumpkin", "a film without words"),
    ),
    (
        "Where did {n} hide the letters?",
        "It was {n} who hid the letters {x}.",
        ("under the organ", "inside a drum", "behind the third beehive", "in a jar of rice", "below the chess table"),
    ),
    (
        "Which language did {n} learn in prison?",
        "In prison {n} learned {x} from a book without a cover.",
        ("Finnish", "Latin", "Welsh", "Korean", "Basque", "Swahili"),
    ),
    (
        "What does {n} put in coffee?",
        "Into every cup of coffee {n} puts {x}.",
        ("a pinch of pepper", "a slice of ginger", "two cloves", "a spoon of honey", "a drop of vinegar"),
    ),
    (
        "What was the dog of {n} called?",
        "For eleven years {n} had a dog that was called {x}.",
        ("Captain", "Biscuit", "Senator", "Pebble", "Tuesday", "Mustard"),
    ),
    (
        "How did {n} cross the desert?",
        "The desert was crossed by {n} {x}.",
        ("on a bicycle", "in a fire engine", "with forty goats", "on stilts", "in an old ambulance"),
    ),
    (
        "What does {n} collect?",
        "Few people know that {n} collects {x}.",
        ("hotel keys", "shadows of trees on paper", "tram tickets", "door handles", "lighthouse lamps"),
    ),
)


def generate(recipe: Recipe | None = None, count: Count = words_and_marks) -> dict[str, Hidden]:
    """The sets by length; see `hide`."""
    return hide("needle", recipe or Recipe(), _facts, prose, count)


def task(
    recipe: Recipe | None = None, count: Count = words_and_marks, counted: str = "words and marks"
) -> RetrievalTask:
    """The task, a part a length, scored by the best document alone; `counted` says what `count` counts."""
    return as_task("needle", generate, recipe or Recipe(), count, counted)


def _facts(random: Random, documents: int) -> list[Fact]:
    facts = []
    for person in people(random, documents):
        question, text, things = _FACTS[int(random.random() * len(_FACTS))]
        facts.append(Fact(question.format(n=person), text.format(n=person, x=pick(random, things))))
    return facts
