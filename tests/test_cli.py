"""The command's frame: help, version, exit codes, one-line errors. Nothing here needs a model.

Ctrl-C and a reader that leaves are in test_cli_embed.py, where there is something to interrupt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from crumb.cli import COMMANDS

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bare(tmp_path: Path) -> Run:
    """Runs the command on a machine without models, in a folder of its own."""
    (tmp_path / "here").mkdir()
    env = {**os.environ, "CRUMB_HOME": str(tmp_path / "home"), "PYTHONUTF8": "1"}

    def run(*args: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "crumb.cli", *args],
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            env=env,
            cwd=tmp_path / "here",
            timeout=120,
            check=False,
        )

    return run


def test_version_is_the_distributions(bare: Run) -> None:
    done = bare("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"crumb {version('crumb-embed')}\n", "")


def test_help_lists_every_command(bare: Run) -> None:
    done = bare("--help")
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ") and line[4] != " "]
    assert listed == [*COMMANDS]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(bare: Run, command: str) -> None:
    done = bare(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: crumb {command} ")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["embed", "--help"], ["similarity", "--help"]])
def test_help_does_not_wait_for_numpy(words: list[str]) -> None:
    code = f"""
import sys
from crumb.cli import main
try:
    main({words!r})
except SystemExit as end:
    assert end.code == 0, end.code
print("numpy" in sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=120)
    assert done.stderr == "False\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "'frobnicate'"),
        (["--frobnicate"], "required: COMMAND"),
        *(([name, "--frobnicate"], "") for name in COMMANDS),
        (["similarity", "one"], "required: B"),
        (["embed", "a", "--frobnicate"], "--frobnicate"),
        (["embed", "a", "--threads", "0"], "'0' is not a whole number of at least 1"),
        (["embed", "a", "--dimensions", "x"], "'x' is not a whole number of at least 1"),
        (["embed", "a", "--truncation", "maybe"], "'maybe'"),
        (["embed", "a", "--positions", "maybe"], "'maybe'"),
        (["embed", "a", "--prompt", "p", "--prompt-name", "n"], "not allowed with"),
        (["embed", "a", "--resume", "--force", "-o", "x.jsonl"], "not allowed with"),
        (["embed", "a", "--from", "x.txt"], "do not go together"),
        (["embed", "--from", "-", "-"], "stdin can be read once only"),
        (["embed", "a", "--field", "body"], "--field and --id-field are for JSON lines and CSV"),
        (["embed", "a", "-o", "x.bin"], "x.bin: the suffix tells no format; expected .jsonl"),
        (["embed", "a", "--format", "npy"], "--format npy needs a file"),
        (["embed", "a", "--resume"], "--resume needs a jsonl output"),
        (["embed", "a", "--resume", "-o", "x.npy"], "--resume needs a jsonl output"),
        (["embed", "a", "--with-text", "-o", "x.npy"], "a .npy array holds no texts"),
    ],
)
def test_wrong_use_is_exit_code_2(bare: Run, words: list[str], message: str) -> None:
    done = bare(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: crumb")
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embed", "a", "--model", "no-such-model"], "no-such-model"),
        (["similarity", "a", "b", "--model", "./no/such/folder"], "no/such/folder"),
        (["embed", "--from", "nowhere.txt"], "nowhere.txt: no such file or folder"),
        (["embed", "a", "-o", "no/such/folder/x.npy"], "there is no folder no/such/folder"),
        (["embed", "a", "-o", "/dev/null", "--format", "npy", "--force"], "/dev/null: not a regular file"),
        (["embed", "--from", ".", "-o", "x.npy"], "x.npy: is, or lies in, the input ."),
    ],
)
def test_failure_is_exit_code_1_and_one_line(bare: Run, words: list[str], message: str) -> None:
    done = bare(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"crumb {words[0]}: ")
    assert message in done.stderr


def test_an_input_is_never_its_own_output(bare: Run, tmp_path: Path) -> None:
    precious = tmp_path / "here" / "x.jsonl"
    precious.write_text('"precious"\n')
    done = bare("embed", "--from", "x.jsonl", "-o", "./x.jsonl", "--force")
    assert done.returncode == 1
    assert "is, or lies in, the input x.jsonl" in done.stderr
    assert precious.read_text() == '"precious"\n'


def test_a_terminal_on_stdin_is_wrong_use_not_a_wait() -> None:
    terminal, other = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "crumb.cli", "embed"],
            stdin=other,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(other)
    assert done.returncode == 2
    assert "nothing to embed" in done.stderr
