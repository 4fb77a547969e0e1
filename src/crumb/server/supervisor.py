"""The parent process: it holds the address, keeps the workers alive, and ends them in order.

Enters: `Settings`. Leaves: an exit code. Knows nothing of HTTP, models or requests, and imports neither numpy nor
anything else that is large: it stays in memory for as long as the server runs, and has to be there when a
worker has died of too much.

The address is bound once, here, and inherited by every worker. So while one is started anew its siblings serve, and
without siblings connections wait in the kernel until it accepts them: no client is refused because a worker died.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from crumb.server.listen import CUT, DONE, FAILED, News, listen, url_of
from crumb.server.settings import Settings, flag

_STEADY = 10.0  # seconds: a worker that lived this long did not die of its start
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0  # before a worker is started again; doubled with each early death
_TRIES = 6  # early deaths in a row until it is given up, where nobody else serves
_MARGIN = 2.0  # beyond the grace period, for a worker to cut what is left and end
_SAME_SIGNAL = 0.5  # a terminal or a service manager may send one request to end twice
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

Say = Callable[[str, str], None]  # a level ("info", "warning", "error") and a line


def _to_stderr(settings: Settings) -> Say:
    """Lines in the form of the workers' logs (`server/logs.py`, which needs what the parent does not load)."""
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    levels = ("debug", "info", "warning", "error")

    def say(level: str, line: str) -> None:
        if levels.index(level) < levels.index(settings.log_level):
            return
        if as_text:
            words = f"crumb serve: {line}"
        else:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            words = json.dumps({"time": now, "level": level, "message": line}, ensure_ascii=False)
        print(words, file=sys.stderr, flush=True)

    return say


def supervise(settings: Settings, *, app: str = "crumb.server.app:build", say: Say | None = None) -> int:
    """Serves until SIGTERM or SIGINT, and returns the exit code: 0 when every answer was finished, else 1.

    SIGHUP is passed on to the workers. A second SIGTERM or SIGINT ends the grace period. To be called from the main
    thread; signal handlers are put back at the end.

    Args:
        app: MODULE:FUNCTION that makes the `Service` in each worker.
        say: takes a level and one line for whoever started the server; to stderr if it is left out.

    Raises:
        ListenError: the address cannot be listened on.
    """
    sockets = listen(settings)
    say = say or _to_stderr(settings)
    try:
        for sock in sockets:
            say("info", f"listening on {url_of(sock)}")
        with _signals() as wake, _shared_metrics(settings, say) as folder:
            return _Supervisor(settings, app, say, sockets, wake, folder).run()
    finally:
        _close(sockets, settings)


