"""`crumb serve`: the model behind a port.

Enters: flags, CRUMB_ variables, a configuration file. Leaves: a server that runs until it is told to stop; exit code 0
then. Brings the default model here if no model is named; nothing else is fetched. Stays small itself: the workers load
the models.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

from crumb import store
from crumb.errors import MissingExtraError
from crumb.server import settings

HELP = "Serve embeddings over HTTP, as Mixedbread's and OpenAI's clients ask for them."
_GROUPS = (
    ("where", ("host", "port", "uds", "workers")),
    ("models", ("model", "alias", "context", "positions", "precision", "threads")),
    ("who may ask", ("api_key", "key_file", "cors_origin", "trusted_proxy")),
)
_NEEDED = ("fastapi", "fastapi_offline", "orjson", "prometheus_client", "uvicorn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for every setting."""
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file of these settings; flags and CRUMB_… variables win over it"
    )
    grouped = {name for _, names in _GROUPS for name in names}
    rest = tuple(name for name in settings.FIELDS if name not in grouped)
    for title, names in (*_GROUPS, ("limits and the rest", rest)):
        group = parser.add_argument_group(title)
        for name in names:
            _add(group, name)


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT."""
    config = args.config or os.environ.get("CRUMB_CONFIG")
    chosen = settings.resolve(vars(args), config=Path(config) if config else None)
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise MissingExtraError(f'serving needs {", ".join(missing)}: pip install "crumb-embed[serve]"')
    for name in chosen.model:
        store.resolve(name, fetch=False)  # says now what a worker would say later
    if not chosen.model:
        store.resolve(None, fetch=True)
    # Here and not above: what `--help` does not need.
    from crumb.server.supervisor import supervise

    return supervise(chosen)


def _add(group: argparse._ArgumentGroup, name: str) -> None:
    default = getattr(settings.DEFAULTS, name)
    metadata = settings.FIELDS[name].metadata
    choices = " | ".join(filter(None, metadata.get("choices", ())))
    shown = f" ({choices}; default: {default or 'none'})" if choices else f" (default: {default})"
    text = metadata["help"] + ("" if default in ("", []) and not choices else shown)
    # the words are checked with those of the environment and the file, in one place
    if isinstance(default, list):
        group.add_argument(settings.flag(name), action="append", metavar="WORD", help=text)
    else:
        kind = {int: "N", float: "SECONDS"}.get(type(default), "WORD")
        group.add_argument(settings.flag(name), metavar=kind, help=text)
