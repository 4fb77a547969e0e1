"""Is there room to write?

Enters: a folder and how many bytes are about to go there. Leaves: nothing, or an error. Qdrant Edge writes through
memory maps of sparse files: where the disk is full, the kernel does not answer with an error that could be caught but
ends the process (SIGBUS). So room is asked for before, with a margin for what is rounded up. Knows nothing of Qdrant.
"""

from __future__ import annotations

import os
from pathlib import Path

from crumb.search.collection.errors import DiskFullError

# Bytes that stay free after writing, and after opening or removing: what was refused for want of room can still be
# opened, and room be made in it. docs/log.md says what was measured.
MARGIN, LEAST = 64 << 20, 8 << 20


def need(folder: Path, size: int, what: str, *, reserve: int = MARGIN) -> None:
    """Refuses if fewer than `size` bytes and the reserve are free where `folder` lies.

    Raises:
        DiskFullError: naming both.
    """
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free < size + reserve:
        raise DiskFullError(
            f"no room for {what} in {folder}: about {size / 1e6:.0f} MB and {reserve / 1e6:.0f} MB of reserve are "
            f"needed, {free / 1e6:.0f} MB are free. Nothing of it was written and nothing is lost; make room and run "
            "it again"
        )
