"""Settings of the server: flags over environment over file over defaults, and refusals that say what was expected."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crumb.cli import serve
from crumb.server import settings
from crumb.server.app import App
from crumb.server.settings import DEFAULTS, FIELDS, Settings, SettingsError, resolve

NUMBERS = [name for name in FIELDS if isinstance(getattr(DEFAULTS, name), int | float)]


def example(name: str, which: int) -> tuple[Any, str, str]:
    """A value of a setting that is not its default, as TOML and as a word; another one for each `which`."""
    default = getattr(DEFAULTS, name)
    if isinstance(default, list):
        word = f"https://{which}.example" if name == "cors_origin" else f"word{which}"
        return [word], f'["{word}"]', word
    if isinstance(default, str):
        choices = [choice for choice in FIELDS[name].metadata["choices"] if choice and choice != default]
        word = choices[which % len(choices)] if choices else f"word{which}"
        return word, f'"{word}"', word
    number = type(default)(min(2000, FIELDS[name].metadata["most"]) - which)
    return number, repr(number), repr(number)


def parsed(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return vars(parser.parse_args(words))


@pytest.mark.parametrize("name", FIELDS)
def test_flag_over_environment_over_file_over_default(name: str, tmp_path: Path) -> None:
    config = tmp_path / "crumb.toml"
    (in_file, toml, _), (in_environment, _, word), (in_flag, _, given_word) = (example(name, n) for n in range(3))
    config.write_text(f"{name.replace('_', '-')} = {toml}\n")
    environment = {settings.variable(name): word}
    flags = parsed(settings.flag(name), given_word)
    assert getattr(resolve(parsed(), {}), name) == getattr(DEFAULTS, name)
    assert getattr(resolve(parsed(), {}, config), name) == in_file
    assert getattr(resolve(parsed(), environment, config), name) == in_environment
    assert getattr(resolve(flags, environment, config), name) == in_flag
    others = dataclasses.asdict(resolve(flags, environment, config))
    assert {key: value for key, value in others.items() if getattr(DEFAULTS, key) != value} == {name: in_flag}


def test_names_in_a_file_have_dashes_or_not(tmp_path: Path) -> None:
    config = tmp_path / "crumb.toml"
    config.write_text('max-items = 3\nmax_pairs = 4\nmodel = ["a", "b"]\nbatch-seconds = 1\n')
    found = resolve({}, {}, config)
    assert (found.max_items, found.max_pairs, found.model, found.batch_seconds) == (3, 4, ["a", "b"], 1.0)
    config.write_text("max-items = 3\nmax_items = 4\n")
    with pytest.raises(SettingsError, match="max_items twice"):
        resolve({}, {}, config)


def test_lists_in_the_environment_are_divided_by_commas() -> None:
    assert resolve({}, {"CRUMB_MODEL": "a, b,c"}).model == ["a", "b", "c"]
    assert resolve(parsed("--model", "d", "--model", "e"), {"CRUMB_MODEL": "a"}).model == ["d", "e"]
    assert resolve({}, {"CRUMB_MODEL": ""}).model == []
    with pytest.raises(SettingsError, match="CRUMB_MODEL"):
        resolve({}, {"CRUMB_MODEL": "a,,b"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"max_itms = 3\nport = 1\nfoo = 1", "foo, max_itms.*does not know"),
        (b"[serve]\nport = 1", "serve.*does not know"),
        (b"port = ", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"a = " + b"[" * 100_000, "cannot be read"),
        (b"port = [1]", "port must be a whole number"),
        (b"port = true", "port must be a whole number"),
        (b"port = 1.5", "port must be a whole number"),
        (b"port = {}", "port must be a whole number"),
        (b"port = nan", "port must be a whole number"),
        (b"request_seconds = inf", "request_seconds must be at most"),
        (b"request_seconds = nan", "request_seconds must be a number"),
        (b"host = 1", "host must be text"),
        (b"model = [1]", "model must be a list of words"),
        (b"model = [[]]", "model must be a list of words"),
        (b"model = {}", "model must be a list of words"),
        (b"log-level = 'loud'", "log_level must be debug | info"),
    ],
)
def test_a_file_that_cannot_be(tmp_path: Path, content: bytes, words: str) -> None:
    config = tmp_path / "crumb.toml"
    config.write_bytes(content)
    with pytest.raises(SettingsError, match=words) as caught:
        resolve({}, {}, config)
    assert str(config) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        resolve({}, {}, tmp_path / "none.toml")


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_have_a_least_value(name: str) -> None:
    least = FIELDS[name].metadata["least"]
    assert getattr(resolve({name: str(least)}, {}), name) == least
    for wrong in (str(least - 1), "", "x", "1e999", "-inf", "nan", "1,5"):
        with pytest.raises(SettingsError, match=f"^{settings.flag(name)} must be"):
            resolve({name: wrong}, {})


@given(st.sampled_from(list(FIELDS)), st.text() | st.integers() | st.floats() | st.lists(st.text()) | st.none())
def test_whatever_is_given_is_a_setting_or_refused(name: str, value: Any) -> None:
    try:
        found = resolve({name: value}, {})
    except SettingsError:
        return
    assert type(getattr(found, name)) is type(getattr(DEFAULTS, name))
    assert Settings.from_json(found.to_json()) == found


def test_a_key_is_not_in_a_refusal() -> None:
    for flags, environment in (({"api_key": ["secret", " "]}, {}), ({}, {"CRUMB_API_KEY": "secret,,"})):
        with pytest.raises(SettingsError, match=r"(?i)api.key must be a list") as caught:
            resolve(flags, environment)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "origin", ["*", "https://a.example", "http://localhost:3000", "http://[::1]:80", "chrome-extension://ab"]
)
def test_origins_as_browsers_send_them(origin: str) -> None:
    assert resolve({"cors_origin": [origin]}, {}).cors_origin == [origin]
    for wrong in (origin + "/", origin + "/path", origin.removeprefix("*") + " a", "example.org", "//a"):
        with pytest.raises(SettingsError, match="--cors-origin must be origins"):
            resolve({"cors_origin": [wrong]}, {})


def test_every_setting_is_in_the_help(run_crumb: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    said = run_crumb("serve", "--help").stdout
    for name in FIELDS:
        assert settings.flag(name) in said


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        (["--port", "70000"], {}, "--port must be at most 65535, got '70000'"),
        (["--max-items", "0"], {}, "--max-items must be at least 1, got '0'"),
        ([], {"CRUMB_MAX_ITEMS": "many"}, "CRUMB_MAX_ITEMS must be a whole number, got 'many'"),
        ([], {"CRUMB_CONFIG": "/no/such/file.toml"}, "the configuration /no/such/file.toml cannot be read"),
    ],
)
def test_the_command_says_it_in_a_line(
    run_crumb: Callable[..., subprocess.CompletedProcess[str]],
    words: list[str],
    environment: dict[str, str],
    expected: str,
) -> None:
    done = run_crumb("serve", *words, env=environment)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"port": "70000"}, {}, "--port must be at most 65535, got '70000'"),
        ({"port": "-1"}, {}, "--port must be at least 0, got '-1'"),
        ({"backlog": "65536"}, {}, "--backlog must be at most 65535, got '65536'"),
        ({"header_seconds": "nan"}, {}, "--header-seconds must be a number, got 'nan'"),
        ({"header_seconds": "inf"}, {}, "--header-seconds must be at most 1e+15, got 'inf'"),
        ({}, {"CRUMB_MAX_ITEMS": "1.5"}, "CRUMB_MAX_ITEMS must be a whole number, got '1.5'"),
    ],
)
def test_numbers_that_cannot_be(flags: dict[str, str], environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(flags, environment)
    assert str(caught.value) == message


def test_the_greatest_port_can_be() -> None:
    assert resolve({"port": "65535"}, {}).port == 65_535


def test_a_body_that_could_never_be_held() -> None:
    with pytest.raises(SettingsError, match="--max-body-bytes 1000 is more than .*--max-held-bytes 999"):
        App(resolve({"max_body_bytes": "1000"}, {"CRUMB_MAX_HELD_BYTES": "999"}))