def _close(sockets: list[socket.socket], settings: Settings) -> None:
    """Lets go of the address; harmless when that was done before."""
    if settings.uds and sockets and sockets[0].fileno() >= 0:
        Path(settings.uds).unlink(missing_ok=True)
    for sock in sockets:
        sock.close()


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket on which the numbers of signals arrive as bytes, while they do nothing else."""
    wake, written = socket.socketpair()
    wake.setblocking(False)
    written.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    old = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        wake.close()
        written.close()


@contextlib.contextmanager
def _shared_metrics(settings: Settings, say: Say) -> Iterator[str]:
    """A folder in which several workers keep what they have counted, so that any of them answers for all; "" for one.

    prometheus_client reads its name from PROMETHEUS_MULTIPROC_DIR; who has set that has a folder already.
    """
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    if named or settings.workers == 1:
        yield named
        return
    import shutil
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="crumb-metrics-")
    except OSError as error:
        say("warning", f"/metrics will tell of one worker at a time: there is no folder for what they count ({error})")
        yield ""
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Worker:
    """A place for one process after another."""

    process: subprocess.Popen[bytes] | None = None
    news: int = -1  # its stdout
    unread: bytes = b""
    up: bool = False
    ready: bool = False
    reload: bool = False  # SIGHUP came before it could take it
    last_words: str = ""
    since: float = 0.0
    early_deaths: int = 0
    due: float = field(default_factory=time.monotonic)  # when to start it


class _Supervisor:
    def __init__(
        self, settings: Settings, app: str, say: Say, sockets: list[socket.socket], wake: socket.socket, metrics: str
    ) -> None:
        self._metrics = metrics
        self._settings, self._app, self._say = settings, app, say
        self._sockets, self._wake = sockets, wake
        self._workers = [_Worker() for _ in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ)
        self._ever_ready = False
        self._stopping_since = 0.0
        self._deadline = float("inf")
        self._code = DONE

    def run(self) -> int:
        """Starts, watches, ends."""
        try:
            while not self._stopping_since or any(worker.process for worker in self._workers):
                now = time.monotonic()
                if not self._stopping_since:
                    for worker in self._workers:
                        if worker.process is None and worker.due <= now:
                            self._start(worker)
                elif now >= self._deadline:
                    self._kill()
                for key, _ in self._selector.select(self._patience()):
                    if key.fileobj is self._wake:
                        self._take_signals()
                    else:
                        self._read_news(key.data)
                for worker in self._workers:
                    if worker.process is not None and worker.process.poll() is not None:
                        self._ended(worker, worker.process)
        finally:
            self._send(signal.SIGKILL)  # only where something above has failed is there still one
            for worker in self._workers:
                if worker.process is not None:
                    worker.process.wait()
            self._selector.close()
        return self._code

    def _patience(self) -> float | None:
        """Seconds until something has to be done."""
        now = time.monotonic()
        if self._stopping_since:
            return max(0.0, self._deadline - now) if self._deadline < float("inf") else None
        due = [worker.due for worker in self._workers if worker.process is None]
        return max(0.0, min(due) - now) if due else None

    def _start(self, worker: _Worker) -> None:
        worker.unread, worker.last_words = b"", ""
        worker.up = worker.ready = worker.reload = False
        worker.since = time.monotonic()
        fds = [sock.fileno() for sock in self._sockets]
        try:
            # -P: what lies in the current folder is not imported. A group of its own: Ctrl-C comes from here, once.
            worker.process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", "crumb.server.worker", "--app", self._app],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=fds,
                process_group=0,
                env={**os.environ, **({"PROMETHEUS_MULTIPROC_DIR": self._metrics} if self._metrics else {})},
            )
        except OSError as error:  # the machine is short of processes, memory or descriptors: that passes
            self._again(worker, f"a worker cannot be started now ({error.strerror})", for_good=not self._ever_ready)
            return
        assert process.stdin is not None
        assert process.stdout is not None
        worker.news = process.stdout.fileno()
        os.set_blocking(worker.news, False)
        self._selector.register(worker.news, selectors.EVENT_READ, worker)
        orders = {"settings": self._settings.to_json(), "sockets": fds}
        with contextlib.suppress(BrokenPipeError):  # dead already: its end is seen in a moment
            process.stdin.write(json.dumps(orders).encode() + b"\n")  # and it stays open: its end tells of ours

    def _forget_news(self, worker: _Worker) -> None:
        if worker.news >= 0:
            self._selector.unregister(worker.news)
            worker.news = -1

    def _read_news(self, worker: _Worker) -> bool:
        """Takes in what a worker has written; whether there was anything."""
        try:
            data = os.read(worker.news, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._forget_news(worker)
            return False
        *lines, worker.unread = (worker.unread + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == News.UP:
                worker.up = True
                if worker.reload and worker.process is not None:
                    worker.process.send_signal(signal.SIGHUP)
            elif word == News.READY:
                worker.ready = True
                if not self._ever_ready:
                    self._ever_ready = True
                    self._say("info", f"ready after {time.monotonic() - worker.since:.1f} s")
            elif word == News.FAILED:
                worker.last_words = rest
            elif word == News.CUT:
                worker.last_words = (
                    f"the grace period was over ({flag('grace_seconds')} {self._settings.grace_seconds:g}) and {rest} "
                    "connections were cut before their answer was complete"
                )
        return True

    def _ended(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        while worker.news >= 0 and self._read_news(worker):
            pass
        self._forget_news(worker)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        worker.process = None
        if self._metrics:  # what it had in hand is gone with it; what it has counted stays
            for gauge in Path(self._metrics).glob(f"gauge_live*_{process.pid}.db"):
                gauge.unlink(missing_ok=True)
        code = process.returncode
        words = worker.last_words or _of(code)
        if self._stopping_since:
            if code == CUT or (code != DONE and worker.up):
                self._say("error", words)
                self._code = FAILED
            return
        if worker.ready and time.monotonic() - worker.since >= _STEADY:
            worker.early_deaths = 0
            worker.due = time.monotonic()
            self._say("warning", f"worker {process.pid} is gone: {words}; another is started")
            return
        alone = not any(other.ready for other in self._workers if other.process is not None)
        for_good = not self._ever_ready or (alone and worker.early_deaths + 1 >= _TRIES)
        if worker.ready:
            self._again(worker, f"worker {process.pid} is gone: {words}", for_good=False)
        else:
            self._again(worker, words, for_good=for_good)

    def _again(self, worker: _Worker, words: str, for_good: bool) -> None:
        """Another try after a while, longer each time, or the end."""
        worker.early_deaths += 1
        if for_good:
            self._say("error", f"the server cannot start: {words}")
            self._stop(FAILED)
            return
        delay = min(_FIRST_DELAY * 2 ** (worker.early_deaths - 1), _LONGEST_DELAY)
        worker.due = time.monotonic() + delay
        self._say("warning", f"{words}; another is started in {delay:g} s")

    def _take_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._wake.recv(1024):
                if number in (signal.SIGTERM, signal.SIGINT):
                    now = time.monotonic()
                    if not self._stopping_since:
                        self._say("info", "finishing what is being answered")
                        self._stop(DONE)
                    elif now - self._stopping_since >= _SAME_SIGNAL:
                        self._send(signal.SIGQUIT)
                        self._deadline = min(self._deadline, now + _MARGIN)
                elif number == signal.SIGHUP:
                    for worker in self._workers:
                        worker.reload = not worker.up
                        if worker.up and worker.process is not None:
                            worker.process.send_signal(signal.SIGHUP)

    def _stop(self, code: int) -> None:
        """Lets go of the address and asks every worker to end."""
        self._code = code
        self._stopping_since = time.monotonic()
        self._deadline = self._stopping_since + self._settings.grace_seconds + _MARGIN
        _close(self._sockets, self._settings)
        self._send(signal.SIGTERM)

    def _kill(self) -> None:
        self._say("error", f"{flag('grace_seconds')} is over: workers that have not ended are killed")
        self._code = FAILED
        self._deadline = float("inf")
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.send_signal(number)


def _of(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"it ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (the system does that when memory is short)" if name == "SIGKILL" else ""
    return f"it was killed by {name}{hint}"
