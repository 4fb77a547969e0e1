"""From what a person names to a model folder on this disk.

Enters: a folder, a catalogue name or alias, `org/name@commit`. Leaves: the folder. Touches no network, except that
`resolve` with `fetch=True` hands what is missing to `pull`. Knows nothing of what is in the folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from crumb.default import DEFAULT
from crumb.errors import CheckpointError, ModelNotFoundError
from crumb.store.places import is_installed, models_dir

if TYPE_CHECKING:
    from crumb.catalog import Entry


def locate(name: str | Entry) -> Path | None:
    """The folder of a model that `pull` has brought to this machine; None if it has not. Never touches the network.

    Raises:
        ModelNotFoundError: the name means nothing, or its revision is no commit.
    """
    from crumb.store.names import request

    folder = models_dir() / request(name).folder
    return folder if is_installed(folder) else None


def resolve(name_or_path: str | os.PathLike[str] | Entry | None = None, *, fetch: bool) -> Path:
    """The folder of the model that is meant; None means the catalogue's default.

    A folder with a config.json or modules.json wins over a model of the same name.

    Args:
        name_or_path: a folder, a catalogue name or alias, `org/name@commit`, or an entry outside the catalogue.
        fetch: bring the model here if it is not; this is the only case that touches the network.

    Raises:
        ModelNotFoundError: it means nothing, or it is not on this machine and `fetch` is False.
        CheckpointError: it would have to be fetched, and the engine does not run it yet.
        FetchError, VerificationError, MissingExtraError: see `pull`.
    """
    name = DEFAULT if name_or_path is None else name_or_path
    if name_or_path is None and is_installed(models_dir() / DEFAULT):
        return models_dir() / DEFAULT
    # Here and not above: the catalogue and what reads names cost a tenth of a start that needs neither.
    from crumb.catalog import Entry
    from crumb.store.names import request

    if not isinstance(name, Entry):
        path = Path(name).expanduser()
        if (path / "config.json").is_file() or (path / "modules.json").is_file():
            return path
        if isinstance(name, os.PathLike):
            raise ModelNotFoundError(f"{path} is no model folder: it has no config.json.")
        name = os.fspath(name)
    wanted = request(name)
    folder = models_dir() / wanted.folder
    if is_installed(folder):
        return folder
    if not fetch:
        raise ModelNotFoundError(f"{wanted.name} is not on this machine: crumb pull {wanted.name}")
    if wanted.entry and not wanted.entry.runs:
        raise CheckpointError(f"crumb does not run {wanted.entry.name} yet: it is {wanted.entry.note}.")
    # Here and not above: what a download needs (urllib, http, email) takes longer to import than a model to load.
    from crumb.store.install import pull

    return pull(name)
