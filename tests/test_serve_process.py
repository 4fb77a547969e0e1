"""The processes of the server and HTTP below the application: real sockets, real processes, bad clients, signals."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
pytest.importorskip("httptools", reason="the extra [serve] is not installed")

from conftest import can_be_interrupted
from service_stub import PIECE, PIECES

from crumb.server.accept import Listener
from crumb.server.listen import ListenError, listen
from crumb.server.service import Receive, Scope, Send
from crumb.server.settings import Settings

HERE = Path(__file__).parent
LIMITS = Settings(
    port=0, header_seconds=0.4, write_seconds=0.5, header_bytes=4096, max_connections=1200, log_format="text"
)
PATIENCE = 20.0
_MAIN = """
import sys
from crumb.server.settings import Settings
from crumb.server.supervisor import supervise
sys.exit(supervise(Settings.from_json(sys.argv[1]), app="service_stub:build"))
"""


class Server:
    """A supervisor with its workers; `said` is what it wrote to stderr."""

    def __init__(self, settings: Settings, **environment: str) -> None:
        self.settings = settings
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, settings.to_json()],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE), **environment},
            preexec_fn=can_be_interrupted,
        )
        self.said = ""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def hears(self, words: str) -> None:
        """Waits until it has said that."""
        wait_for(lambda: words in self.said or self.process.poll() is not None)
        assert words in self.said, self.said

    @property
    def port(self) -> int:
        found = re.search(r"http://127.0.0.1:(\d+)", self.said)
        assert found is not None
        return int(found[1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def get(self, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Status and JSON, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET" if body is None else "POST", path, body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def saw(self, words: str) -> None:
        """Waits until the service has been told that."""
        wait_for(lambda: words in self.get("/seen")[1])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """Waits for its end; gives the exit code."""
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()
        self.reader.join(PATIENCE)


@contextlib.contextmanager
def serving(settings: Settings = LIMITS, until: str = "ready after", **environment: str) -> Iterator[Server]:
    server = Server(settings, **environment)
    try:
        server.hears(until)
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests that leave it as it was."""
    with serving() as found:
        yield found
        assert found.process.poll() is None, found.said


def wait_for(found: Callable[[], bool]) -> None:
    """Waits until it is so; fails after a while."""
    until = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < until, "this did not come"
        time.sleep(0.01)


def everything(sock: socket.socket) -> bytes:
    """What the server sends until it closes."""
    data = b""
    while piece := sock.recv(1 << 16):
        data += piece
    return data


def one_answer(sock: socket.socket) -> bytes:
    """An answer of a connection that stays open."""
    data = b""
    while (head := data.partition(b"\r\n\r\n"))[1] == b"" or len(head[2]) < length_of(head[0]):
        piece = sock.recv(1 << 16)
        assert piece, data
        data += piece
    return data


def length_of(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: (\d+)", head)
    assert found is not None, head
    return int(found[1])


def error(data: bytes) -> tuple[int, dict[str, Any]]:
    """Status and error of a whole answer, which must announce that the connection ends."""
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert length_of(head) == len(body)
    found = json.loads(body)
    assert found["message"] == found["error"]["message"]
    assert found["error"]["code"] == int(head[9:12])
    return int(head[9:12]), found["error"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # an orphan's body may wait for an init that does not collect
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


# -- clients that misbehave --------------------------------------------------------------------------------------------


def test_headers_that_drip_are_told_the_limit(server: Server) -> None:
    with server.connect() as sock:
        answer = b""
        sock.sendall(b"GET / HTTP/1.1\r\nx-slow: ")
        sock.settimeout(0.05)
        while not answer:
            sock.sendall(b"a")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(1 << 16)
        sock.settimeout(PATIENCE)
        status, found = error(answer + everything(sock))
    assert status == 408
    assert "0.4 seconds (the server's --header-seconds)" in found["message"]


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "a line"])
def test_a_connection_without_a_request_is_closed(server: Server, sent: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(sent)
        assert everything(sock) == b""


def test_empty_lines_do_not_keep_a_connection(server: Server) -> None:
    def drip(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"\r\n")
            time.sleep(0.02)

    with server.connect() as sock, pytest.raises(ConnectionError):
        drip(sock)


def test_a_quiet_connection_is_closed() -> None:
    with serving(replace(LIMITS, keep_alive_seconds=0.3)) as server, server.connect() as sock:
        sock.settimeout(4)  # uvicorn's own time is 5
        sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert everything(sock).startswith(b"HTTP/1.1 200")


def test_large_headers_are_refused(server: Server) -> None:
    head = b"GET / HTTP/1.1\r\nhost: a\r\nx-large: %s\r\n\r\n"
    with server.connect() as sock:
        sock.sendall(head % (b"a" * 3900))
        assert one_answer(sock).startswith(b"HTTP/1.1 200")
        sock.sendall(head % (b"a" * 4096))
        status, found = error(everything(sock))
    assert status == 431
    assert "4,096 bytes (the server's --header-bytes)" in found["message"]


def test_a_body_does_not_count_as_headers(server: Server) -> None:
    """All in one packet, and once more while the first is answered."""
    one = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n" + bytes(30000)
    with server.connect() as sock:
        sock.sendall(one + one + b"GET / HTTP/1.1\r\nconnection: close\r\nhost: a\r\n\r\n")
        assert everything(sock).count(b"HTTP/1.1 200") == 3


def test_headers_without_end_are_refused(server: Server) -> None:
    """The client hears why, although it goes on sending."""
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                sock.sendall(b"x-more: " + b"a" * 1000 + b"\r\n")
        assert error(everything(sock))[0] == 431


def test_what_is_not_http_is_told_so(server: Server) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"nonsense\r\n\r\n"):
        with server.connect() as sock:
            sock.sendall(sent)
            assert error(everything(sock))[0] == 400


