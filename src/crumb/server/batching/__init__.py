"""Requests of all clients share one engine: a queue bounded in tokens, and a thread that works it off in batches."""

from crumb.server.batching.queue import Job, Queue, QueueFullError, Run
from crumb.server.batching.scheduler import Scheduler

__all__ = ["Job", "Queue", "QueueFullError", "Run", "Scheduler"]
