"""What deploy/ promises: two real replicas behind a real nginx lose nothing; limits agree; the unit is one.

Containers are not built here: that needs an engine and the network. What an image asks of the server is tested on this
machine: no home, no writing, any user, process 1's signals.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from asking import PATIENCE, Answer, wait_for
from replicas import Replica, ask, free_port, post, replica

from crumb.server.settings import DEFAULTS

DEPLOY = Path(__file__).parent.parent / "deploy"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
TEXT = {"model": "crumb", "input": "A man is eating food."}


class Proxy:
    """nginx with deploy/nginx.conf, whose addresses and folders are exchanged for this test's."""

    def __init__(self, folder: Path, replicas: list[int]) -> None:
        assert NGINX is not None
        self.port = free_port()
        text = (DEPLOY / "nginx.conf").read_text()
        for host, port in zip(("172.30.55.11", "172.30.55.12"), replicas, strict=True):
            assert text.count(f"{host}:8000") == 1
            text = text.replace(f"{host}:8000", f"127.0.0.1:{port}")
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self.port}").replace("/tmp/", f"{folder}/")
        text = text.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
        if os.geteuid() == 0:  # root's workers would else be nobody, who may not look into this folder
            text = f"user root;\n{text}"
        self.config = folder / "nginx.conf"
        self.config.write_text(text)
        self._log = folder / "access.log"
        self.process = subprocess.Popen(
            [NGINX, "-c", str(self.config), "-e", str(folder / "error.log"), "-g", "daemon off;"]
        )
        wait_for(self._listens, lambda: (folder / "error.log").read_text())

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self) -> list[dict[str, Any]]:
        """What it says of requests."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def ask(self, path: str, body: object = None, **headers: str) -> Answer:
        """A request through it."""
        return post(self.port, path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()


class Load:
    """Clients that ask without a pause, each over one connection, and note whatever is not the right answer."""

    def __init__(self, port: int, clients: int = 8) -> None:
        self._port = port
        self.expected = np.float32(post(port, "/v1/embeddings", TEXT).json["data"][0]["embedding"])
        self.wrong: list[object] = []
        self.answers = [0] * clients
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        while not self._ending.is_set():
            try:
                answer = ask(connection, "/v1/embeddings", TEXT)
                if answer.status != 200:
                    self.wrong.append(answer)
                elif not np.array_equal(np.float32(answer.json["data"][0]["embedding"]), self.expected):
                    self.wrong.append("other bits")
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(error)
                connection.close()
            self.answers[number] += 1
        connection.close()

    def goes_on(self, more: int = 10) -> None:
        """Waits until every client has had so many more answers."""
        before = list(self.answers)
        wait_for(lambda: all(now - then >= more for now, then in zip(self.answers, before, strict=True)))


@pytest.fixture(scope="module")
def two(crumb_env: dict[str, str]) -> Iterator[list[Replica]]:
    flags = ("--trusted-proxy", "127.0.0.1", "--threads", "1", "--grace-seconds", "10")
    with (
        replica(*flags, env=crumb_env, port=free_port()) as first,
        replica(*flags, env=crumb_env, port=free_port()) as second,
    ):
        yield [first, second]


@pytest.fixture(scope="module")
def proxy(two: list[Replica], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    running = Proxy(tmp_path_factory.mktemp("nginx"), [each.port for each in two])
    yield running
    running.stop()


@needs_nginx
def test_a_killed_replica_costs_no_request(two: list[Replica], proxy: Proxy) -> None:
    with Load(proxy.port) as load:
        load.goes_on()
        two[0].kill()
        load.goes_on()
        assert proxy.ask("/health/ready").status == 200  # one is enough
        two[0].start()
        two[0].ready()
        load.goes_on()
    assert load.wrong == []
    # and it was not for want of failures: some were answered by the second replica asked
    repeated = [line for line in proxy.log() if line["statuses"].startswith("502, ")]
    assert repeated
    assert {line["status"] for line in repeated} == {200}


@needs_nginx
def test_replicas_that_restart_in_turn_cost_no_request(two: list[Replica], proxy: Proxy) -> None:
    with Load(proxy.port) as load:
        for each in two:
            load.goes_on()
            assert each.terminate() == 0
            load.goes_on()
            each.start()
            each.ready()
        load.goes_on()
    assert load.wrong == []


@needs_nginx
def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(proxy: Proxy) -> None:
    body = json.dumps(TEXT).encode()
    body += b" " * (DEFAULTS.max_body_bytes - len(body))
    assert proxy.ask("/v1/embeddings", body).status == 200
    answer = proxy.ask("/v1/embeddings", body + b" ", x_request_id="too-large")
    assert answer.status == 413
    assert answer.json["error"]["code"] == 413
    assert answer.json["message"] == answer.json["error"]["message"]
    assert "client_max_body_size" in answer.json["message"]
    assert (answer.headers["content-type"], answer.headers["x-request-id"]) == ("application/json", "too-large")


@needs_nginx
def test_a_large_answer_passes(proxy: Proxy) -> None:
    texts = [f"text {number}" for number in range(400)]
    answer = proxy.ask("/v1/embeddings", {"model": "crumb", "input": texts})
    assert len(answer.body) > 1_500_000
    assert len(answer.json["data"]) == 400


@needs_nginx
def test_ids_clients_and_refusals_pass(two: list[Replica], proxy: Proxy) -> None:
    assert proxy.ask("/v1/models", x_request_id="mine").headers["x-request-id"] == "mine"
    made = proxy.ask("/v1/models", x_request_id="<not one>").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    wait_for(lambda: made in {line["id"] for line in proxy.log()}, "the line of nginx's log")  # after the answer

    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, source_address=("127.0.0.5", 0))
    forwarded = {"x-forwarded-for": "203.0.113.9", "x-request-id": "from-5"}
    assert ask(connection, "/v1/models", headers=forwarded).status == 200
    connection.close()
    wait_for(lambda: any(line["id"] == "from-5" for each in two for line in each.requests()))
    (line,) = (line for each in two for line in each.requests() if line["id"] == "from-5")
    assert line["client"] == "127.0.0.5"  # neither the proxy nor what the client claims

    # what crumb refuses comes as crumb says it, 4xx and 5xx
    answer = proxy.ask("/v1/embeddings", {"model": "other", "input": "x"})
    assert (answer.status, "no model 'other'" in answer.json["message"]) == (404, True)
    assert proxy.ask("/metrics").json["error"]["code"] == 404
    assert proxy.ask("/proxy/health").json == {"status": "alive"}


@needs_nginx
def test_what_nginx_refuses_is_json_too(proxy: Proxy) -> None:
    answer = proxy.ask("/v1/models", x_long="x" * 20_000)
    assert (answer.status, answer.json["error"]["code"]) == (431, 431)
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n")
        said = b"".join(iter(lambda: sock.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == 400


@needs_nginx
def test_a_proxy_without_room_says_so(two: list[Replica], tmp_path: Path) -> None:
    full = Proxy(tmp_path, [each.port for each in two])
    try:
        (tmp_path / "client_body").rmdir()
        (tmp_path / "client_body").touch()  # where root cannot put a file either
        answer = full.ask("/v1/embeddings", json.dumps(TEXT).encode() + b" " * 1_000_000)
        assert (answer.status, answer.json["error"]["code"], answer.headers["retry-after"]) == (503, 503, "1")
    finally:
        full.stop()


@needs_nginx
def test_the_official_clients(proxy: Proxy) -> None:
    openai = pytest.importorskip("openai", reason="the official client openai is not installed")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{proxy.port}/v1", api_key="any")
    many = client.embeddings.create(model="crumb", input=["one", "two"])
    assert [len(item.embedding) for item in many.data] == [384, 384]
    with pytest.raises(openai.APIStatusError, match="client_max_body_size") as caught:
        client.embeddings.create(model="crumb", input=["x" * 1_000_000] * 34)
    assert caught.value.status_code == 413
    mixedbread = pytest.importorskip("mixedbread", reason="the official client mixedbread is not installed")
    found = mixedbread.Mixedbread(api_key="any", base_url=f"http://127.0.0.1:{proxy.port}").embed(
        model="mixedbread-ai/mxbai-embed-xsmall-v1", input="one"
    )
    assert np.allclose(found.data[0].embedding, many.data[0].embedding, atol=1e-6)


@needs_nginx
def test_without_any_replica_clients_are_told_to_come_back(tmp_path: Path) -> None:
    alone = Proxy(tmp_path, [free_port(), free_port()])
    try:
        answer = alone.ask("/v1/embeddings", TEXT)
        assert (answer.status, answer.json["error"]["code"]) == (502, 502)
        assert answer.headers["retry-after"] == "1"
        assert alone.ask("/proxy/health").status == 200
    finally:
        alone.stop()


_WATCH = """
import os, sys
def watch(event, args):
    if event == "open" and not isinstance(args[0], int) and not str(args[0]).startswith("/dev/"):  # int: a pipe
        mode, flags = args[1], args[2]
        writes = any(letter in "wax+" for letter in mode) if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "os.chmod")
    if writes:
        print("WROTE", event, args, file=sys.stderr, flush=True)
