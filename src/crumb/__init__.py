"""crumb: small, fast and honest text embeddings on the machine you have. The public names, nothing else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crumb.evaluation.mteb import mteb_model as mteb_model
    from crumb.loading import load as load
    from crumb.model import EncodeReport as EncodeReport
    from crumb.model import Model as Model
    from crumb.search.collection import Collection as Collection
    from crumb.search.exact import semantic_search as semantic_search
    from crumb.vectors.similarity import similarity as similarity

# Loaded on first use, so that `import crumb` and `crumb --help` cost milliseconds.
_HOMES = {
    "Collection": "crumb.search.collection",
    "EncodeReport": "crumb.model",
    "Model": "crumb.model",
    "load": "crumb.loading",
    "mteb_model": "crumb.evaluation.mteb",
    "semantic_search": "crumb.search.exact",
    "similarity": "crumb.vectors.similarity",
}

__all__ = ["Collection", "EncodeReport", "Model", "__version__", "load", "mteb_model", "semantic_search", "similarity"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'crumb' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
