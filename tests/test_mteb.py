"""crumb models in mteb: its scores against ours, on tasks of its own classes, with every connection refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA
from evaluation_models import tiny_model

import crumb
from crumb.evaluation.beir import read_retrieval_set
from crumb.evaluation.generated import passkey
from crumb.evaluation.generated.hide import Recipe
from crumb.evaluation.measure import measure
from crumb.evaluation.mteb import MtebModel
from crumb.evaluation.mteb_task import as_mteb_task
from crumb.evaluation.settings import Setting
from crumb.evaluation.sts import read_sts
from crumb.evaluation.tasks import RetrievalTask, StsTask, Task

CONNECTIONS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
PAIRS = [
    ("a cat sat on the mat", "the cat sat on a mat", 4.8),
    ("a query: what is it?", "a passage: what is it?", 3.1),
    ("the cat", "0123456789", 0.2),
    ("x, y and z", "z, y and x", 4.0),
    ("on and on", "off and off", 1.5),
    ("the cat sat " * 30, "the cat sat", 2.2),
]
_refusing = False


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if _refusing and event in CONNECTIONS:
        raise ConnectionRefusedError(f"{event} {args!r}")


@contextmanager
def refused() -> Iterator[None]:
    """Nothing in this process can reach a network within."""
    global _refusing
    _refusing = True
    try:
        yield
    finally:
        _refusing = False


@pytest.fixture(scope="module")
def mteb() -> Iterator[Any]:
    sys.addaudithook(_refuse)
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    with refused():
        yield pytest.importorskip("mteb", reason="needs the extra [mteb]")
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = {"query": "query: ", "document": "passage: ", "STS": "x ", "LocalPasskey-query": "y "}
    return tiny_model(tmp_path_factory.mktemp("tiny"), prompts=prompts)


@pytest.fixture(scope="module")
def asked(mteb: Any) -> Any:
    """Asks mteb for its score of a task: the value that it prints, 0..1."""

    def evaluate(model: MtebModel, task: Task, **kwargs: Any) -> float:
        # cache=None: by default mteb keeps results in the user's home
        result = mteb.evaluate(model, as_mteb_task(task), cache=None, show_progress_bar=False, **kwargs)
        return float(result.task_results[0].get_score())

    return evaluate


def excerpt(name: str) -> RetrievalTask:
    return RetrievalTask(name, lambda: {"": read_retrieval_set(DATA / "eval" / name)})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> StsTask:
    file = tmp_path_factory.mktemp("sts") / "test.tsv"
    rows = ["sentence1\tsentence2\tscore", *("\t".join(map(str, pair)) for pair in PAIRS)]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return StsTask("pairs", lambda: read_sts(file, "pairs"), files=(file,))


@pytest.mark.parametrize("name", ["mbpp", "xquad-en"])
def test_retrieval_as_measured_by_us(asked: Any, model_folder: Path, name: str) -> None:
    """The real model on real texts: some are longer than 64 tokens, and both cut them in the same place."""
    ours = crumb.mteb_model(model_folder, context=64, precision="float32")
    task = excerpt(name)
    measured = measure(ours.model, task, ours.setting)
    assert asked(ours, task) == pytest.approx(measured.value, abs=1e-4)
    assert 0.5 < measured.value < 1
    assert ours.report.truncated_texts == measured.document_cost.truncated_texts > 0


@pytest.mark.parametrize(
    "how",
    [
        {"dimensions": 12},
        {"layers": 1},
        {"reading": "chunk-mean", "chunk": 16},
        {"query_prompt": "", "passage_prompt": "the "},
    ],
    ids=str,
)
def test_settings_as_measured_by_us(asked: Any, folder: Path, how: dict[str, Any]) -> None:
    ours = crumb.mteb_model(folder, **how)
    measured = measure(ours.model, excerpt("mbpp"), ours.setting)
    assert asked(ours, excerpt("mbpp"), encode_kwargs={"batch_size": 7}) == pytest.approx(measured.value, abs=1e-4)
    # the setting matters here, so that its neglect would be seen
    assert measured.value != measure(ours.model, excerpt("mbpp"), Setting()).value


def test_sts_as_measured_by_us(asked: Any, folder: Path, pairs: StsTask) -> None:
    ours = crumb.mteb_model(folder, query_prompt="")
    assert asked(ours, pairs) == pytest.approx(measure(ours.model, pairs, ours.setting).value, abs=1e-4)


def test_equal_documents_have_equal_scores(folder: Path) -> None:
    """Wherever they stand: which of two copies comes first is trec_eval's rule, not a matrix product's rounding."""
    random = np.random.default_rng(0)
    once = random.normal(size=(1500, 384)).astype(np.float32)
    order = random.permutation(2999)  # every vector twice but the last
    found = crumb.mteb_model(folder).similarity(random.normal(size=(100, 384)), np.concatenate([once, once])[order])
    placed = np.empty_like(found)
    placed[:, order] = found
    np.testing.assert_array_equal(placed[:, :1499], placed[:, 1500:])


def test_parts_are_splits(asked: Any, folder: Path) -> None:
    task = passkey.task(Recipe((64, 90), documents=12, queries=9))
    ours = crumb.mteb_model(folder, query_prompt="")
    assert asked(ours, task) == pytest.approx(measure(ours.model, task, ours.setting).value, abs=1e-4)


def test_protocol(mteb: Any, folder: Path) -> None:
    from mteb.models import EncoderProtocol

    ours = crumb.mteb_model(folder, context=48, dimensions=16)
    assert isinstance(ours, EncoderProtocol)
    meta = ours.mteb_model_meta
    assert (meta.name, meta.revision) == ("crumb/tiny", ours.model.fingerprint)
    assert (meta.max_tokens, meta.embed_dim) == (48, 16)
    assert meta.experiment_kwargs == {"context": 48, "dimensions": 16}
    assert crumb.mteb_model(folder, name="me/mine").mteb_model_meta.name == "me/mine"
    from mteb.similarity_functions import cos_sim, pairwise_cos_sim

    a, b = (np.random.default_rng(i).normal(size=(5, 16)).astype(np.float32) for i in (1, 2))
    np.testing.assert_allclose(ours.similarity(a, b), cos_sim(a, b).numpy(), atol=1e-6)
    np.testing.assert_allclose(ours.similarity_pairwise(a, b), pairwise_cos_sim(a, b).numpy(), atol=1e-6)


def test_prompts(mteb: Any, folder: Path, pairs: StsTask) -> None:
    """By mteb's order: this task and kind of text, this task, its type and kind, its type, the kind of text."""
    from mteb.types import PromptType

    ours = crumb.mteb_model(folder)
    tasks = {
        "LocalMbpp": as_mteb_task(excerpt("mbpp")).metadata,
        "LocalPairs": as_mteb_task(pairs).metadata,
        "LocalPasskey": as_mteb_task(passkey.task(Recipe((64,), documents=2, queries=1))).metadata,
    }
    assert {name: metadata.name for name, metadata in tasks.items()} == {name: name for name in tasks}
    for name, kind, prompt in [
        ("LocalMbpp", PromptType.query, "query: "),
        ("LocalMbpp", PromptType.document, "passage: "),
        ("LocalMbpp", None, "query: "),
        ("LocalPairs", None, "x "),
        ("LocalPairs", PromptType.document, "x "),
        ("LocalPasskey", PromptType.query, "y "),
        ("LocalPasskey", PromptType.document, "passage: "),
    ]:
        batches = [{"text": ["a cat", "the mat"]}, {"text": ["sat"]}]
        found = ours.encode(batches, task_metadata=tasks[name], hf_split="test", hf_subset="default", prompt_type=kind)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, ours.model.encode(["a cat", "the mat", "sat"], prompt=prompt))
    mine = crumb.mteb_model(folder, query_prompt="mine: ")
    found = mine.encode(batches, task_metadata=tasks["LocalPairs"], hf_split="test", hf_subset="default")
    np.testing.assert_array_equal(found[2], mine.model.encode("sat", prompt="mine: "))


def test_what_is_refused(mteb: Any, folder: Path, pairs: StsTask) -> None:
    with pytest.raises(ValueError, match="use 'chunk-mean'"):
        crumb.mteb_model(folder, reading="chunk-best")
    with pytest.raises(ValueError, match="organisation/model"):
        crumb.mteb_model(folder, name="mine")
    with pytest.raises(ValueError, match="dimensions must be"):
        crumb.mteb_model(folder, dimensions=33)
    with pytest.raises(ValueError, match="layers must be"):
        crumb.mteb_model(folder, layers=3)
    ours = crumb.mteb_model(folder)
    where = {"task_metadata": as_mteb_task(pairs).metadata, "hf_split": "test", "hf_subset": "default"}
    with pytest.raises(TypeError, match="got pooling; it knows batch_size"):
        ours.encode([{"text": ["a"]}], **where, pooling="max")
    with pytest.raises(ValueError, match="got precision='int8'"):
        ours.encode([{"text": ["a"]}], **where, precision="int8")
    with pytest.raises(ValueError, match="mteb has no R@7"):
        as_mteb_task(RetrievalTask("x", dict, main="R@7"))


def test_the_refusal_is_real(mteb: Any) -> None:
    import socket

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
