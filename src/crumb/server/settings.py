"""What an operator may set, in one place: every flag of `crumb serve`, its default, its unit and its CRUMB_ variable.

Enters: flags, environment variables and a configuration file, in that order of precedence. Leaves: `Settings`, checked,
which travel to the workers as JSON. Knows nothing of what a setting does. Imports the standard library alone, because
the parent process that holds them stays small.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crumb.engine.threads import MOST_THREADS
from crumb.errors import CrumbError

# a scheme and a host, perhaps a port; an extension of a browser has a scheme of its own
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s?#@]+")


class SettingsError(CrumbError, ValueError):
    """A setting that cannot be; the message names it, its value, where it came from and what was expected."""


def _set(
    default: Any,
    help: str,
    *,
    least: float = float("-inf"),
    most: float = 1e15,
    choices: tuple[str, ...] = (),
) -> Any:
    return field(default=default, metadata={"help": help, "least": least, "most": most, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """All settings of a server. Times are seconds, sizes bytes, lengths characters of text or tokens, as named."""

    host: str = _set("127.0.0.1", "address to listen on; 0.0.0.0 for every one")
    port: int = _set(8000, "port to listen on; 0 for any that is free", least=0, most=65_535)
    uds: str = _set("", "path of a Unix socket to listen on instead of an address")
    workers: int = _set(1, "processes that serve; each loads the models", least=1)

    model: list[str] = field(
        default_factory=list, metadata={"help": "a name from `crumb models`, a folder or a Hub id; repeat for several"}
    )
    alias: list[str] = field(
        default_factory=list, metadata={"help": "NAME=MODEL: MODEL answers to NAME too; repeat for several"}
    )
    context: int = _set(0, "tokens of a text that are read; 0 for each model's own", least=0)
    positions: str = _set(
        "",
        "how to go past the positions that a model was trained with",
        choices=("", "tile", "interpolate", "hierarchical"),
    )
    precision: str = _set(
        "auto", "what is multiplied: int8 is fastest and least exact", choices=("auto", "float32", "bf16", "int8")
    )
    threads: int = _set(0, "threads of the engine in each worker; 0 as the machine allows", least=0, most=MOST_THREADS)

    api_key: list[str] = field(
        default_factory=list,
        metadata={"help": "a key that requests must carry; repeat for several (others on this machine see it)"},
    )
    key_file: str = _set("", "file with a key on each line, read again on SIGHUP")
    cors_origin: list[str] = field(
        default_factory=list,
        metadata={"help": "origin whose pages may call the API from a browser; repeat for several"},
    )
    trusted_proxy: list[str] = field(
        default_factory=list,
        metadata={
            "help": "address or network of a proxy whose X-Forwarded-For is believed, or unix for whoever connects to "
            "--uds; repeat for several"
        },
    )

    max_items: int = _set(2048, "texts in each list of a request", least=1)
    max_characters: int = _set(64_000, "characters of a text", least=1)
    max_prompt_characters: int = _set(32_000, "characters of a prompt", least=1)
    max_request_tokens: int = _set(1_000_000, "tokens of a request", least=1)
    max_body_bytes: int = _set(32 * 1024 * 1024, "bytes of a request's body", least=1)
    max_held_bytes: int = _set(
        256 * 1024 * 1024, "bytes of the bodies of all requests at a time, in each worker", least=1
    )
    max_pairs: int = _set(250_000, "scores of a /v1/similarity request", least=1)
    max_queue_tokens: int = _set(500_000, "tokens that wait for the engine, of all requests", least=1)
    max_concurrent: int = _set(2048, "requests at work or waiting at a time, in each worker", least=1)
    max_connections: int = _set(4096, "open connections, in each worker", least=1)
    header_bytes: int = _set(65_536, "bytes of a request's headers", least=1024)
    header_seconds: float = _set(10.0, "time for a request's headers to arrive", least=0.01)
    body_seconds: float = _set(60.0, "time for a request's body to arrive", least=0.01)
    write_seconds: float = _set(60.0, "time for a client to take in a piece of the answer", least=0.01)
    request_seconds: float = _set(300.0, "time for a request to be answered, waiting included", least=0.01)
    keep_alive_seconds: float = _set(75.0, "time that an idle connection is kept open", least=0.01)
    grace_seconds: float = _set(30.0, "time to finish what is in flight after SIGTERM", least=0.0)
    backlog: int = _set(2048, "connections that may wait to be accepted", least=1, most=65_535)
    batch_seconds: float = _set(0.025, "how long the engine may take for a batch, about", least=0.001)

    log_level: str = _set("info", "least severe line that is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = _set("auto", "lines for people or JSON; auto asks the terminal", choices=("auto", "text", "json"))
    otlp_endpoint: str = _set("", "OpenTelemetry collector that gets a trace of each request (extra [otel])")

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What `to_json` gave."""
        return cls(**json.loads(text))


