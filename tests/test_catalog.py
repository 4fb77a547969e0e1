"""The catalogue's facts against arithmetic and the genuine weights; names, and what `crumb models` shows of them."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crumb.catalog import HubSource, WheelSource, entries, find
from crumb.default import DEFAULT
from crumb.errors import CheckpointError, ModelNotFoundError
from crumb.store import locate, resolve
from crumb.store.names import request

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRUMB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def bert_parameters(layers: int, hidden: int, ffn: int, positions: int, vocabulary: int = 30_522) -> int:
    """Counted by hand from the paper's architecture, pooler included."""
    embeddings = (vocabulary + positions + 2) * hidden + 2 * hidden
    attention = 4 * (hidden * hidden + hidden) + 2 * hidden
    feed_forward = (hidden * ffn + ffn) + (ffn * hidden + hidden) + 2 * hidden
    return embeddings + layers * (attention + feed_forward) + hidden * hidden + hidden


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("all-MiniLM-L6-v2", (6, 384, 1536, 512)),
        ("mxbai-embed-xsmall-v1", (6, 384, 1536, 4096)),
        ("mxbai-embed-large-v1", (24, 1024, 4096, 512)),
        ("mxbai-embed-2d-large-v1", (24, 1024, 4096, 512)),
    ],
)
def test_parameters_are_those_of_the_architecture(name: str, shape: tuple[int, int, int, int]) -> None:
    entry = find(name)
    assert entry is not None
    assert entry.parameters == bert_parameters(*shape)


def test_default_entry_agrees_with_its_files(model_folder: Path) -> None:
    entry = find(DEFAULT)
    assert entry is not None
    with (model_folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = {
        name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__" and tensor["dtype"] == "F32"
    }
    assert entry.parameters == sum(math.prod(shape) for shape in shapes.values())
    assert entry.dimensions == json.loads((model_folder / "config.json").read_text())["hidden_size"]
    assert entry.context == json.loads((model_folder / "sentence_bert_config.json").read_text())["max_seq_length"]


def test_every_source_is_pinned() -> None:
    for entry in entries():
        for source in entry.sources:
            if isinstance(source, WheelSource):
                assert re.fullmatch("[0-9a-f]{64}", source.sha256)
                assert re.fullmatch("[0-9a-f]{64}", source.weights_sha256)
            elif isinstance(source, HubSource):
                assert source.revision is None or re.fullmatch("[0-9a-f]{40}", source.revision)
                assert source.repo in entry.aliases
        assert entry.runs or entry.note


def test_no_two_entries_answer_to_one_name() -> None:
    names = [name.lower() for entry in entries() for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))


@given(st.data())
def test_find_ignores_case(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(entries()))
    name = data.draw(st.sampled_from((entry.name, *entry.aliases)))
    spelt = "".join(data.draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in name)
    assert find(spelt) is entry


def test_find_does_not_guess() -> None:
    assert find("all-MiniLM-L6") is None
    assert find("") is None


def test_a_hub_id_asks_for_a_folder_of_its_own() -> None:
    asked = request(f"some-org/some.model@{COMMIT.upper()}")
    assert asked.folder == f"some-org--some.model@{COMMIT}"
    assert asked.sources == (HubSource("some-org/some.model", COMMIT),)


def test_an_entry_with_a_revision_means_its_hub_repository() -> None:
    assert request(f"mxbai-colbert-large-v1@{COMMIT}").sources == (
        HubSource("mixedbread-ai/mxbai-colbert-large-v1", COMMIT),
    )


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT + "0", ""])
def test_a_revision_that_can_move_is_refused(revision: str) -> None:
    with pytest.raises(ModelNotFoundError, match="not a full commit of 40 hex digits"):
        request(f"some-org/some-model@{revision}")


