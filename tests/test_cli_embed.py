"""`crumb embed` and `crumb similarity` as a person runs them; their files are re-read by json, NumPy and pyarrow."""

from __future__ import annotations

import csv
import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import can_be_interrupted
from hypothesis import given
from hypothesis import strategies as st

import crumb
from crumb.cli.embed import WINDOW_TEXTS
from crumb.cli.options import POSITIONS
from crumb.cli.writers import decimals

Run = Callable[..., subprocess.CompletedProcess[str]]

# One layer is enough where the point is not the vectors; more than a window, so that runs can stop in between.
QUICK = ("--layers", "1")
MANY = [f"text {i}" for i in range(WINDOW_TEXTS + 200)]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def vectors(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([row["embedding"] for row in rows], dtype=np.float32)


def sidecar(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.with_name(out.name + ".crumb.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, run_crumb: Run) -> Path:
    """A folder with MANY as many.txt, and whole.jsonl made from it without interruption."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.txt").write_text("\n".join(MANY) + "\n")
    done = run_crumb("embed", "--from", "many.txt", "-o", "whole.jsonl", *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def copy(many: Path, to: Path, data: bytes) -> None:
    """many.txt, and an output that holds `data` with the sidecar of the whole one."""
    (to / "many.txt").write_bytes((many / "many.txt").read_bytes())
    (to / "out.jsonl").write_bytes(data)
    (to / "out.jsonl.crumb.json").write_bytes((many / "whole.jsonl.crumb.json").read_bytes())


# --- texts in


def test_words(run_crumb: Run, default: crumb.Model) -> None:
    words = ["Hello, world", "", "naïve 日本語 😀"]
    done = run_crumb("embed", *words)
    assert done.returncode == 0, done.stderr
    rows = records(done.stdout)
    assert [list(row) for row in rows] == [["id", "embedding"]] * 3
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert np.array_equal(vectors(rows), default.encode(words))


@pytest.mark.parametrize("dash", [(), ("--from", "-")])
def test_stdin_is_one_text_a_line(run_crumb: Run, default: crumb.Model, dash: tuple[str, ...]) -> None:
    done = run_crumb("embed", *dash, "--with-text", input="one\n\nnaïve\n")
    rows = records(done.stdout)
    assert [(row["id"], row["text"]) for row in rows] == [(0, "one"), (1, ""), (2, "naïve")]
    assert np.array_equal(vectors(rows), default.encode(["one", "", "naïve"]))


def test_every_kind_of_input_gives_the_same_vectors(
    run_crumb: Run, default: crumb.Model, texts: list[str], tmp_path: Path
) -> None:
    some = [text for text in texts if len(text) < 2000][::4]
    assert any("\n" in text for text in some)
    with gzip.open(tmp_path / "x.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps({"body": text, "key": f"k{i}"}) + "\n" for i, text in enumerate(some))
    with (tmp_path / "x.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("key", "body"), *((f"k{i}", text) for i, text in enumerate(some))])
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, text in enumerate(some):
        (folder / f"k{i:03}").write_bytes(text.encode())
    expected = default.encode(some, truncation="end")

    fields = ("--field", "body", "--id-field", "key")
    for name, options in (("x.jsonl.gz", fields), ("x.csv", fields), ("folder", ())):
        done = run_crumb("embed", "--from", name, *options, "--truncation", "end", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        rows = records(done.stdout)
        assert [row["id"] for row in rows] == [f"k{i:03}" if name == "folder" else f"k{i}" for i in range(len(some))]
        assert np.array_equal(vectors(rows), expected), name


def test_what_is_passed_over_is_said(run_crumb: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\0")
    done = run_crumb("embed", "--from", str(tmp_path))
    assert [row["id"] for row in records(done.stdout)] == ["a.txt"]
    assert "1 files passed over that are not UTF-8 text" in done.stderr


# --- settings


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (["--prompt", "query: "], {"prompt": "query: "}),
        (["--dimensions", "64"], {"dimensions": 64}),
        (["--layers", "3"], {"layers": 3}),
        (["--no-normalize"], {"normalized": False}),
        (["--dimensions", "64", "--no-normalize", "--threads", "1"], {"dimensions": 64, "normalized": False}),
    ],
)
def test_settings_are_the_models(
    run_crumb: Run, default: crumb.Model, options: list[str], keywords: dict[str, Any]
) -> None:
    done = run_crumb("embed", "one", "two words", *options)
    assert np.array_equal(vectors(records(done.stdout)), default.encode(["one", "two words"], **keywords))


@pytest.mark.parametrize(("side", "kept"), [("end", "alpha beta gamma delta"), ("start", "gamma delta one two")])
def test_truncation(run_crumb: Run, default: crumb.Model, side: str, kept: str) -> None:
    text = "alpha beta gamma delta one two"  # each word is one token of the vocabulary
    assert default.tokenizer.count([text]) == [6]
    done = run_crumb("embed", text, "short", "--context", "6", "--truncation", side)
    assert np.array_equal(vectors(records(done.stdout))[0], default.encode(kept))
    assert "2 texts, 9 tokens, 1 truncated (2 tokens cut)" in done.stderr  # 6 + 3, [CLS] and [SEP] counted
    assert "warning" not in done.stderr


def test_truncation_warns_once_for_the_whole_run(run_crumb: Run) -> None:
    lines = "\n".join(["a b c d"] * (WINDOW_TEXTS + 10))
    done = run_crumb("embed", "--context", "4", *QUICK, input=lines)
    warnings = [line for line in done.stderr.splitlines() if "warning" in line.lower()]
    assert len(warnings) == 1
    assert f"{WINDOW_TEXTS + 10} of {WINDOW_TEXTS + 10} texts" in warnings[0]
    assert f"lost {2 * (WINDOW_TEXTS + 10)} tokens" in warnings[0]


def test_truncation_error_names_the_text_and_leaves_no_output(run_crumb: Run, tmp_path: Path) -> None:
    done = run_crumb(
        "embed", "short", "a b c d", "--context", "4", "--truncation", "error", "-o", "x.jsonl", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "text 1 has 6 tokens" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dimensions", "9999"], "9999"),
        (["--layers", "7"], "7"),
        (["--prompt-name", "nope"], "'nope'"),
        (["--context", "100000"], "100000"),
    ],
)
def test_settings_the_model_refuses_leave_no_output(
    run_crumb: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    done = run_crumb("embed", "text", *options, "-o", "x.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_positions_offered_are_those_that_exist() -> None:
    from crumb.checkpoint.positions import METHODS

    assert POSITIONS == METHODS


# --- outputs


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_decimals_are_the_shortest_that_read_back(values: list[float]) -> None:
    row = np.array([values], dtype=np.float32)
    (line,) = decimals(row)
    read_back = json.loads(f"[{line}]")
    assert np.array_equal(np.array(read_back, dtype=np.float32), row[0])
    for word, value in zip(line.split(", "), row[0], strict=True):
        with np.errstate(over="ignore"):  # the largest floats, rounded up to few digits
            fewest = next(n for n in range(1, 10) if np.float32(f"{value:.{n}g}") == value)
        digits = word.lstrip("-").split("e")[0].replace(".", "").strip("0")
        assert len(digits) <= fewest


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        list(decimals(np.array([[0.0, np.nan]], dtype=np.float32)))


def test_jsonl_file_has_a_sidecar(run_crumb: Run, default: crumb.Model, tmp_path: Path) -> None:
    done = run_crumb(
        "embed", "one", "two words", "--dimensions", "32", "--prompt", "q: ", "-o", "x.jsonl", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    rows = records((tmp_path / "x.jsonl").read_text())
    assert np.array_equal(vectors(rows), default.encode(["one", "two words"], dimensions=32, prompt="q: "))
    there = sidecar(tmp_path / "x.jsonl")
    _, report = default.encode(["one", "two words"], prompt="q: ", return_report=True)
    assert there["crumb"] == crumb.__version__
    assert there["complete"] is True
    assert there["ids"] == {"position": 2}
    assert there["counts"] == vars(report)
    assert there["settings"]["contract"]["fingerprint"] == default.fingerprint
    assert {key: value for key, value in there["settings"].items() if key != "contract"} == {
        "prompt": "q: ", "dimensions": 32, "layers": None, "normalized": True, "truncation": "warn",
        "precision": default.engine.precision, "with_text": False,
    }  # fmt: skip


def test_npy(run_crumb: Run, default: crumb.Model, tmp_path: Path, many: Path) -> None:
    done = run_crumb("embed", "--from", str(many / "many.txt"), *QUICK, "-o", "x.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    array = np.load(tmp_path / "x.npy", allow_pickle=False, mmap_mode="r")
    assert array.dtype == np.float32
    assert np.array_equal(array, default.encode(MANY, layers=1))
    assert sidecar(tmp_path / "x.npy")["counts"]["texts"] == len(MANY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "x.npy.crumb.json"]


def test_npy_keeps_ids_that_are_not_positions(run_crumb: Run, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"id": 7, "text": "a"}\n"b"\n{"id": "é", "text": "c"}\n')
    done = run_crumb("embed", "--from", "x.jsonl", "-o", "x.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "x.npy").shape == (3, 384)
    assert [json.loads(line) for line in (tmp_path / "x.npy.ids.jsonl").read_text().splitlines()] == [7, 1, "é"]
    assert sidecar(tmp_path / "x.npy")["ids"] == {"field": 2, "position": 1}
    # replaced by one whose ids are positions, the old ids must not stay beside it
    assert run_crumb("embed", "a", "-o", "x.npy", "--force", cwd=tmp_path).returncode == 0
    assert np.load(tmp_path / "x.npy").shape == (1, 384)
    assert not (tmp_path / "x.npy.ids.jsonl").exists()


@pytest.mark.parametrize("form", ["npy", "jsonl", "parquet"])
def test_no_texts_at_all(run_crumb: Run, tmp_path: Path, form: str) -> None:
    done = run_crumb("embed", "--dimensions", "8", "-o", f"x.{form}", input="", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if form == "npy":
        assert np.load(tmp_path / "x.npy").shape == (0, 8)
    elif form == "jsonl":
        assert (tmp_path / "x.jsonl").read_bytes() == b""
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(tmp_path / "x.parquet").num_rows == 0


@pytest.mark.parametrize("with_text", [False, True])
def test_parquet(run_crumb: Run, default: crumb.Model, tmp_path: Path, many: Path, with_text: bool) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    options = ["--with-text"] if with_text else []
    done = run_crumb(
        "embed", "--from", str(many / "many.txt"), *QUICK, *options, "-o", "x", "--format", "parquet", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "x")
    assert table.schema.names == ["id", *(["text"] if with_text else []), "embedding"]
    assert table.schema.field("embedding").type == arrow.list_(arrow.float32(), 384)
    assert table["id"].to_pylist() == [str(i) for i in range(len(MANY))]
    if with_text:
        assert table["text"].to_pylist() == MANY
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), default.encode(MANY, layers=1))
    settings = json.loads(table.schema.metadata[b"crumb"])
    assert settings["contract"]["fingerprint"] == default.fingerprint
    assert settings["layers"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_parquet_without_pyarrow_names_the_extra(run_crumb: Run, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "pyarrow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not here')")
    done = run_crumb("embed", "a", "-o", "x.parquet", env={"PYTHONPATH": str(hidden.parent)}, cwd=tmp_path)
    assert done.returncode == 1
    assert 'pip install "crumb-embed[bulk]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["hidden"]


def test_an_existing_output_is_refused_then_replaced(run_crumb: Run, tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.npy"):
        (tmp_path / name).write_text("precious")
        done = run_crumb("embed", "a", "-o", name, cwd=tmp_path)
        assert done.returncode == 1
        assert f"{name}: exists already" in done.stderr
        assert (tmp_path / name).read_text() == "precious"
        done = run_crumb("embed", "a", "-o", name, "--force", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len(records((tmp_path / "x.jsonl").read_text())) == 1
    assert np.load(tmp_path / "x.npy").shape == (1, 384)


@pytest.mark.parametrize("form", ["jsonl", "npy", "parquet"])
def test_an_error_on_the_way_leaves_nothing_half_made(run_crumb: Run, tmp_path: Path, form: str) -> None:
    bad = [json.dumps(text) for text in MANY]
    bad[-1] = "{"
    (tmp_path / "x.ndjson").write_text("\n".join(bad))
    done = run_crumb("embed", "--from", "x.ndjson", *QUICK, "-o", f"out.{form}", cwd=tmp_path)
    assert done.returncode == 1
    assert f"x.ndjson:{len(MANY)}: not JSON" in done.stderr
    left = sorted(path.name for path in tmp_path.iterdir())
    if form != "jsonl":
        assert left == ["x.ndjson"]
        return
    # whole lines, known to be incomplete; once the input is mended the run goes on
    assert left == ["out.jsonl", "out.jsonl.crumb.json", "x.ndjson"]
    assert [row["id"] for row in records((tmp_path / "out.jsonl").read_text())] == list(range(WINDOW_TEXTS))
    assert sidecar(tmp_path / "out.jsonl")["complete"] is False
    (tmp_path / "x.ndjson").write_text("\n".join([*bad[:-1], '"mended"']))
    done = run_crumb("embed", "--from", "x.ndjson", *QUICK, "-o", "out.jsonl", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(records((tmp_path / "out.jsonl").read_text())) == len(MANY)
    assert sidecar(tmp_path / "out.jsonl")["complete"] is True


# --- interruption


def interrupt(crumb_env: dict[str, str], folder: Path, out: str, how: signal.Signals, watch: str) -> tuple[int, str]:
    """Runs the command on a stdin that stalls within the second window, and signals it once files `watch` have grown.

    The command is then blocked in reading: where it is stopped does not depend on time.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "crumb.cli", "embed", "--from", "-", *QUICK, "-o", out],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=crumb_env,
        cwd=folder,
        preexec_fn=can_be_interrupted,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write("\n".join(MANY[: WINDOW_TEXTS + 100]) + "\n")
    process.stdin.flush()
    while process.poll() is None and not sum(path.stat().st_size for path in folder.glob(watch)):
        time.sleep(0.02)
    process.send_signal(how)
    code = process.wait(60)
    error = process.stderr.read()
    process.stdin.close()
    process.stderr.close()
    return code, error


def test_ctrl_c_then_resume_gives_the_same_bytes(
    run_crumb: Run, crumb_env: dict[str, str], many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    code, error = interrupt(crumb_env, tmp_path, "out.jsonl", signal.SIGINT, "out.jsonl")
    assert code == 130
    assert error == (
        "crumb embed: out.jsonl keeps what is done; the same command with --resume goes on\ncrumb: interrupted\n"
    )
    kept = out.read_bytes().count(b"\n")
    assert 1 <= kept <= WINDOW_TEXTS
    done = run_crumb("embed", *QUICK, "-o", "out.jsonl", "--resume", input="\n".join(MANY) + "\n", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(MANY):,} texts ({kept:,} of them there already)" in done.stderr
    assert out.read_bytes() == (many / "whole.jsonl").read_bytes()
    assert sidecar(out) == sidecar(many / "whole.jsonl")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("name", ["out.npy", "out.parquet"])
def test_an_interrupted_array_does_not_appear(
    crumb_env: dict[str, str], tmp_path: Path, how: signal.Signals, name: str
) -> None:
    code, error = interrupt(crumb_env, tmp_path, name, how, ".*.part")
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert error == ("crumb: interrupted\n" if how == signal.SIGINT else "")
    left = [path.name for path in tmp_path.iterdir()]
    assert name not in left
    assert how == signal.SIGKILL or left == []


@pytest.mark.parametrize("keep", [0, 1, 0.3, 0.9, 1.0])
def test_resume_from_any_byte(run_crumb: Run, many: Path, tmp_path: Path, keep: float) -> None:
    whole = (many / "whole.jsonl").read_bytes()
    copy(many, tmp_path, whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    done = run_crumb("embed", "--from", "many.txt", *QUICK, "-o", "out.jsonl", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert sidecar(tmp_path / "out.jsonl") == sidecar(many / "whole.jsonl")


def test_resume_counts_what_the_first_run_cut(run_crumb: Run, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a b c d e\nshort\n" * 3)
    command = ("embed", "--from", "x.txt", "--context", "5", "--prompt", "q ", "-o", "out.jsonl")
    assert run_crumb(*command, cwd=tmp_path).returncode == 0
    out, before = tmp_path / "out.jsonl", sidecar(tmp_path / "out.jsonl")
    assert before["counts"]["tokens_cut"] == 9  # q a b | c d e, three times
    out.write_bytes(out.read_bytes()[:-1])
    assert run_crumb(*command, "--resume", cwd=tmp_path).returncode == 0
    assert sidecar(out) == before


def test_resume_where_nothing_is_there_begins(run_crumb: Run, many: Path, tmp_path: Path) -> None:
    done = run_crumb("embed", "--from", str(many / "many.txt"), *QUICK, "-o", "x.jsonl", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.jsonl").read_bytes() == (many / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("layers", "layers = 1, this run has 2"),
        ("context", "contract.context = 256, this run has 128"),
        ("prompt", 'prompt = "", this run has "q: "'),
        ("sidecar gone", "out.jsonl.crumb.json: missing"),
        ("sidecar odd", "out.jsonl.crumb.json: not a sidecar"),
        ("other id", 'out.jsonl:3: the id is "x", the input has 2'),
        ("not JSON", "out.jsonl:3: not a record"),
        ("input shorter", "out.jsonl:11: the input ends after 10 records"),
    ],
)
def test_resume_refuses_what_does_not_match(
    run_crumb: Run, many: Path, tmp_path: Path, change: str, message: str
) -> None:
    lines = (many / "whole.jsonl").read_bytes().splitlines(keepends=True)[:20]
    options = {"layers": ["--layers", "2"], "context": ["--context", "128"], "prompt": ["--prompt", "q: "]}
    if change == "other id":
        lines[2] = lines[2].replace(b'"id": 2', b'"id": "x"')
    elif change == "not JSON":
        lines[2] = b"{}\n"
    copy(many, tmp_path, b"".join(lines))
    if change == "sidecar gone":
        (tmp_path / "out.jsonl.crumb.json").unlink()
    elif change == "sidecar odd":
        (tmp_path / "out.jsonl.crumb.json").write_text("[]")
    elif change == "input shorter":
        (tmp_path / "many.txt").write_text("\n".join(MANY[:10]))
    done = run_crumb(
        "embed", "--from", "many.txt", *QUICK, *options.get(change, []), "-o", "out.jsonl", "--resume", cwd=tmp_path
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(lines)


def test_a_reader_that_leaves_is_no_failure(crumb_env: dict[str, str], many: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "crumb.cli", "embed", "--from", str(many / "many.txt"), *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=crumb_env,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["id"] == 0
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


# --- similarity


def test_similarity(run_crumb: Run, default: crumb.Model) -> None:
    pair = ["A man is eating food.", "Someone eats a meal."]
    a, b = default.encode(pair).astype(np.float64)
    cosine = float(a @ b)
    done = run_crumb("similarity", *pair)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{cosine:.4f}\n"
    assert done.stderr == ""
    in_json = json.loads(run_crumb("similarity", *pair, "--json").stdout)
    assert in_json == {"similarity": pytest.approx(cosine, abs=1e-6)}
    assert run_crumb("similarity", "same", "same").stdout == "1.0000\n"
    a, b = default.encode(pair, prompt="q: ").astype(np.float64)
    assert run_crumb("similarity", *pair, "--prompt", "q: ").stdout == f"{a @ b:.4f}\n"


def test_similarity_says_what_was_cut(run_crumb: Run) -> None:
    done = run_crumb("similarity", "a b c d", "a b", "--context", "4")
    assert done.stdout == "1.0000\n"
    assert done.stderr.count("\n") == 1
    assert "1 of 2 texts" in done.stderr
    assert "lost 2 tokens" in done.stderr


def test_options_may_stand_among_the_texts(run_crumb: Run) -> None:
    """`crumb embed a --layers 1 b`: what stands behind an option is a text like those before it."""
    among, before = run_crumb("embed", "one", "--layers", "1", "two"), run_crumb("embed", "--layers", "1", "one", "two")
    assert among.returncode == 0, among.stderr
    assert len(among.stdout.splitlines()) == 2
    assert among.stdout == before.stdout
