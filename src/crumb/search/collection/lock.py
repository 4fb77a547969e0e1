"""One process at a time in a folder.

Enters: a folder. Leaves: a lock that is held, or an error that names who holds it. The kernel lets go of the lock when
its process ends, however it ends, so a file that a dead process has left is no obstacle. Knows nothing of what is in
the folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from crumb.search.collection.errors import CollectionInUseError

FILE_NAME = "lock"


class Lock:
    """Takes the lock, or refuses.

    Raises:
        CollectionInUseError: somebody holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # flock and not lockf: the latter would let one process in twice, and any close() would let go of it
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 4096, 0)
            os.close(self._file)
            raise CollectionInUseError(
                f"{folder} is open {_describe(holder)}. One process at a time can use a collection in a folder: close "
                "it there, or share it through a Qdrant server (Collection.push, then open its URL)"
            ) from None
        me = {
            "pid": os.getpid(),
            "host": platform.node(),
            "command": " ".join([Path(sys.executable).name, *sys.argv])[:500],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.truncate(self._file, 0)
        os.pwrite(self._file, json.dumps(me).encode(), 0)

    def release(self) -> None:
        """Lets go. The file stays: taking it away would leave two processes with a lock on two files."""
        os.truncate(self._file, 0)
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)


def _describe(holder: bytes) -> str:
    try:
        who = json.loads(holder)
        here = " (this process)" if who["pid"] == os.getpid() and who["host"] == platform.node() else ""
        return f"in process {who['pid']}{here} on {who['host']} since {who['since']}: {who['command']}"
    except (ValueError, KeyError, TypeError):
        return "in another process"  # which has not written its name yet
