"""Names of people who do not exist, for facts that no model has read of.

Enters: a random generator. Leaves: different full names. Knows nothing of facts.
"""

from __future__ import annotations

from random import Random

from crumb.evaluation.generated.hide import shuffled

_FIRST = (
    "Agnes", "Albin", "Amara", "Anselm", "Bela", "Berit", "Bruno", "Carmen", "Cedric", "Clara", "Dagny", "Dario",
    "Edith", "Elias", "Farida", "Felix", "Gloria", "Gustav", "Hanna", "Hugo", "Ines", "Ivo", "Jana", "Jonas",
    "Kaia", "Karim", "Lena", "Leon", "Mara", "Milo", "Nadia", "Nils", "Olga", "Oscar", "Petra", "Rafael", "Rosa",
    "Ruben", "Selma", "Simon", "Tessa", "Tomas", "Ursula", "Victor", "Wanda", "Yusuf", "Zelda",
)  # fmt: skip
_LAST = (
    "Abbott", "Almeida", "Archer", "Barlow", "Becker", "Castillo", "Conrad", "Dalton", "Dorsey", "Eklund",
    "Farrell", "Foster", "Garland", "Gibson", "Hale", "Hartmann", "Holloway", "Ibsen", "Ito", "Jansen", "Keller",
    "Kimura", "Lambert", "Larsen", "Lowell", "Madsen", "Mercer", "Moreau", "Nakamura", "Norton", "Ortega",
    "Osborne", "Palmer", "Petrov", "Quinn", "Ramsey", "Reyes", "Rossi", "Salazar", "Schmidt", "Sinclair", "Tanaka",
    "Thorne", "Underhill", "Valdez", "Vogel", "Walsh", "Weaver", "Yates", "Zimmer",
)  # fmt: skip


def people(random: Random, count: int) -> list[str]:
    """`count` different names.

    Raises:
        ValueError: more than there are (2,350).
    """
    most = len(_FIRST) * len(_LAST)
    if count > most:
        raise ValueError(f"there are {most} names for as many documents of a length, {count} were asked for")
    return [f"{_FIRST[i // len(_LAST)]} {_LAST[i % len(_LAST)]}" for i in shuffled(random, most)[:count]]
