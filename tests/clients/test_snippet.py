"""The snippet of the model's page, as a user pastes it: only the key and the environment are put in."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest
from serving import crumb_server

import crumb
from clients.conftest import Expected

SNIPPET = """\
import torch
from mixedbread import Mixedbread
from sentence_transformers.util import semantic_search

mxbai = Mixedbread(api_key="YOUR_API_KEY")
model = "mixedbread-ai/mxbai-embed-xsmall-v1"
docs = ["A man is eating food.", "A man is eating pasta."]
res = mxbai.embed(model=model, input=docs, normalized=True, encoding_format='float')
embeddings_list = [item.embedding for item in res.data]
query_tensor = torch.tensor([embeddings_list[0]])
corpus_tensor = torch.tensor([embeddings_list[1]])
hits = semantic_search(query_tensor, corpus_tensor, top_k=1)
similarity_score = 0.0
if hits and hits[0]:
    similarity_score = hits[0][0]['score']
print(f"Similarity (using semantic_search): {similarity_score:.4f}")
"""
PORT = 8000  # where the client's environment="local" looks


def test_the_pages_snippet(served_env: dict[str, str], expected: Expected) -> None:
    """The server needs no flag for it: its default model answers to the page's name too."""
    for needed in ("mixedbread", "torch", "sentence_transformers"):
        pytest.importorskip(needed, reason=f'{needed} is not installed: pip install ".[clients,test]"')
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            pytest.skip(f"port {PORT} is taken, and the client's environment is bound to it")
    pasted = SNIPPET.replace('api_key="YOUR_API_KEY"', 'api_key="any", environment="local"')
    with crumb_server("--port", str(PORT), env=served_env) as server:
        assert server.port == PORT
        done = subprocess.run(
            [sys.executable, "-c", pasted],
            env=served_env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    printed = re.fullmatch(r"Similarity \(using semantic_search\): (\d\.\d{4})\n", done.stdout)
    assert printed, done.stdout
    cosine = crumb.similarity(*expected.vectors(["A man is eating food.", "A man is eating pasta."])).item()
    assert float(printed[1]) == pytest.approx(cosine, abs=1e-4)
