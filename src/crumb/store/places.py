"""The folders crumb keeps on this machine.

Enters: CRUMB_HOME. Leaves: paths, none of them created here. Everything is below one home, on one filesystem, because
models are put into place by renaming. Knows nothing of what is kept there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# written last into a model's folder: where it came from and each file's digest
SOURCE_FILE = "crumb-source.json"


def home() -> Path:
    """CRUMB_HOME if it is set, else the user's cache folder for crumb."""
    chosen = os.environ.get("CRUMB_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "linux":  # as platformdirs does; importing it takes longer than everything else of the store
        base = os.environ.get("XDG_CACHE_HOME", "")
        return Path(base if base.strip() else "~/.cache").expanduser() / "crumb"
    from platformdirs import user_cache_path

    return user_cache_path("crumb")


def models_dir() -> Path:
    """Finished models, one folder each; what is half-made is never here."""
    return home() / "models"


def is_installed(folder: Path) -> bool:
    """Whether `folder` of `models_dir()` is a model that `pull` has finished."""
    return (folder / SOURCE_FILE).is_file()


def cache_dir() -> Path:
    """What can be computed again."""
    return home() / "cache"


def downloads_dir() -> Path:
    """Downloads under way; the next pull resumes them."""
    return home() / "downloads"


def staging_dir() -> Path:
    """Models being unpacked; the next pull of the same model clears what a killed one left."""
    return home() / "staging"


def locks_dir() -> Path:
    """One lock file per model."""
    return home() / "locks"


def collections_dir() -> Path:
    """Collections that are opened by name, one folder each."""
    return home() / "collections"