@pytest.mark.parametrize("name", ["./gone", "/no/such/folder", "a/b/c", "nonsense", "", "../up", "~/models/mine"])
def test_unknown_names_are_told_the_known_ones(name: str, empty_home: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(name, fetch=True)
    assert repr(name) in str(caught.value)
    assert all(entry.name in str(caught.value) for entry in entries())
    assert not empty_home.exists()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("all-minilm-l6", "all-MiniLM-L6-v2"),
        ("sentence-transformers/all-MiniLM-L6-v", "all-MiniLM-L6-v2"),
        ("mxbai-embed-xsmal-v1", "mxbai-embed-xsmall-v1"),
    ],
)
def test_close_names_are_suggested(typed: str, meant: str) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"did you mean .*{meant}"):
        request(typed)


def test_a_folder_with_a_config_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUMB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    folder = Path(DEFAULT)
    folder.mkdir()
    with pytest.raises(ModelNotFoundError, match="is not on this machine: crumb pull"):
        resolve(DEFAULT, fetch=False)
    (folder / "config.json").write_text("{}")
    assert resolve(DEFAULT, fetch=False) == folder
    assert resolve(folder, fetch=False) == folder


def test_a_path_is_never_taken_for_a_name(empty_home: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json"):
        resolve(Path(DEFAULT), fetch=True)


def test_what_does_not_run_is_not_fetched(empty_home: Path) -> None:
    with pytest.raises(CheckpointError, match="XLM-RoBERTa"):
        resolve("deepset-mxbai-embed-de-large-v1", fetch=True)
    assert not empty_home.exists()


def test_models_lists_the_catalogue(run_crumb: Command, model_folder: Path) -> None:
    listed = run_crumb("models")
    assert listed.returncode == 0
    assert listed.stderr == ""
    header, *rows = listed.stdout.splitlines()
    assert [row.split()[0] for row in rows] == [entry.name for entry in entries()]
    where = header.index("on this machine")
    assert rows[0].split()[:5] == [DEFAULT, "22.7M", "384", "256", "Apache-2.0"]
    assert [row[where:] for row in rows] == ["yes", "no", "no", "no", "not run yet", "not run yet"]


def test_models_as_json(run_crumb: Command) -> None:
    listed = json.loads(run_crumb("models", "--json").stdout)
    assert [model["name"] for model in listed] == [entry.name for entry in entries()]
    assert listed[0]["parameters"] == 22_713_216
    assert listed[0]["sources"][0]["kind"] == "wheel"
    assert listed[0]["folder"] is not None
    assert listed[1]["folder"] is None


def test_models_of_one_name(run_crumb: Command, model_folder: Path) -> None:
    shown = run_crumb("models", DEFAULT.lower())
    assert shown.returncode == 0
    assert "22,713,216" in shown.stdout
    assert "fingerprint" in shown.stdout
    data = json.loads(run_crumb("models", DEFAULT, "--json").stdout)
    assert data["contract"]["dimensions"] == 384
    assert (Path(data["folder"]) / "config.json").is_file()


def test_models_of_a_folder_outside_the_catalogue(run_crumb: Command, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(model_folder)
    data = json.loads(run_crumb("models", str(tmp_path / "mine"), "--json").stdout)
    assert data["catalogue"] is None
    assert data["contract"]["dimensions"] == 384


def test_models_of_one_that_is_not_here(run_crumb: Command) -> None:
    shown = run_crumb("models", "mxbai-embed-xsmall-v1")
    assert shown.returncode == 0
    assert "not on this machine: crumb pull mxbai-embed-xsmall-v1" in shown.stdout
    assert json.loads(run_crumb("models", "mxbai-embed-xsmall-v1", "--json").stdout)["contract"] is None


def test_models_of_an_unknown_name(run_crumb: Command) -> None:
    failed = run_crumb("models", "all-minilm-l7-v2")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("crumb models: 'all-minilm-l7-v2' is neither")
    assert "did you mean all-MiniLM-L6-v2" in failed.stderr


def test_locate_finds_nothing_in_an_empty_home(empty_home: Path) -> None:
    assert [locate(entry) for entry in entries()] == [None] * len(entries())
    assert not empty_home.exists()
