"""A bar on stderr for long work.

Enters: how much there is to do, and what it is called. Leaves: a bar, or what stands in its place. Knows nothing of
what the work is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm


class NoBar:
    """Stands where a bar would, and costs nothing."""

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, count: int) -> None:
        """Ignores the count."""


def bar(total: int | None, what: str, unit: str, progress: bool | None) -> tqdm[NoReturn] | NoBar:
    """A bar: always, never, or (None) at a terminal once the work has lasted a second."""
    if not (sys.stderr.isatty() if progress is None else progress):
        return NoBar()
    from tqdm import tqdm  # here and not above: most processes show none

    return tqdm(total=total, unit=f" {unit}", desc=what, delay=1.0 if progress is None else 0.0)
