"""From the texts of a request to pooled vectors, through the queue that all requests share.

Enters: a model, texts, how they are read. Leaves: vectors and what they cost. Knows the order (tokens, limits, queue,
waiting) and nothing of HTTP but the errors that it raises. Runs on the event loop; long tokenising and the engine run
on threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from crumb.errors import TruncationError
from crumb.model import Batch, Truncation
from crumb.server.batching import Job, QueueFullError, Scheduler
from crumb.server.errors import ApiError, invalid, overloaded
from crumb.server.registry import Served
from crumb.server.settings import Settings
from crumb.vectors.normalize import Floats

# characters: below, tokenising takes less time than handing it to a thread
_AT_ONCE = 8_000
_TRUNCATIONS: dict[str, Truncation] = {"none": "error", "start": "start", "end": "end"}


@dataclass(frozen=True)
class Encoded:
    """Pooled vectors, float32 [n, dimensions], and what they cost.

    Attributes:
        vectors: neither cut nor normalised.
        tokens: read, special tokens and prompts included.
        cut: (index, tokens of the whole text, tokens that were not read) of each text that was too long.
        started_at: seconds of `time.perf_counter`.
        tokenize_seconds, queue_seconds, engine_seconds: where the time went from then on.
        batches: how many the texts were spread over.
    """

    vectors: Floats
    tokens: int
    cut: list[tuple[int, int, int]]
    started_at: float
    tokenize_seconds: float
    queue_seconds: float
    engine_seconds: float
    batches: int


class Encoding:
    """Encodes for requests.

    Args:
        settings: the limits.
        scheduler: runs the engine.
    """

    def __init__(self, settings: Settings, scheduler: Scheduler) -> None:
        self._settings = settings
        self.scheduler = scheduler
        self._tokenizing = ThreadPoolExecutor(2, thread_name_prefix="crumb-tokenize")

    async def encode(
        self,
        served: Served,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        truncation: str | None = None,
        layers: int | None = None,
    ) -> Encoded:
        """Vectors of texts; ends early if the task is cancelled, and then leaves the queue.

        Raises:
            ApiError: a text too long for truncation "none" or too many tokens (422, 413), no room in the queue (429), a
                vector that is not finite (500), no answer in time (503).
        """
        started = time.perf_counter()
        try:
            served.model.check_layers(layers)
        except ValueError as error:
            raise invalid(str(error), "layers") from None
        batch = await self.prepare(served, texts, prompt=prompt, truncation=truncation)
        tokens = int(batch.offsets[-1])
        if tokens > self._settings.max_request_tokens:
            raise ApiError(
                413,
                f"the texts have {tokens} tokens, more than the {self._settings.max_request_tokens} that a request may "
                "have here; send them in several requests (the server's --max-request-tokens)",
                param="input",
            )
        prepared = time.perf_counter()
        job = await self._vectors(Job(served.model, batch, layers, _ignore))
        cut = [
            (index, int(batch.offsets[index + 1] - batch.offsets[index]) + lost, lost)
            for index, lost in enumerate(batch.cut)
            if lost
        ]
        begun = job.started_at
        now = time.perf_counter()
        return Encoded(
            vectors=job.vectors,
            tokens=tokens,
            cut=cut,
            started_at=started,
            tokenize_seconds=prepared - started,
            queue_seconds=begun - job.queued_at,
            engine_seconds=now - begun,
            batches=job.batches,
        )

    async def prepare(
        self, served: Served, texts: Sequence[str], *, prompt: str | None = None, truncation: str | None = None
    ) -> Batch:
        """Tokens of texts.

        Raises:
            ApiError: 422, a text is too long for truncation "none".
        """
        prefix = served.model.resolve_prompt(prompt, None)
        work = partial(
            served.model.prepare, texts, prefix=prefix, truncation=_TRUNCATIONS[truncation or "end"], threads=1
        )
        try:
            if sum(map(len, texts)) + len(prefix) * len(texts) <= _AT_ONCE:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._tokenizing, work)
        except TruncationError as error:
            raise invalid(f"{error} (truncation_strategy: start, end)", "input") from None

    def close(self) -> None:
        """Ends the threads."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    async def probe(self, served: Served) -> None:
        """A real forward pass, past the queue's limit but not past its order; raises what goes wrong."""
        await self._vectors(Job(served.model, served.model.prepare(["ready?"]), None, _ignore), force=True)

    async def _vectors(self, job: Job, *, force: bool = False) -> Job:
        """Waits for a job."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Job] = loop.create_future()

        def finished(job: Job) -> None:  # on the engine's thread
            loop.call_soon_threadsafe(_resolve, future, job)

        job.finished = finished
        try:
            self.scheduler.submit(job, force=force)
        except QueueFullError as full:
            seconds = self.scheduler.seconds_for(full.excess)
            raise overloaded(
                seconds,
                f"{self.scheduler.waiting_tokens} tokens wait already, and {job.tokens_left} more do not fit the queue "
                f"of {self._settings.max_queue_tokens} (the server's --max-queue-tokens); try again in {seconds:.1f} s",
            ) from None
        limit = self._settings.request_seconds
        # what is let in by force is no request: whoever asks for it has a time of his own
        timer = None if force else loop.call_later(limit, _too_late, future, limit)
        try:
            await future
        except BaseException:
            self.scheduler.cancel(job)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if job.error is not None:
            raise job.error
        return job


def _ignore(_: Job) -> None:
    """Until somebody waits."""


def _resolve(future: asyncio.Future[Job], job: Job) -> None:
    if not future.done():
        future.set_result(job)


def _too_late(future: asyncio.Future[Job], seconds: float) -> None:
    if not future.done():
        future.set_exception(
            ApiError(
                503,
                f"no answer within {seconds:g} s (the server's --request-seconds); send fewer texts a request",
                headers={"retry-after": "1"},
            )
        )
