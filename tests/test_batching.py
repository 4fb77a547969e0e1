"""The queue and the thread that works it off, beside a plain account of who is owed what and beside Model.encode."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crumb
from crumb.model import Batch
from crumb.server.batching import Job, Queue, QueueFullError, Scheduler
from crumb.server.batching.scheduler import Done


class Two:
    """All that a queue looks at in a model."""

    dimensions = 2


MODELS: list[Any] = [Two(), Two()]
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=40)


def job_of(lengths: list[int], model: Any = MODELS[0], layers: int | None = None) -> Job:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    batch = Batch(np.zeros(offsets[-1], np.int32), offsets, [0] * len(lengths))
    return Job(model, batch, layers, lambda job: None)


@given(
    jobs=st.lists(st.tuples(LENGTHS, st.integers(0, 1), st.sampled_from([None, 3])), max_size=12),
    budget=st.integers(1, 1000),
    late=st.lists(st.integers(0, 20), max_size=4),
    wide=st.integers(1, 3000),
)
def test_every_text_gets_its_turn_once_and_in_order(
    jobs: list[tuple[list[int], int, int | None]], budget: int, late: list[int], wide: int
) -> None:
    queue = Queue(10**9)
    made = [job_of(lengths, MODELS[model], layers) for lengths, model, layers in jobs]
    done = {id(job): 0 for job in made}
    coming = dict.fromkeys(late, 0)
    for job in made:
        queue.put(job)
    batches = 0
    while runs := queue.take(budget, wide):
        batches += 1
        assert len({run.job.lane for run in runs}) == 1
        for run in runs:
            assert run.first == done[id(run.job)] < run.last <= run.job.texts
            done[id(run.job)] = run.last
        # short jobs up to the wide budget, and of the others theirs; each at most a text beyond
        short = [run for run in runs if run.first == 0 and run.last == run.job.texts]
        longest = [int(np.diff(run.job.batch.offsets).max()) for run in runs]
        assert sum(run.tokens for run in runs) <= max(budget, wide) + budget + sum(longest)
        assert sum(run.tokens for run in runs if run not in short) <= budget + sum(longest)
        assert queue.tokens == sum(job.tokens_left for job in made)
        if batches - 1 in coming:
            made.append(job_of([5, 5]))
            done[id(made[-1])] = 0
            queue.put(made[-1])
    assert len(queue) == queue.tokens == 0
    assert all(done[id(job)] == job.texts for job in made)


@given(large=LENGTHS, budget=st.integers(7, 500), turns=st.integers(0, 5))
def test_a_newcomer_is_in_the_next_batch(large: list[int], budget: int, turns: int) -> None:
    queue = Queue(10**9)
    for _ in range(3):
        queue.put(job_of([*large * 20, 500]))
    for _ in range(turns):
        queue.take(budget)
    newcomer = job_of([7])
    queue.put(newcomer)
    assert id(newcomer) in [id(run.job) for run in queue.take(budget)]


def test_newcomers_do_not_starve_those_that_wait() -> None:
    queue = Queue(10**9)
    patient = job_of([100] * 50)
    queue.put(patient)
    queue.take(100)
    batches = 0
    while patient.taken < patient.texts:
        for _ in range(30):
            queue.put(job_of([10]))
        queue.take(100)
        batches += 1
        assert batches <= 100  # every other one
    # nor do they where they need a batch of their own
    other = job_of([100] * 20, MODELS[1])
    queue = Queue(10**9)
    queue.put(other)
    queue.take(100)
    for _ in range(60):
        queue.put(job_of([10]))
        queue.take(100)
    assert other.taken == other.texts


def test_the_queue_is_bounded_in_tokens() -> None:
    queue = Queue(100)
    queue.put(job_of([500]))  # alone it may be larger, or it would never be served
    with pytest.raises(QueueFullError) as full:
        queue.put(job_of([1]))
    assert full.value.excess == 401
    queue.put(job_of([1]), force=True)
    assert queue.tokens == 501
    queue.take(1000)
    queue.put(job_of([60]))
    queue.put(dropped := job_of([40]))
    with pytest.raises(QueueFullError):
        queue.put(job_of([1]))
    queue.drop(dropped)
    queue.drop(dropped)
    queue.put(job_of([40]))
    assert queue.tokens == 100


Work = Callable[..., list[Job]]


@pytest.fixture
def work(model: crumb.Model) -> Any:
    """Runs requests, given as lists of texts, through a scheduler all at once, and gives the finished jobs."""
    schedulers: list[Scheduler] = []
    seen: list[Done] = []

    def run(*requests: list[str], layers: int | None = None, batch_seconds: float = 0.01) -> list[Job]:
        scheduler = Scheduler(10**9, batch_seconds, seen.append)
        schedulers.append(scheduler)
        finished = [threading.Event() for _ in requests]
        jobs = [
            Job(model, model.prepare(texts), layers, lambda _, event=event: event.set())  # type: ignore[misc]
            for texts, event in zip(requests, finished, strict=True)
        ]
        for job in jobs:
            scheduler.submit(job)
        scheduler.start()
        for event in finished:
            assert event.wait(120)
        return jobs

    run.seen = seen  # type: ignore[attr-defined]
    yield run
    for scheduler in schedulers:
        scheduler.stop()
        assert not scheduler.alive


def test_the_same_bits_as_encode_in_any_company(work: Work, model: crumb.Model, texts: list[str]) -> None:
    requests = [texts[:1], texts[1:4], texts[4:60], texts[60:61], texts[61:90]]
    for layers in (None, 3):
        jobs = work(*requests, layers=layers)
        for job, asked in zip(jobs, requests, strict=True):
            assert job.error is None
            alone = model.encode(asked, layers=layers, normalized=False, truncation="end")
            np.testing.assert_array_equal(job.vectors, alone)


def test_a_long_request_is_spread_over_batches(work: Work, texts: list[str]) -> None:
    long, short = work(texts[:80], ["a few words"], batch_seconds=0.001)
    assert long.batches > 5
    assert short.batches == 1
    assert short.started_at - short.queued_at < long.started_at - long.queued_at + 60
    seen: list[Done] = work.seen  # type: ignore[attr-defined]
    assert sum(done.texts for done in seen) == 81
    assert sum(done.jobs for done in seen) == 2
    assert sum(done.tokens for done in seen) == sum(int(job.batch.offsets[-1]) for job in (long, short))


def test_a_cancelled_job_is_not_encoded(model: crumb.Model, texts: list[str]) -> None:
    seen: list[Done] = []
    scheduler = Scheduler(10**9, 0.01, seen.append)
    called = threading.Event()
    job = Job(model, model.prepare(texts[:50]), None, lambda _: called.set())
    scheduler.submit(job)
    scheduler.cancel(job)
    assert scheduler.waiting_tokens == scheduler.waiting_jobs == 0
    scheduler.start()
    scheduler.stop()
    assert seen == []
    assert not called.is_set()


def test_prompts_that_pooling_leaves_out_share_a_batch(model: crumb.Model) -> None:
    """Jobs with and without first_pooled together: each pools what it would pool alone."""
    plain = model.prepare(["one two three", "four"])
    skipping = plain._replace(first_pooled=np.array([2, 1], np.int32))
    events = [threading.Event() for _ in range(2)]
    jobs = [
        Job(model, batch, None, lambda _, event=event: event.set())  # type: ignore[misc]
        for batch, event in zip((plain, skipping), events, strict=True)
    ]
    scheduler = Scheduler(10**9, 1.0)
    for job in jobs:
        scheduler.submit(job)
    scheduler.start()
    for event in events:
        assert event.wait(60)
    scheduler.stop()
    for job in jobs:
        np.testing.assert_array_equal(job.vectors, model.pooled(job.batch))
    assert not np.array_equal(jobs[0].vectors, jobs[1].vectors)
