"""A bar on stderr for long work. Knows nothing of what the work is."""

from __future__ import annotations

import sys
from typing import Any


def bar(total: int | None, what: str, unit: str, progress: bool | None) -> Any:
    """A bar: always, never, or (None) at a terminal once the work has lasted a second."""
    from tqdm import tqdm  # here and not above: most processes show none

    return tqdm(
        total=total,
        unit=f" {unit}",
        desc=what,
        disable=not (sys.stderr.isatty() if progress is None else progress),
        delay=1.0 if progress is None else 0.0,
    )