sys.addaudithook(watch)
"""


def test_it_writes_no_file_and_needs_no_home(model_folder: Path, tmp_path: Path) -> None:
    """As in an image whose root cannot be written: an audit hook in both processes tells of every attempt."""
    home, hook = tmp_path / "home", tmp_path / "hook"
    shutil.copytree(model_folder, home / "models" / model_folder.name)
    for path in (home, *home.rglob("*")):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_WATCH)
    environment = {"PATH": "/usr/bin:/bin", "CRUMB_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"CRUMB_MODEL": model_folder.name, "PYTHONPATH": str(hook)}
    try:
        with replica(env=environment, cwd=Path("/")) as server:
            assert post(server.port, "/v1/embeddings", TEXT).status == 200
            assert post(server.port, "/metrics").status == 200
            assert server.terminate() == 0
        assert "WROTE" not in server.said, server.said
    finally:
        for path in (home, *home.rglob("*")):
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_health_in_a_container(two: list[Replica], tmp_path: Path) -> None:
    def asked(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(DEPLOY / "healthcheck.py")],
            env={"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    assert asked(CRUMB_PORT=str(two[0].port)).returncode == 0
    gone = asked(CRUMB_PORT=str(free_port()))
    assert (gone.returncode, "no answer" in gone.stderr) == (1, True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        answers = threading.Thread(target=_says_loading, args=(sock,))
        answers.start()
        loading = asked(CRUMB_UDS=str(tmp_path / "s"))
        answers.join(PATIENCE)
    assert (loading.returncode, loading.stderr.strip()) == (1, "not ready: 503")


def _says_loading(sock: socket.socket) -> None:
    client, _ = sock.accept()
    with client:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_one_and_is_shut_in(tmp_path: Path) -> None:
    unit = tmp_path / "crumb.service"
    # verify asks whether the command is there
    unit.write_text((DEPLOY / "crumb.service").read_text().replace("/opt/crumb/bin/crumb", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    # exposure in tenths: 20 of 100
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unrecognized option" in rated.stderr:
        pytest.skip("this systemd rates running units only")
    assert rated.returncode == 0, rated.stdout


def test_limits_agree_from_end_to_end() -> None:
    """Who stands in front may not end before who stands behind has had its say."""
    nginx = (DEPLOY / "nginx.conf").read_text()

    def of(name: str, text: str = nginx) -> float:
        (found,) = set(re.findall(rf"^\s*{name}[ :=]+(\d+)[sm]?\b", text, re.MULTILINE))
        return float(found)

    assert of("client_max_body_size") * 2**20 == DEFAULTS.max_body_bytes
    assert of("client_header_timeout") == DEFAULTS.header_seconds
    assert of("send_timeout") == DEFAULTS.write_seconds
    assert of("proxy_send_timeout") == DEFAULTS.body_seconds
    assert DEFAULTS.request_seconds < of("proxy_read_timeout")
    # the shorter of idle times is the side that may not be surprised
    upstream = nginx[nginx.index("upstream crumb") :].partition("}")[0]
    assert of("keepalive_timeout", upstream) < DEFAULTS.keep_alive_seconds
    ends = DEFAULTS.grace_seconds + 2
    assert ends < of("TimeoutStopSec", (DEPLOY / "crumb.service").read_text())
    assert ends < of("stop_grace_period", (DEPLOY / "compose.yaml").read_text())


def test_compose_is_yaml_and_names_what_nginx_names() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    addresses = {name: service["networks"]["inside"]["ipv4_address"] for name, service in services.items()}
    nginx = (DEPLOY / "nginx.conf").read_text()
    asked = set(re.findall(r"^\s*server ([\d.]+):8000", nginx, re.MULTILINE))
    assert asked == {addresses["crumb-a"], addresses["crumb-b"]}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "mem_limit" in service
    for name in ("crumb-a", "crumb-b"):
        assert services[name]["environment"]["CRUMB_TRUSTED_PROXY"] == addresses["proxy"]
