"""What every client's tests stand on: a server with a key, and what it has to answer, found without it.

Enters: the default model. Leaves: the server's address and key, and an `Expected` that knows vectors, codes and token
counts from crumb.load, crumb.vectors.quantize and transformers' tokenizer. Knows nothing of any client.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Server, crumb_server, plain_environment

import crumb
from crumb.vectors.quantize import quantize

NAME = "all-MiniLM-L6-v2"
LONG_NAME = "sentence-transformers/all-MiniLM-L6-v2"
KEY = "key-of-these-tests"
REDIRECTING = ("MIXEDBREAD_", "MXBAI_", "OPENAI_")  # environment variables that some client heeds
FORMATS = ("float", "float16", "base64", "binary", "ubinary", "int8", "uint8")
DTYPES = {
    "float": np.float32,
    "float16": np.float16,
    "binary": np.int8,
    "ubinary": np.uint8,
    "int8": np.int8,
    "uint8": np.uint8,
}
TEXTS = ["A man is eating food.", "A man is eating pasta.", "", "Grüße aus Köln, 東京 und 🌍!"]


def array(encoding_format: str, embedding: Any) -> np.ndarray[Any, Any]:
    """One input's embedding as numbers, whatever it came as; fails where they are none of the format's own dtype."""
    if encoding_format == "base64":
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    values = np.asarray(embedding)
    if encoding_format.startswith("float"):  # the digits may be those that a float32 needs
        values = values.astype(np.float32)
    numbers = values.astype(DTYPES[encoding_format])
    np.testing.assert_array_equal(numbers.astype(values.dtype), values)
    return numbers


@dataclass
class Expected:
    """What a right answer holds."""

    model: crumb.Model
    tokenizer: Any

    def vectors(self, texts: Sequence[str], **how: Any) -> np.ndarray[Any, Any]:
        """float32 [n, d]; `how` as for `Model.encode`."""
        return self.model.encode(list(texts), **{"truncation": "end", **how})

    def encoded(self, encoding_format: str, texts: Sequence[str], **how: Any) -> np.ndarray[Any, Any]:
        """The same in one of the API's formats; base64 as the numbers in it."""
        vectors = self.vectors(texts, **how)
        if encoding_format in ("float", "base64"):
            return vectors
        return quantize(vectors, encoding_format, ranges=self.model.ranges(how.get("dimensions")))

    def tokens(self, texts: Sequence[str], prompt: str = "") -> int:
        """All that the model reads of these texts, special tokens included, as transformers counts."""
        read = self.tokenizer([prompt + t for t in texts], truncation=True, max_length=self.model.context)
        return sum(map(len, read["input_ids"]))

    def check(self, encoding_format: str, embeddings: Sequence[Any], texts: Sequence[str], **how: Any) -> None:
        """Fails unless every bit of the embeddings is as it should be."""
        expected = self.encoded(encoding_format, texts, **how)
        assert len(embeddings) == len(expected)
        found = np.stack([array(encoding_format, embedding) for embedding in embeddings])
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="session")
def served_env(crumb_env: dict[str, str]) -> dict[str, str]:
    """For a server or a client in a process of its own; nothing of the machine's own settings redirects it."""
    ours = {**plain_environment(), "CRUMB_HOME": crumb_env["CRUMB_HOME"], "PYTHONUTF8": "1"}
    return {name: value for name, value in ours.items() if not name.startswith(REDIRECTING)}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client is redirected by the machine's settings, and none reports its use to its makers."""
    for name in list(os.environ):
        if name.startswith(REDIRECTING):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


@pytest.fixture(scope="session")
def server(served_env: dict[str, str]) -> Iterator[Server]:
    """Asks for KEY and takes at most 256 texts, as the hosted API does."""
    with crumb_server("--api-key", KEY, "--max-items", "256", env=served_env) as server:
        yield server


@pytest.fixture(scope="session")
def expected(model_folder: Path, default: crumb.Model) -> Expected:
    from transformers import AutoTokenizer

    return Expected(default, AutoTokenizer.from_pretrained(str(model_folder)))
