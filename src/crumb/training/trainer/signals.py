"""Ctrl-C and SIGTERM while training: noticed, and acted on between two steps.

Enters: signals. Leaves: which one came. Knows nothing of checkpoints. A second Ctrl-C ends at once, as usual.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """`signal` is the number of the first signal that came, or None."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within it SIGINT and SIGTERM are noted; outside the main thread, where Python gets no signals, nothing is."""
    noted = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.signal(number, noted._note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
