"""What a run writes down while it goes: JSON lines, and TensorBoard's event files.

Enters: events, as plain data. Leaves: log.jsonl, whose position a checkpoint holds and a resumed run goes back to, and
the same figures for TensorBoard. Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

FILE = "log.jsonl"


class Log:
    """An open log; `write` for events of any kind, `figures` for numbers that make curves.

    A line is written at once, so that a kill loses none; a reader meets at most one broken line, the last.
    """

    def __init__(self, folder: Path, *, position: int = 0, step: int = 0, tensorboard: bool = True) -> None:
        """Opens the log in `folder` at `position` bytes; what an interrupted run wrote after it is dropped.

        Args:
            folder: made if it is not there.
            position: from `position()`; 0 for a new log.
            step: the run's step at that position: TensorBoard drops what follows it.
            tensorboard: whether to write TensorBoard's files too.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        path.touch()
        os.truncate(path, position)
        self._file = path.open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # a second of imports

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, event: str, **data: Any) -> None:
        """One line: {"event": event, …}."""
        self._file.write(json.dumps({"event": event, **data}) + "\n")
        self._file.flush()

    def figures(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Numbers for TensorBoard's curves, `prefix`/name at the run's step."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{prefix}/{name}", value, step)

    def position(self) -> int:
        """Bytes written so far, all of them on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._board is not None:
            self._board.flush()
        return self._file.tell()


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, in order; a last line that a kill broke off is left out."""
    with (folder / FILE).open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
