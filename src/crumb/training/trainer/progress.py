"""What a person at a terminal sees while a run goes on.

Enters: steps as they are done, and messages. Leaves: a bar on stderr with the loss and its parts, tokens a second and
the time that is left; off a terminal only the messages. Silent in all processes but the leader.
"""

from __future__ import annotations

import sys

from tqdm import tqdm

from crumb.training.trainer.step import Done

MEMORY = 0.1  # weight of a new step in the shown rate


class Progress:
    """A bar over the steps of all stages."""

    def __init__(self, steps: int, *, shown: bool) -> None:
        self._shown = shown
        self._rate: float | None = None
        hidden = not shown or not sys.stderr.isatty()
        self._bar = tqdm(total=steps, unit="step", disable=hidden, dynamic_ncols=True, smoothing=MEMORY)

    def at(self, step: int) -> None:
        """Steps that were done before: they take no part in the time that is left."""
        self._bar.initial = self._bar.n = step
        self._bar.last_print_n = step
        self._bar.refresh()

    def step(self, done: Done, seconds: float) -> None:
        """One more step."""
        rate = done.tokens / seconds
        self._rate = rate if self._rate is None else self._rate + MEMORY * (rate - self._rate)
        parts = "".join(f", {name} {value:.3g}" for name, value in done.parts.items())
        self._bar.set_postfix_str(f"loss {done.loss:.4g}{parts}, {self._rate:,.0f} tokens/s", refresh=False)
        self._bar.update()

    def say(self, message: str) -> None:
        """A line above the bar."""
        if self._shown:
            self._bar.write(f"crumb train: {message}", file=sys.stderr)

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()
