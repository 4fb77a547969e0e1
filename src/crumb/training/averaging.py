"""Weight averaging while training: an exponential moving average of the weights.

Enters: parameters by name, after each step. Leaves: averaged tensors, float32. Knows nothing of the model or of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """An exponential moving average (Polyak averaging): a ← d a + (1 - d) w after each step.

    The decay rises as min(decay, (1 + n) / (10 + n)) over the first n updates, so that a short run's average is not
    made of its first weights.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], decay: float) -> None:
        """Begins at the parameters' values; those that do not train are left out, since their average is themselves."""
        if not 0 < decay < 1:
            raise ValueError(f"decay is {decay}, expected a number between 0 and 1")
        self.decay = decay
        self.updates = 0
        self._weights = {name: tensor for name, tensor in parameters if tensor.requires_grad}
        self.tensors = {name: tensor.detach().clone() for name, tensor in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the parameters' present values in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, tensor in self._weights.items():
            self.tensors[name].lerp_(tensor.detach(), 1 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the parameters hold the average; afterwards their own values again, bit for bit."""
        kept = {name: tensor.detach().clone() for name, tensor in self._weights.items()}
        try:
            self._fill(self.tensors)
            yield
        finally:
            self._fill(kept)

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor]) -> None:
        for name, tensor in self._weights.items():
            tensor.copy_(values[name])
