"""What a step draws at random, decided by the seed and the step alone.

Enters: the recipe's seed, the stage, the step, the process's rank. Leaves: the state of Python's, numpy's and torch's
global generators. A resumed step draws what it would have drawn, so no checkpoint has to hold a generator's state, and
no library's draw in between (an evaluation, a plot) can shift it.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def seed_step(seed: int, *place: int) -> None:
    """Seeds the generators of every library that a step may draw from, on every device.

    Args:
        seed: the recipe's.
        place: what tells this draw from others: stage, step, the process's rank.
    """
    digest = hashlib.blake2b(repr((seed, *place)).encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number % 2**63)
