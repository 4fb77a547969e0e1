"""Plain prose about nothing in particular, as long as one likes, that says nothing of any named person.

Enters: a random generator. Leaves: sentences. Knows nothing of what is hidden among them. A page keeps to one place and
its people, then the prose moves on; sentences are put together from words of our own, so nothing has to be licensed and
no model has read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from crumb.evaluation.generated.hide import pick

_PAGE = 24  # sentences until the prose moves on

# a place: who is there, what is there, where
_PLACES = (
    (
        ("the harbour master", "an old sailor", "the fisherman", "a boy with a net", "the pilot"),
        ("the ropes", "a small boat", "the nets", "an anchor", "the catch", "a heavy crate"),
        ("on the quay", "behind the sheds", "near the lighthouse", "at the end of the pier", "beside the crane"),
    ),
    (
        ("the gardener", "a visitor", "the neighbour", "a tired girl", "the beekeeper"),
        ("the roses", "a spade", "the apple trees", "a wooden bench", "the wet leaves", "a basket"),
        ("under the wall", "beside the pond", "among the beans", "by the gate", "in the far corner"),
    ),
    (
        ("the baker", "a customer", "the woman with the scales", "the butcher", "a student"),
        ("the bread", "a sack of flour", "the coins", "two jars of jam", "a paper bag", "the cheese"),
        ("in the market", "across the square", "behind the counter", "near the fountain", "at the corner"),
    ),
    (
        ("the teacher", "the youngest pupil", "a clerk", "the librarian", "the caretaker"),
        ("the books", "a map of the coast", "the chairs", "a piece of chalk", "the windows", "an essay"),
        ("in the hall", "on the stairs", "next to the stove", "in the second room", "above the door"),
    ),
    (
        ("the guard", "a passenger", "the engine driver", "a soldier on leave", "the porter"),
        ("the luggage", "a newspaper", "the timetable", "a bottle of water", "the doors", "a ticket"),
        ("on the platform", "in the last carriage", "under the clock", "beyond the tunnel", "at the junction"),
    ),
    (
        ("the carpenter", "an apprentice", "the owner", "a painter", "the locksmith"),
        ("the table", "a handful of nails", "the boards", "an old lock", "the lamp", "a pot of glue"),
        ("in the workshop", "against the wall", "below the roof", "on the long bench", "by the window"),
    ),
    (
        ("the shepherd", "a hunter", "the miller", "the farmer", "a stranger"),
        ("the sheep", "a lantern", "the fence", "some firewood", "the cart", "a loaf and some salt"),
        ("on the hill", "along the stream", "at the edge of the wood", "near the old mill", "in the lower field"),
    ),
    (
        ("the doctor", "a nurse", "the patient by the door", "the cook", "a cousin"),
        ("the blankets", "a glass of milk", "the letters", "a bowl of soup", "the curtains", "a small bell"),
        ("in the ward", "at the end of the corridor", "beside the bed", "in the kitchen", "on the balcony"),
    ),
)
_DOES = ("carried", "looked at", "forgot", "counted", "cleaned", "asked about", "moved", "waited for", "talked about")
_WHEN = (
    "In the morning", "After lunch", "Later that day", "Before dark", "On Sunday", "When the rain had stopped", "Once",
    "Towards evening", "In the first week of spring", "At noon", "For a long time", "While the others slept",
)  # fmt: skip
_WEATHER = (
    "The sky was low and the air smelled of smoke.", "It had rained all night.", "A pale sun stood over the roofs.",
    "The wind had turned to the north.", "Fog lay between the houses.", "It was warmer than the day before.",
    "Snow was on its way, and everybody knew it.", "The light was failing.", "Clouds came and went.",
)  # fmt: skip
_SAYS = (
    "that nothing had changed", "that it was too late", "that the price was fair", "that there was no hurry",
    "that somebody should have known", "that the road was closed", "that patience was a kind of work",
    "that the best part was still to come", "that one could not please everybody", "that it would have to do",
)  # fmt: skip
_THEN = (
    "and nobody minded", "but it made no difference", "and then went home", "because there was nothing else to do",
    "as it had always been done", "without a word", "and laughed about it", "which took most of the hour",
    "although it was cold", "and that was that",
)  # fmt: skip
_THOUGHTS = (
    "Work of that kind is never finished.", "It is strange how quickly one gets used to things.",
    "Most days are like this, and there is no harm in it.", "A thing that is mended twice is trusted less.",
    "People remember the weather and forget the talk.", "What is cheap is seldom light to carry.",
    "There are more opinions than chairs in such a place.", "Nothing looks the same from the other side.",
)  # fmt: skip


def prose(random: Random) -> Iterator[str]:
    """Sentences without end."""
    while True:
        people, things, spots = _PLACES[int(random.random() * len(_PLACES))]
        for _ in range(_PAGE):
            yield _sentence(random, people, things, spots)


def _sentence(random: Random, people: tuple[str, ...], things: tuple[str, ...], spots: tuple[str, ...]) -> str:
    who, other = pick(random, people), pick(random, people)
    what, where = pick(random, things), pick(random, spots)
    form = int(random.random() * 8)
    if form == 0:
        return pick(random, _WEATHER)
    if form == 1:
        return pick(random, _THOUGHTS)
    if form == 2:
        return f"{_capital(who)} said {pick(random, _SAYS)}, {pick(random, _THEN)}."
    if form == 3:
        return f"{pick(random, _WHEN)} {who} {pick(random, _DOES)} {what} {where}."
    if form == 4:
        return f"{pick(random, _WHEN)} {who} {pick(random, _DOES)} {what}, {pick(random, _THEN)}."
    if form == 5:
        return f"{_capital(where)} {who} met {other}, who thought {pick(random, _SAYS)}."
    if form == 6:
        return f"{_capital(what)} had been left {where}, and {who} {pick(random, _DOES)} {pick(random, things)}."
    return f"“{_capital(pick(random, _SAYS)[5:])},” said {who}, and {pick(random, _DOES)} {what} {where}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
