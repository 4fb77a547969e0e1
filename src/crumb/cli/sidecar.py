"""What stands beside a file of vectors: which model made them, how, and from how much.

Enters: a contract, settings, counts. Leaves: `OUT.crumb.json`, written whole or not at all, and the check that an
interrupted output may be continued. Knows nothing of the vectors themselves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crumb import __version__
from crumb.errors import CrumbError

# What a model is called, and which file decided a setting, do not change its vectors.
NOT_COMPARED = {"name", "origins"}


class ResumeError(CrumbError, ValueError):
    """An output that cannot be continued: it was made from something else, or in another way."""


def sidecar_path(out: Path) -> Path:
    """The sidecar of the output `out`."""
    return out.with_name(out.name + ".crumb.json")


def write_sidecar(out: Path, settings: Mapping[str, Any], *, complete: bool, **facts: Any) -> None:
    """Writes `settings` (what decides the vectors) and what happened (`facts`) beside `out`, in one step."""
    path = sidecar_path(out)
    data = {"crumb": __version__, "complete": complete, **facts, "settings": settings}
    part = partial_path(path)
    part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def check_sidecar(out: Path, settings: Mapping[str, Any]) -> None:
    """Makes sure that `out` was begun with `settings`.

    Raises:
        ResumeError: there is no sidecar, it cannot be read, or a setting differs; the message names the first such.
    """
    path = sidecar_path(out)
    try:
        there = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except FileNotFoundError:
        raise ResumeError(f"{path}: missing, so nobody knows how {out} was made; --force makes it anew") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ResumeError(f"{path}: not a sidecar of crumb ({error!r}); --force makes {out} anew") from None
    # Through JSON, since that is what the other side went through: tuples become lists.
    difference = _difference(there, json.loads(json.dumps(settings)))
    if difference is not None:
        raise ResumeError(f"{out} was begun with {difference}; use the same settings, or --force to make it anew")


def partial_path(path: Path) -> Path:
    """Where `path` grows until it is complete: beside it, so that the last step is a rename."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _difference(there: Any, here: Any, name: str = "") -> str | None:
    """The first difference of two JSON values, in words."""
    if isinstance(there, dict) and isinstance(here, dict):
        # The fingerprint comes last: where a setting explains why it differs, that is the better message.
        for key in sorted((there.keys() | here.keys()) - NOT_COMPARED, key=lambda key: (key == "fingerprint", key)):
            found = _difference(there.get(key), here.get(key), f"{name}.{key}" if name else key)
            if found is not None:
                return found
        return None
    return None if there == here else f"{name} = {json.dumps(there)}, this run has {json.dumps(here)}"
