"""crumb.json: what crumb knows of a model beyond what other libraries store with it.

Enters: a model folder. Leaves: plain JSON data by section, or a section written. Knows nothing of what a section means.
A folder without the file is a model that nobody has measured there yet, and no error; of a few models the package
itself has measurements (shipped/, by the digest of the weights).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from crumb.errors import CheckpointError

FILE = "crumb.json"
CALIBRATION = "calibration"
_SHIPPED = Path(__file__).parent / "shipped"


def read_section(folder: Path, section: str) -> dict[str, Any] | None:
    """One section of the folder's crumb.json; None where there is none.

    Raises:
        CheckpointError: the file is not what it should be.
    """
    return _read(folder, section)[1]


def read_shipped(weights: Path, section: str) -> dict[str, Any] | None:
    """The same section for weights that crumb itself measured, wherever they lie; None for any other.

    They are known by the digest of their bytes, which is read here (about 0.1 s for 90 MB).
    """
    import hashlib  # brings OpenSSL, and most processes need none of it

    with weights.open("rb") as file:
        path = _SHIPPED / f"{hashlib.file_digest(file, 'sha256').hexdigest()}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] | None = json.loads(path.read_bytes()).get(section)
    return found


def write_section(folder: Path, section: str, value: dict[str, Any]) -> Path:
    """Puts a section into the folder's crumb.json, beside what is there, and gives the file; a kill leaves the old one.

    Raises:
        CheckpointError: the file that is there cannot be read, and is left as it is.
        OSError: the folder cannot be written.
    """
    path = folder / FILE
    data, _ = _read(folder, section)  # refuses a file that would be lost
    data[section] = value
    temporary = path.with_name(f"{FILE}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _read(folder: Path, section: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """All of the file, empty where there is none, and one section of it."""
    path = folder / FILE
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from None
    found = data.get(section) if isinstance(data, dict) else data
    if not isinstance(data, dict) or not isinstance(found, dict | None):
        raise CheckpointError(f"{path}: {section} should be a JSON object, but is a {type(found).__name__}")
    return data, found
