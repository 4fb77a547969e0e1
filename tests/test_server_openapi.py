"""Schemathesis against a real server: what /openapi.json says is what is answered, and nothing fails.

Enters: the document of the server itself. Every operation gets requests that fit its schema and requests that do not,
made up by Hypothesis (the same ones each time). An answer must have a status, a content type and a body that the
document names, and never a 5xx.

Schemathesis is used as a library: its plugin for pytest stands on pytest's insides, and does not load in every version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("schemathesis", reason="schemathesis is not installed; the extra [test] brings it")

import schemathesis
from asking import ask, embed
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from serving import Server, crumb_server

KEY = "key-of-these-tests"
OPERATIONS = [
    ("GET", "/"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/similarity"),
    ("POST", "/v1/tokenize"),
]
KINDS = {"GET": ["fits"], "POST": ["fits", "served", "does-not-fit"]}  # GETs take nothing that could be wrong
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with crumb_server("--api-key", KEY) as found:
        yield found
        assert embed(found, "x", key=KEY).status == 200
        assert ask(found, "/health/ready").status == 200


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=AUTHORIZED)


def test_every_operation_is_tried(document: Any) -> None:
    found = [(path, method.upper()) for path, methods in document.raw_schema["paths"].items() for method in methods]
    assert sorted(found) == sorted((path, method) for method, path in OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "kind"), [(method, path, kind) for method, path in OPERATIONS for kind in KINDS[method]]
)
def test_answers_are_as_documented(document: Any, method: str, path: str, kind: str) -> None:
    """What fits the schema is not refused, but for an unknown model; with a known one, only for what the model can."""
    mode = GenerationMode.NEGATIVE if kind == "does-not-fit" else GenerationMode.POSITIVE
    excluded = [ignored_auth]  # the key below goes with every request; test_server_keys.py leaves it out
    excluded += [positive_data_acceptance] if kind == "served" else []

    @settings(
        max_examples=60 if method == "POST" else 15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(document[path][method].as_strategy(generation_mode=mode))
    def ask_and_check(case: Any) -> None:
        if kind == "served":
            case.body["model"] = "crumb"
        answer = case.call_and_validate(headers=AUTHORIZED, excluded_checks=excluded)
        statuses.add(answer.status_code)

    statuses: set[int] = set()
    ask_and_check()
    if kind == "served":
        assert 200 in statuses
