"""What a figure may depend on besides the question: software and CPU.

Enters: nothing. Leaves: names and versions. Knows nothing of figures.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from crumb import __version__
from crumb.engine.cpu import cpu_name, instruction_sets
from crumb.engine.threads import available_cores

COMPUTING = ("crumb", "numpy", "ir-measures", "scipy")
"""Versions that figures may depend on."""


def machine() -> dict[str, Any]:
    """Plain JSON data: versions by name, the CPU, its instruction sets and cores, the system."""
    return {
        "versions": {
            "crumb": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("numpy", "ir-measures", "scipy", "tokenizers")},
        },
        "cpu": cpu_name(),
        "instruction_sets": instruction_sets(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
