"""The libraries of the extra `[eval]`, and word of a missing one before anything is measured.

Enters: a library's name. Leaves: the module, or an error that names the extra. Knows nothing of what it is for.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

from crumb.errors import MissingExtraError

MEASURING = {"ir_measures": "metrics need ir-measures", "scipy.stats": "correlations need SciPy"}
DRAWING = {"matplotlib": "plots need matplotlib"}


def need(name: str) -> ModuleType:
    """The module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f'{_reason(name)}: pip install "crumb-embed[eval]" ({error})') from None


def check(*, drawing: bool) -> None:
    """Makes sure that what measuring (and `drawing` a report) takes is there, without loading it.

    Raises:
        MissingExtraError: a library is not installed.
    """
    for name in (*MEASURING, *(DRAWING if drawing else ())):
        if find_spec(name.partition(".")[0]) is None:
            raise MissingExtraError(f'{_reason(name)}: pip install "crumb-embed[eval]"')


def _reason(name: str) -> str:
    return {**MEASURING, **DRAWING}[name]
