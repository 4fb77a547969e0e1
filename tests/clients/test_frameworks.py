"""LlamaIndex, Haystack and LangChain through the packages that their users install: each asks in a way of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from serving import Server

from clients.conftest import KEY, NAME, TEXTS, Expected

SAID = [text for text in TEXTS if text]  # some of these packages do not ask for "" at all
INSTALL = 'is not installed: pip install ".[clients]"'


@pytest.mark.parametrize("how", ["sync", "async"])
def test_llama_index(server: Server, expected: Expected, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Only the environment redirects it."""
    package = pytest.importorskip(
        "llama_index.embeddings.mixedbreadai", reason=f"llama-index-embeddings-mixedbreadai {INSTALL}"
    )
    monkeypatch.setenv("MIXEDBREAD_BASE_URL", server.url)
    texts = [f"{text} {i}" for i in range(90) for text in SAID]
    options = {"api_key": KEY, "model_name": NAME, "embed_batch_size": 256, "dimensions": 128, "prompt": "query: "}
    model = package.MixedbreadAIEmbedding(**options)
    if how == "sync":
        found, query = model.get_text_embedding_batch(texts), model.get_query_embedding(texts[0])
    else:

        async def ask() -> tuple[Any, Any]:
            return await model.aget_text_embedding_batch(texts), await model.aget_query_embedding(texts[0])

        found, query = asyncio.run(ask())
    expected.check("float", [*found, query], [f"query: {text}" for text in [*texts, texts[0]]], dimensions=128)


def test_llama_index_takes_bits(server: Server, expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip(
        "llama_index.embeddings.mixedbreadai", reason=f"llama-index-embeddings-mixedbreadai {INSTALL}"
    )
    monkeypatch.setenv("MIXEDBREAD_BASE_URL", server.url)
    model = package.MixedbreadAIEmbedding(api_key=KEY, model_name=NAME, encoding_format="ubinary")
    expected.check("ubinary", model.get_text_embedding_batch(SAID), SAID)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_haystack(server: Server, expected: Expected, how: str) -> None:
    """Every document in one request, those without a text as ""."""
    embedders = pytest.importorskip("mixedbread_ai_haystack.embedders", reason=f"mixedbread-ai-haystack {INSTALL}")
    from haystack import Document
    from haystack.utils import Secret

    options = {"api_key": Secret.from_token(KEY), "base_url": server.url, "model": NAME, "prompt": "passage: "}
    documents = [Document(content=text) for text in [*TEXTS, None]]
    embedder = embedders.MixedbreadDocumentEmbedder(**options)
    asker = embedders.MixedbreadTextEmbedder(**options)
    if how == "sync":
        done, asked = embedder.run(documents), asker.run(TEXTS[0])
    else:

        async def ask() -> tuple[Any, Any]:
            return await embedder.run_async(documents), await asker.run_async(TEXTS[0])

        done, asked = asyncio.run(ask())
    texts = [*TEXTS, ""]
    expected.check("float", [document.embedding for document in done["documents"]], [f"passage: {t}" for t in texts])
    expected.check("float", [asked["embedding"]], [f"passage: {TEXTS[0]}"])
    meta = done["meta"]
    assert (meta["model"], meta["normalized"], meta["encoding_format"], meta["dimensions"]) == (
        NAME,
        True,
        "float",
        384,
    )
    assert meta["usage"]["prompt_tokens"] == expected.tokens(texts, "passage: ")


def test_langchain(server: Server, expected: Expected) -> None:
    package = pytest.importorskip("mixedbread_ai_langchain", reason=f"mixedbread-ai-langchain {INSTALL}")
    model = package.MixedbreadEmbeddings(model=NAME, api_key=KEY, base_url=server.url, dimensions=200)

    async def ask() -> tuple[Any, Any]:
        return await model.aembed_documents(SAID), await model.aembed_query(SAID[0])

    documents, query = asyncio.run(ask())
    for found in (model.embed_documents(SAID), documents, [model.embed_query(SAID[0]), *documents[1:]]):
        expected.check("float", found, SAID, dimensions=200)
    expected.check("float", [query], SAID[:1], dimensions=200)


@pytest.fixture
def langchain_openai() -> Any:
    return pytest.importorskip("langchain_openai", reason=f"langchain-openai {INSTALL}")


def test_langchain_openai(server: Server, expected: Expected, langchain_openai: Any) -> None:
    model = langchain_openai.OpenAIEmbeddings(
        model=NAME, api_key=KEY, base_url=f"{server.url}/v1", check_embedding_ctx_length=False, chunk_size=3
    )
    expected.check("float", model.embed_documents(TEXTS), TEXTS)
    expected.check("float", asyncio.run(model.aembed_documents(TEXTS)), TEXTS)
    expected.check("float", [model.embed_query("")], [""])


def test_langchain_openai_sends_token_ids(
    server: Server, langchain_openai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so by default, of a vocabulary that is not the model's: refused, with what to set instead.

    The vocabulary that it would fetch from the network is put in its place: a token for every byte.
    """
    import openai
    import tiktoken
    import tiktoken.registry

    letters = tiktoken.Encoding(
        "bytes", pat_str=r"[\s\S]", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    )
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", letters)
    model = langchain_openai.OpenAIEmbeddings(model=NAME, api_key=KEY, base_url=f"{server.url}/v1")
    with pytest.raises(openai.APIStatusError, match="check_embedding_ctx_length=False") as caught:
        model.embed_documents(SAID)
    assert "token ids" in caught.value.message
    assert caught.value.status_code in (400, 422)
