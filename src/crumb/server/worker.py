"""One process that serves: `python -m crumb.server.worker`, started by the supervisor and by nobody else.

Enters: on stdin one line of JSON with the settings and the numbers of the inherited listening sockets. Leaves: answers;
on stdout the words of `News`; an exit code. Knows nothing of other workers.

stdin stays open for as long as the parent lives. When it ends, so does the worker, however the parent died.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from crumb.errors import CrumbError
from crumb.server.listen import CUT, DONE, FAILED, News
from crumb.server.service import Service
from crumb.server.settings import Settings, flag

Build = Callable[[Settings], Service]
_RESERVED_FILES = 128  # descriptors beside connections: the model, logs, sockets, what Python holds


def _entry(name: str) -> Build:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    found: Build = getattr(importlib.import_module(module), function)
    return found


def _allow_files(connections: int) -> None:
    """Raises the limit of open files to what so many connections need, or says on stderr that it cannot."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    wanted = connections + _RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft < wanted:
        print(
            f"crumb serve: {flag('max_connections')} {connections:,} needs {wanted:,} open files and this process may "
            f"have {soft:,}; raise `ulimit -n` or lower the flag",
            file=sys.stderr,
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed (the extra brings it wherever it runs)."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _end_with_parent(grace: float) -> None:
    """Waits in a thread for the end of stdin, which is the parent's; then ends as by SIGTERM, or else by force."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(grace + 5)
        os._exit(FAILED)  # the event loop does not answer

    threading.Thread(target=watch, name="parent", daemon=True).start()


async def serve(service: Service, settings: Settings, sockets: list[socket.socket], tell: Callable[[str], None]) -> int:
    """Serves until a signal ends it; gives the exit code.

    SIGTERM and SIGINT: accepts no more, finishes what is in flight within the grace period, and returns DONE, or CUT
    when answers were cut off. SIGQUIT ends the grace period. SIGHUP reloads. What `service.loaded` raises is raised.
    """
    from crumb.server.accept import Listener  # uvicorn loads while the parent already listens

    loop = asyncio.get_running_loop()
    ending, at_once = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    loop.add_signal_handler(signal.SIGQUIT, at_once.set)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    listener = Listener(service.asgi, settings, service.refused)
    await service.start()
    alone = settings.workers == 1
    if alone:  # who has siblings leaves the clients to them until it can do more than ask for patience
        listener.open(sockets)
    tell(News.UP)
    loaded = asyncio.ensure_future(service.loaded())
    end = asyncio.ensure_future(ending.wait())
    await asyncio.wait({loaded, end}, return_when=asyncio.FIRST_COMPLETED)
    if loaded.done():
        loaded.result()
        if not alone:
            listener.open(sockets)
        tell(News.READY)
        await end
    elif not alone:
        listener.open(sockets)  # whoever waits to be accepted is told that it is over
    service.drain()
    listener.close()
    cut = await listener.finish(settings.grace_seconds, at_once)
    loaded.cancel()
    await service.stop()
    if cut:
        tell(f"{News.CUT} {cut}")
    return CUT if cut else DONE


def main(argv: list[str] | None = None) -> int:
    """Runs one worker to its end and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", default="crumb.server.app:build", help="MODULE:FUNCTION that makes a Service")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    orders = json.loads(sys.stdin.buffer.readline())
    settings = Settings.from_json(orders["settings"])
    sockets = [socket.socket(fileno=number) for number in orders["sockets"]]

    news = os.dup(1)
    os.dup2(2, 1)  # what anybody prints is no news

    def tell(words: str) -> None:
        with contextlib.suppress(OSError):  # the parent is gone
            os.write(news, f"{words}\n".encode())

    _end_with_parent(settings.grace_seconds)
    _allow_files(settings.max_connections)
    try:
        service = _entry(args.app)(settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(serve(service, settings, sockets, tell))
    except (CrumbError, OSError, ValueError) as error:  # what the operator named cannot be had, as in crumb.cli
        tell(f"{News.FAILED} {' '.join(str(error).split())}")
    except Exception as error:
        # a fault of ours: its traceback goes where it can be read, a line of it to who waits for the server
        sys.excepthook(type(error), error, error.__traceback__)
        tell(f"{News.FAILED} {type(error).__name__}: {' '.join(str(error).split())}")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
