"""Who is next: short newcomers first, then in a ring those that need more than one batch.

Enters: jobs (the tokens of one request). Leaves: runs, the consecutive texts of a job that go into the next batch.
Knows nothing of threads, engines or clocks: whoever shares a queue between threads holds a lock.

The two take turns, so neither starves: a short request waits for the batch at work and at most one more, however much
the long ones still have to do, and its own batch has no long text in it. A batch is shared equally among its jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crumb.model import Batch, Model


class QueueFullError(Exception):
    """No room: `excess` tokens have to be worked off before the job fits."""

    def __init__(self, excess: int) -> None:
        super().__init__(f"{excess} tokens too many wait")
        self.excess = excess


@dataclass(eq=False)
class Job:
    """The texts of one request, prepared, and the vectors that they get.

    Attributes:
        model, layers: what encodes them; only jobs that agree in both share a batch.
        batch: the tokens.
        finished: called once, from the engine's thread, when every text has its vector or one has failed.
        vectors: float32 [texts, dimensions], pooled; rows filled as batches are done.
        taken, done: texts that went into batches, and that came back.
        error: what went wrong, if something did.
        cancelled: nobody waits for it any more.
        queued_at, started_at: seconds of `time.perf_counter`.
        batches: how many batches it took.
    """

    model: Model
    batch: Batch
    layers: int | None
    finished: Callable[[Job], None]
    vectors: npt.NDArray[np.float32] = field(init=False)
    taken: int = 0
    done: int = 0
    error: Exception | None = None
    cancelled: bool = False
    queued_at: float = 0.0
    started_at: float = 0.0
    batches: int = 0

    def __post_init__(self) -> None:
        self.vectors = np.empty((self.texts, self.model.dimensions), dtype=np.float32)

    @property
    def texts(self) -> int:
        """How many texts it has."""
        return len(self.batch.cut)

    @property
    def lane(self) -> Hashable:
        """Equal for jobs that can share a batch."""
        return id(self.model), self.layers

    @property
    def tokens_left(self) -> int:
        """Tokens that no batch has taken yet."""
        offsets = self.batch.offsets
        return int(offsets[-1] - offsets[self.taken])


class Run(NamedTuple):
    """Texts `first` to `last - 1` of a job."""

    job: Job
    first: int
    last: int

    @property
    def tokens(self) -> int:
        """Tokens of these texts."""
        offsets = self.job.batch.offsets
        return int(offsets[self.last] - offsets[self.first])


class Queue:
    """Holds at most `capacity` tokens; one job alone may be larger than that, or it could never be served."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens = 0
        self._fresh: list[Job] = []  # have had no turn; but for the newest, each fits a batch
        self._ring: list[Job] = []  # wait for their next turn
        self._owed = False  # those of the ring were passed over

    def __len__(self) -> int:
        return len(self._fresh) + len(self._ring)

    def put(self, job: Job, *, force: bool = False) -> None:
        """Lets a job in; with `force` whether there is room or not.

        Raises:
            QueueFullError: it does not fit beside those that wait.
        """
        tokens = job.tokens_left
        if not force and len(self) and self.tokens + tokens > self.capacity:
            raise QueueFullError(self.tokens + tokens - self.capacity)
        self._fresh.append(job)
        self.tokens += tokens

    def drop(self, job: Job) -> None:
        """Takes a job out, whatever it still has to do; nothing if it is not there."""
        for waiting in (self._fresh, self._ring):
            if job in waiting:
                waiting.remove(job)
                self.tokens -= job.tokens_left

    def take(self, budget: int, wide: int | None = None) -> list[Run]:
        """The next batch of jobs that can share one; [] if nothing waits.

        Args:
            budget: tokens, about; what needs more than one batch is cut to it.
            wide: tokens of jobs that fit a batch, where more of them wait; None for the same.
        """
        if not len(self):
            return []
        # what needs several batches waits in the ring from the first, or short ones would wait for its first turn
        self._ring += [job for job in self._fresh if job.tokens_left > budget]
        self._fresh = [job for job in self._fresh if job.tokens_left <= budget]
        turn = bool(self._ring) and (self._owed or not self._fresh)
        waiting = self._ring if turn else self._fresh
        sharing = [job for job in waiting if job.lane == waiting[0].lane]
        runs = self._turns(sharing, budget if turn else max(budget, wide or 0))
        self._owed = bool(self._ring) and not turn
        served = {id(run.job) for run in runs}
        self._fresh = [job for job in self._fresh if id(job) not in served]
        self._ring = [job for job in self._ring if id(job) not in served]
        self._ring += [run.job for run in runs if run.job.taken < run.job.texts]
        return runs

    def _turns(self, jobs: list[Job], budget: int) -> list[Run]:
        """Equal shares of the budget to each job in turn, until it is used up; at least one text of the first."""
        runs: list[Run] = []
        for place, job in enumerate(jobs):
            if budget <= 0 and runs:
                break
            runs.append(self._take(job, max(budget, 0) // (len(jobs) - place)))
            budget -= runs[-1].tokens
        return runs

    def _take(self, job: Job, share: int) -> Run:
        offsets = job.batch.offsets
        first = job.taken
        # as many texts as fit the share, and one in any case
        last = int(np.searchsorted(offsets, offsets[first] + share, side="right")) - 1
        job.taken = min(max(last, first + 1), job.texts)
        run = Run(job, first, job.taken)
        self.tokens -= run.tokens
        return run