def test_less_promised_than_sent(server: Server) -> None:
    """The rest is taken for another request, and it is none: nothing of it reaches the application."""
    with server.connect() as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n{ this is more }")
        assert error(everything(sock))[0] == 400


def test_more_promised_than_sent(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 300\r\n\r\n{}")
    server.saw("disconnect in body")


def test_two_lengths_are_refused(server: Server) -> None:
    """What a proxy before us might read otherwise (request smuggling)."""
    for lines in (b"content-length: 3\r\ncontent-length: 4", b"content-length: 3\r\ntransfer-encoding: chunked"):
        with server.connect() as sock:
            sock.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\n" + lines + b"\r\n\r\n{}}")
            assert error(everything(sock))[0] == 400


def test_an_early_answer_arrives_although_the_body_is_still_sent(server: Server) -> None:
    size = 16 << 20
    with server.connect() as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        sock.sendall(bytes(size))
        answer = everything(sock)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.endswith(b'"too much"')


def test_a_client_that_goes_away_is_told_to_the_application(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
    server.saw("disconnect while waiting")


def test_a_client_that_goes_away_in_the_middle_of_its_answer(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /pieces HTTP/1.1\r\nhost: a\r\n\r\n")
        assert sock.recv(100)
    server.saw("pieces: end")
    assert server.get("/")[0] == 200


@pytest.mark.parametrize("path", ["pieces", "whole"])
def test_an_answer_that_is_not_read_is_cut(server: Server, path: str) -> None:
    before = server.get("/seen")[1].count("0 answer not read")
    with server.connect() as sock:
        sock.sendall(f"GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        wait_for(lambda: server.get("/seen")[1].count("0 answer not read") > before)
        with contextlib.suppress(ConnectionResetError):
            assert len(everything(sock)) < len(PIECE) * PIECES
    server.saw(f"{path}: end")


@pytest.mark.parametrize("lines", ["connection: close", "connection: keep-alive"])
def test_a_small_answer_that_is_not_read_is_cut(lines: str) -> None:
    """It fits into what the loop holds back, so that nobody has to wait with writing: only the end has to wait."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"40000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(40_000)})

    async def run() -> None:
        refused: asyncio.Queue[str] = asyncio.Queue()
        limits = replace(LIMITS, keep_alive_seconds=0.1)
        listener = Listener(app, limits, lambda status, reason: refused.put_nowait(reason))
        with socket.socket() as sock, socket.socket() as client:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(sock.getsockname())
            listener.open([sock])
            client.sendall(f"GET / HTTP/1.1\r\n{lines}\r\n\r\n".encode())
            assert await asyncio.wait_for(refused.get(), PATIENCE) == "answer not read"
            listener.close()
            assert await listener.finish(PATIENCE, asyncio.Event()) == 0

    asyncio.run(run())


@pytest.mark.parametrize("path", ["pieces", "whole"])
def test_an_answer_that_is_read_slowly_arrives(server: Server, path: str) -> None:
    """In more time than `write_seconds`, but steadily."""
    with server.connect() as sock:
        sock.sendall(f"GET /{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        began, size = time.monotonic(), 0
        while piece := sock.recv(1 << 20):
            size += len(piece)
            if time.monotonic() - began < 1.5:
                time.sleep(0.1)
    assert size > len(PIECE) * PIECES


def test_a_thousand_connections(server: Server) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip(f"this process may have {hard} open files, the test needs 1,400")
    if soft < 1400:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1400, hard))
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(1000):  # each asks at once: a thousand may take longer than headers may
            socks.append(stack.enter_context(server.connect()))
            socks[-1].sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert all(one_answer(sock).startswith(b"HTTP/1.1 200") for sock in socks)
        assert server.get("/")[0] == 200


def test_connections_beyond_the_limit_are_told_so() -> None:
    with serving(replace(LIMITS, max_connections=8)) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                sock = stack.enter_context(server.connect())
                sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                assert one_answer(sock).startswith(b"HTTP/1.1 200")
            with server.connect() as sock:
                sock.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
                answer = everything(sock)
                status, found = error(answer)
            assert status == 503
            assert b"\r\nretry-after: 1\r\n" in answer
            assert "8 connections are open" in found["message"]
            assert "--max-connections" in found["message"]
            assert server.get("/health/ready") == (200, {"status": "ready"})
            crowd = [stack.enter_context(server.connect()) for _ in range(100)]
            closed = 0
            for sock in crowd[64:]:  # those have no use of their own: closed without a word
                with contextlib.suppress(ConnectionError):
                    closed += sock.recv(100) == b""
                    continue
                closed += 1
            assert closed == 36
        wait_for(lambda: server.get("/")[0] == 200)


# -- signals and deaths ------------------------------------------------------------------------------------------------


def test_loading_is_told_until_it_is_done() -> None:
    with serving(until="listening on", STUB_LOAD="0.5") as server:
        assert server.get("/health/ready") == (503, {"status": "loading"})
        assert server.get("/")[0] == 503
        server.hears("ready after")
        assert server.get("/health/ready") == (200, {"status": "ready"})


def test_a_killed_worker_comes_back_and_nobody_is_refused(tmp_path: Path) -> None:
    with serving() as server:
        pid = server.get("/")[1]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid))
        status, new = server.get("/")  # connects while nobody is there to accept
        assert (status, new) != (200, pid)
        wait_for(lambda: server.get("/health/ready") == (200, {"status": "ready"}))
        assert server.get("/")[1] != pid
        assert f"worker {pid} is gone: it was killed by SIGKILL" in server.said


def test_siblings_serve_while_one_is_started_again() -> None:
    with serving(replace(LIMITS, workers=2)) as server:
        one = server.get("/")[1]
        os.kill(one, signal.SIGSTOP)  # it is there, and accepts nobody
        wait_for(lambda: server.get("/")[0] == 200)
        other = server.get("/")[1]
        assert other != one
        os.kill(one, signal.SIGKILL)
        wait_for(lambda: not alive(one))
        assert server.get("/")[0] in (200, 503)
        os.kill(other, signal.SIGSTOP)
        try:
            wait_for(lambda: server.get("/")[0] == 200)
            assert server.get("/")[1] not in (one, other)
        finally:
            os.kill(other, signal.SIGCONT)
        server.signal(signal.SIGTERM)
        assert server.ends() == 0


def test_a_worker_that_never_comes_back_is_given_up(tmp_path: Path) -> None:
    fail = tmp_path / "fail"
    with serving(STUB_FAIL=str(fail)) as server:
        fail.write_text("build")
        os.kill(server.get("/")[1], signal.SIGKILL)
        assert server.ends() == 1
        assert "cannot start: there is no model of that name" in server.said.splitlines()[-1]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="another process's limits are set on Linux alone")
def test_a_machine_that_is_short_of_something_for_a_while() -> None:
    """No descriptors, as it might be no processes or no memory: the parent waits for better times."""
    import resource

    with serving() as server:
        pid = server.get("/")[1]
        before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (4, before[1]))
        os.kill(pid, signal.SIGKILL)
        server.hears("a worker cannot be started now (Too many open files)")
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        wait_for(lambda: server.get("/")[0] == 200)
        assert server.get("/")[1] != pid


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        ("build", "cannot start: there is no model of that name"),
        ("loaded", "cannot start: the model is damaged"),
        ("bug", "cannot start: ZeroDivisionError: a fault of ours"),
        ("kill", "cannot start: it was killed by SIGKILL"),
    ],
)
def test_a_worker_that_cannot_start(fail: str, words: str) -> None:
    server = Server(replace(LIMITS, log_format="json"), STUB_FAIL=fail)
    assert server.ends() == 1
    *_, last = server.said.splitlines()
    assert words in json.loads(last)["message"]
    assert ("Traceback" in server.said) == (fail == "bug")


def test_sigterm_under_load_loses_nothing(tmp_path: Path) -> None:
    """Every request that was sent got a whole answer, or its connection was refused before it could be sent."""
    outcomes: list[str] = []
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            try:
                sock = server.connect()
            except ConnectionError:
                outcomes.append("refused")
                return
            with sock, sock.makefile("rb") as answers:
                last = False
                while not last and not ended.is_set():
                    try:
                        sock.sendall(b"GET /sleep/0.02 HTTP/1.1\r\nhost: a\r\n\r\n")
                        head = b""
                        while not head.endswith(b"\r\n\r\n"):
                            head += answers.readline() or b"lost\r\n\r\n"
                        if b"lost" not in head:
                            assert len(answers.read(length_of(head))) == length_of(head)
                    except (OSError, AssertionError) as error:
                        head = f"lost: {error!r}".encode()
                    outcomes.append("lost" if b"lost" in head else head[9:12].decode())
                    last = b"lost" in head or b"connection: close" in head

    with serving(STUB_STOPPED=str(tmp_path)) as server:
        threads = [threading.Thread(target=client) for _ in range(32)]
        for thread in threads:
            thread.start()
        wait_for(lambda: outcomes.count("200") > 200)
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
        ended.set()
        for thread in threads:
            thread.join()
    assert set(outcomes) <= {"200", "503", "refused"}, outcomes[-100:]
    assert outcomes.count("refused") >= 1
    assert len(list(tmp_path.iterdir())) == 1  # the service was stopped after the last answer


def test_who_waits_to_be_accepted_is_answered() -> None:
    """Connections that only the kernel knows when SIGTERM comes."""
    with serving() as server:
        pid = server.get("/")[1]
        os.kill(pid, signal.SIGSTOP)
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(server.connect()) for _ in range(20)]
            for sock in socks:
                sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            server.signal(signal.SIGTERM)
            server.hears("finishing what is being answered")
            os.kill(pid, signal.SIGCONT)
            statuses = {everything(sock)[9:12] for sock in socks}
        assert statuses <= {b"200", b"503"}
        assert server.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_being_answered_is_finished(number: int) -> None:
    with serving() as server, server.connect() as sock, server.connect() as quiet:
        quiet.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert one_answer(quiet).startswith(b"HTTP/1.1 200")
        sock.sendall(b"GET /sleep/0.8 HTTP/1.1\r\nhost: a\r\n\r\n")
        wait_for(lambda: server.get("/health/ready")[0] == 200)
        server.signal(number)
        server.signal(number)  # a terminal and a service manager both may tell it
        answer = everything(sock)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert quiet.recv(1) == b""
        assert server.ends() == 0


def test_the_grace_period_ends() -> None:
    with serving(replace(LIMITS, grace_seconds=0.3)) as server, server.connect() as sock:
        sock.sendall(b"GET /sleep/60 HTTP/1.1\r\nhost: a\r\n\r\n")
        wait_for(lambda: server.get("/health/ready")[0] == 200)
        server.signal(signal.SIGTERM)
        assert server.ends() == 1
        assert "(--grace-seconds 0.3) and 1 connections were cut" in server.said


def test_a_second_sigterm_ends_the_grace_period() -> None:
    with serving(replace(LIMITS, grace_seconds=600)) as server, server.connect() as sock:
        sock.sendall(b"GET /sleep/600 HTTP/1.1\r\nhost: a\r\n\r\n")
        wait_for(lambda: server.get("/health/ready")[0] == 200)
        server.signal(signal.SIGTERM)
        server.hears("finishing what is being answered")
        time.sleep(0.6)
        server.signal(signal.SIGTERM)
        assert server.ends() == 1


def test_a_worker_that_does_not_answer_is_killed() -> None:
    with serving(replace(LIMITS, grace_seconds=0.1)) as server:
        pid = server.get("/")[1]
        os.kill(pid, signal.SIGSTOP)
        server.signal(signal.SIGTERM)
        assert server.ends() == 1
        assert not alive(pid)


def test_sighup_reaches_the_worker(server: Server) -> None:
    server.signal(signal.SIGHUP)
    server.saw("reload")
    assert server.get("/")[0] == 200


def test_a_worker_ends_with_its_parent() -> None:
    with serving() as server:
        pid = server.get("/")[1]
        server.signal(signal.SIGKILL)
        server.process.wait()
        wait_for(lambda: not alive(pid))


# -- the address -------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} of 127.0.0.1 is taken .*--port"):
            listen(Settings(port=port))


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1", "a" * 300])
def test_a_host_that_is_not_ours(host: str) -> None:
    with pytest.raises(ListenError, match="--host .* is no address of this machine"):
        listen(Settings(host=host, port=0))


def test_every_address_of_a_host_has_the_same_port() -> None:
    sockets = listen(Settings(host="localhost", port=0))
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "crumb"
    with socket.socket(socket.AF_UNIX) as stale:  # as a killed server leaves it
        stale.bind(str(path))
    settings = replace(LIMITS, uds=str(path))
    with serving(settings) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            assert everything(sock).startswith(b"HTTP/1.1 200")
        with pytest.raises(ListenError, match="another program listens"):
            listen(settings)
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
    assert not path.exists()
    path.write_text("a file of somebody's")
    with pytest.raises(ListenError, match="is no socket"):
        listen(settings)
    assert path.read_text() == "a file of somebody's"


def test_the_parent_is_light() -> None:
    code = "import sys, crumb.server.supervisor; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "asyncio", "uvicorn", "fastapi", "crumb._native", "crumb.model"} & set(modules)
