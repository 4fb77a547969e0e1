"""What stands above a table: the machine, what else was running, versions.

Enters: names of distributions. Leaves: lines and plain dictionaries.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from crumb.engine.cpu import cpu_name, instruction_sets


def machine(threads: int) -> dict[str, object]:
    """CPU, instruction sets that matter to speed, held set, threads, load, date and Python."""
    wanted = ("avx2", "avx_vnni", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
    return {
        "cpu": cpu_name(),
        "sets": [name for name in instruction_sets() if name in wanted],
        "held": os.environ.get("HELD_ISA"),
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
    }


def line_of(found: dict[str, object]) -> str:
    """`machine` in one line."""
    held = f", held to {found['held']}" if found["held"] else ""
    sets = ", ".join(found["sets"]) if isinstance(found["sets"], list) else ""
    return (
        f"{found['date']}, {found['cpu']} ({sets}){held}, {found['threads']} threads, load {found['load']}, "
        f"Python {found['python']}"
    )


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of those that are installed, crumb's and numpy's first."""
    found = {}
    for name in dict.fromkeys(("crumb-embed", "numpy", *distributions)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
