"""How a model gets onto this disk, and where it lies there.

Enters: a name of the catalogue, a Hub id or a folder. Leaves: a model folder. Knows nothing of what is in the folder
beyond its digests: `crumb.checkpoint` reads it. Only `pull`, and `resolve` with `fetch=True`, ever touch the network.
"""

from __future__ import annotations

from crumb.store.places import cache_dir as cache_dir
from crumb.store.places import home as home
from crumb.store.places import models_dir as models_dir
from crumb.store.resolve import locate as locate
from crumb.store.resolve import resolve as resolve

__all__ = ["cache_dir", "home", "locate", "models_dir", "resolve"]
