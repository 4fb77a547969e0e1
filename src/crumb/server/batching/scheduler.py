"""The thread that runs the engine: takes a batch as soon as the last is done, and hands every text its vector.

Enters: jobs, from any thread. Leaves: finished jobs, through their `finished`. Knows nothing of HTTP or of what becomes
of the vectors. An idle engine takes what is there at once: nobody waits for company. How many tokens make a batch
follows from how fast the engine has been: about `batch_seconds` of work, so that whoever comes next waits no longer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crumb.model import Batch
from crumb.server.batching.queue import Job, Queue, Run

_LEAST_BUDGET = 64  # tokens: below, handing out work costs more than the work
_MOST_BUDGET = 16_384
# Short requests that wait share one batch up to so many times the budget: each batch reads all weights from memory,
# which for a few texts takes longer than the work on them.
_WIDE = 4
_FIRST_RATE = 4_000.0  # tokens a second, until the first batches have shown the real rate
_MEMORY = 0.2  # weight of the newest batch in the rate

log = logging.getLogger("crumb.server")


class Done(NamedTuple):
    """One batch, for whoever counts: its size, how long the engine took, and the jobs it finished."""

    texts: int
    tokens: int
    seconds: float
    jobs: int


class Scheduler:
    """Works a queue off, on a thread of its own.

    Args:
        capacity: tokens that may wait.
        batch_seconds: how long a batch may take, about.
        observe: called with each batch, on the engine's thread.
        died: called should the thread end by a fault of ours.
    """

    def __init__(
        self,
        capacity: int,
        batch_seconds: float,
        observe: Callable[[Done], None] | None = None,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue = Queue(capacity)
        self._changed = threading.Condition()
        self._batch_seconds = batch_seconds
        self._observe = observe
        self._died = died
        self._rate = _FIRST_RATE
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="crumb-engine", daemon=True)

    @property
    def rate(self) -> float:
        """Tokens a second, as the last batches went."""
        return self._rate

    def learn(self, rate: float) -> None:
        """Believes in so many tokens a second, until batches show better."""
        self._rate = rate

    @property
    def waiting_tokens(self) -> int:
        """Tokens in the queue, those of the batch at work not counted."""
        return self._queue.tokens

    @property
    def waiting_jobs(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes what is queued, and ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, job: Job, *, force: bool = False) -> None:
        """Lets a job wait for its vectors; with `force` whether there is room or not.

        Raises:
            QueueFullError: there is no room.
        """
        job.queued_at = time.perf_counter()
        with self._changed:
            self._queue.put(job, force=force)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Nobody waits for this job: what no batch has taken of it is not encoded, and `finished` is not called."""
        with self._changed:
            job.cancelled = True
            self._queue.drop(job)

    def seconds_for(self, tokens: int) -> float:
        """How long until so many tokens have left the queue at the present rate, after the batch at work."""
        return self._batch_seconds + tokens / self._rate

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    while not len(self._queue) and not self._stopping:
                        self._changed.wait()
                    budget = self._budget()
                    runs = self._queue.take(budget, _WIDE * budget)
                    if not runs:
                        return
                self._encode(runs)
        except BaseException:
            # nothing foreseen comes here, and whoever waits would wait for ever
            log.critical("the engine's thread has failed", exc_info=True)
            self._died()

    def _budget(self) -> int:
        return int(min(max(self._rate * self._batch_seconds, _LEAST_BUDGET), _MOST_BUDGET))

    def _encode(self, runs: Sequence[Run]) -> None:
        runs = [run for run in runs if run.job.error is None and not run.job.cancelled]
        if not runs:
            return
        started = time.perf_counter()
        for run in runs:
            run.job.started_at = run.job.started_at or started
            run.job.batches += 1
        try:
            vectors = _vectors(runs)
        except Exception as error:
            # One bad text must not take its neighbours along: find it by halving.
            if sum(run.last - run.first for run in runs) > 1:
                for half in _halves(runs):
                    self._encode(half)
                return
            self._hand_out(runs, error)
            return
        seconds = time.perf_counter() - started
        tokens = sum(run.tokens for run in runs)
        # small batches say little about the rate: weigh them by their length
        weight = _MEMORY * min(1.0, seconds / self._batch_seconds)
        self._rate += weight * (tokens / max(seconds, 1e-6) - self._rate)
        finished = self._hand_out(runs, vectors)
        if self._observe:
            self._observe(Done(len(vectors), tokens, seconds, finished))

    def _hand_out(self, runs: Sequence[Run], result: npt.NDArray[np.float32] | Exception) -> int:
        finished = place = 0
        for job, first, last in runs:
            if isinstance(result, Exception):
                if job.error is not None:
                    continue
                job.error = result
                with self._changed:
                    self._queue.drop(job)
            else:
                job.vectors[first:last] = result[place : place + last - first]
                place += last - first
                job.done += last - first
                if job.done < job.texts or job.error is not None:
                    continue
            finished += 1
            if not job.cancelled:
                job.finished(job)
        return finished


def _vectors(runs: Sequence[Run]) -> npt.NDArray[np.float32]:
    """Pooled vectors of all runs, one behind the other."""
    job = runs[0].job
    parts = [run.job.batch for run in runs]
    ids = [part.ids[part.offsets[run.first] : part.offsets[run.last]] for part, run in zip(parts, runs, strict=True)]
    lengths = [np.diff(part.offsets[run.first : run.last + 1]) for part, run in zip(parts, runs, strict=True)]
    offsets = np.zeros(1 + sum(map(len, lengths)), dtype=np.int64)
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
    batch = Batch(np.concatenate(ids), offsets, [0] * (len(offsets) - 1), _first_pooled(runs))
    return job.model.pooled(batch, layers=job.layers)


def _first_pooled(runs: Sequence[Run]) -> npt.NDArray[np.int32] | None:
    """Where pooling begins in each text; a job without such places begins at its first token."""
    if all(run.job.batch.first_pooled is None for run in runs):
        return None
    parts = []
    for run in runs:
        first = run.job.batch.first_pooled
        parts.append(np.zeros(run.last - run.first, np.int32) if first is None else first[run.first : run.last])
    return np.concatenate(parts)


def _halves(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs, divided in the middle of their texts."""
    half = sum(run.last - run.first for run in runs) // 2
    left: list[Run] = []
    right: list[Run] = []
    for run in runs:
        room = half - sum(r.last - r.first for r in left)
        middle = min(run.first + max(room, 0), run.last)
        if middle > run.first:
            left.append(Run(run.job, run.first, middle))
        if middle < run.last:
            right.append(Run(run.job, middle, run.last))
    return left, right