FIELDS: dict[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(Settings)}
DEFAULTS = Settings()


def flag(name: str) -> str:
    """The flag of a setting: "max_items" gives "--max-items"."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a setting: "max_items" gives "CRUMB_MAX_ITEMS"."""
    return "CRUMB_" + name.upper()


def resolve(
    flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ, config: Path | None = None
) -> Settings:
    """Settings from flags over environment over configuration file over defaults.

    Args:
        flags: by setting; what is None was not given.
        environment: lists are separated by commas there.
        config: a TOML file whose names are the settings', with `-` or `_`.

    Raises:
        SettingsError: an unknown name in the file, or a value of the wrong kind or out of range.
    """
    values: dict[str, Any] = {}
    for name, value in (_read(config) if config else {}).items():
        values[name] = _checked(name, value, f"{config}: {name}")
    for name in FIELDS:
        if (word := environment.get(variable(name))) not in (None, ""):
            values[name] = _checked(name, word, variable(name))
    for name, value in flags.items():
        if name in FIELDS and value is not None:
            values[name] = _checked(name, value, flag(name))
    return Settings(**values)


def _read(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, or not even UTF-8
        raise SettingsError(f"the configuration {config} cannot be read: {error}") from None
    named: dict[str, Any] = {}
    for name, value in found.items():
        if (plain := name.replace("-", "_")) in named:
            raise SettingsError(f"{config} sets {plain} twice, with - and with _; leave one")
        named[plain] = value
    if unknown := sorted(named.keys() - FIELDS.keys()):
        raise SettingsError(
            f"{config} sets {', '.join(unknown)}, which `crumb serve` does not know; `crumb serve --help` lists what "
            "may be set"
        )
    return named


def _checked(name: str, value: Any, where: str) -> Any:
    """`value` as the setting's type, from a word or from TOML."""
    kind = type(getattr(DEFAULTS, name))
    metadata = FIELDS[name].metadata
    if kind is list:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
            raise SettingsError(f"{where} must be a list of words, got {_shown(name, value)}")
        if name == "cors_origin" and (odd := [item for item in items if not _ORIGIN.fullmatch(item.strip())]):
            raise SettingsError(
                f"{where} must be origins as browsers send them (https://example.org, http://localhost:3000, without a "
                f"path or a slash at the end) or *, got {odd[0]!r}"
            )
        return [item.strip() for item in items]
    if kind is str:
        if not isinstance(value, str) or (metadata["choices"] and value not in metadata["choices"]):
            expected = " | ".join(filter(None, metadata["choices"])) or "text"
            raise SettingsError(f"{where} must be {expected}, got {_shown(name, value)}")
        return value
    try:
        number = kind(value) if not isinstance(value, bool) else None
        if number is None or number != float(value):
            raise ValueError(value)
    except (TypeError, ValueError, OverflowError):
        expected = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{where} must be {expected}, got {value!r}") from None
    if number < metadata["least"]:
        raise SettingsError(f"{where} must be at least {metadata['least']:g}, got {value!r}")
    if number > metadata["most"]:
        raise SettingsError(f"{where} must be at most {metadata['most']:g}, got {value!r}")
    return number


def _shown(name: str, value: Any) -> str:
    return "what is not shown here, being a key" if name == "api_key" else repr(value)
