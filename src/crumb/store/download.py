"""One URL into one file, resumable and verified.

Enters: a URL, the file's place, the digest it must have. Leaves: that file, complete and of that digest, or an error;
what arrived before a failure stays and the next call goes on from there. Knows nothing of models, wheels or indexes.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from crumb import __version__
from crumb.errors import FetchError, VerificationError

_CHUNK = 1 << 16  # bytes; small, so that a kill loses little
_TIMEOUT = 60.0  # seconds without a single byte


def sha256_of(path: Path) -> str:
    """The file's SHA-256, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def show_progress(progress: bool | None) -> bool:
    """Whether to draw a bar: as asked, else only where stderr is a terminal."""
    return sys.stderr.isatty() if progress is None else progress


def download(url: str, part: Path, *, sha256: str, label: str, progress: bool | None = None) -> None:
    """Brings `url` into `part`, going on from what `part` already holds.

    Args:
        url: http, https or file.
        part: the file, whole once this returns; its folder must exist, and no one else may be writing it.
        sha256: what the whole file must have.
        label: what the progress bar and the errors call it.
        progress: a bar on stderr; None draws one on a terminal only.

    Raises:
        FetchError: the transfer failed; `part` keeps what arrived.
        VerificationError: all of it arrived and it is something else; `part` is deleted.
    """
    digest, kept = _what_is_there(part)
    if kept and digest.hexdigest() == sha256:
        return
    try:
        with _open(url, kept) as response:
            resumed = _resumes_at(response, kept)
            if not resumed:
                digest, kept = hashlib.sha256(), 0
            length = response.headers.get("Content-Length")
            total = None if length is None else kept + int(length)
            kept = _receive(response, part, digest, kept, total, label, show_progress(progress))
    except (OSError, http.client.HTTPException) as error:
        raise FetchError(_failure(url, part, label, str(error) or type(error).__name__)) from error
    if total is not None and kept < total:
        raise FetchError(_failure(url, part, label, f"the connection ended at {kept:,} of {total:,} bytes"))
    if digest.hexdigest() != sha256:
        part.unlink()
        raise VerificationError(
            f"{label} from {url} is not what the catalogue promises: its SHA-256 is {digest.hexdigest()}, "
            f"expected {sha256}. It was deleted. Something between here and the source changed it; "
            "try another network or mirror."
        )


def _what_is_there(part: Path) -> tuple[hashlib._Hash, int]:
    """The running digest and the length of what an earlier call left."""
    digest, length = hashlib.sha256(), 0
    if part.exists():
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                length += len(chunk)
    return digest, length


def _open(url: str, kept: int) -> Any:
    headers = {"User-Agent": f"crumb/{__version__}", "Accept-Encoding": "identity"}
    if kept:
        headers["Range"] = f"bytes={kept}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        # 416: there is nothing beyond what we hold, and what we hold has not the right digest. From the start, then.
        if kept and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            error.close()
            return _open(url, 0)
        raise


def _resumes_at(response: Any, kept: int) -> bool:
    """True if the body goes on at `kept`; False if it is the whole file (a server without Range, a file: URL)."""
    if not kept or response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    content_range = response.headers.get("Content-Range", "")
    match = re.match(r"bytes (\d+)-", content_range)
    if not match or int(match[1]) != kept:
        raise http.client.HTTPException(f"asked for bytes from {kept}, the server sent {content_range!r}")
    return True


def _receive(
    response: Any, part: Path, digest: hashlib._Hash, kept: int, total: int | None, label: str, shown: bool
) -> int:
    """Appends the body to `part` (or starts it anew if `kept` is 0); returns the bytes it then holds."""
    from tqdm import tqdm

    bar = tqdm(
        total=total,
        initial=kept,
        desc=label,
        unit="B",
        unit_scale=True,
        disable=not shown,
        file=sys.stderr,
        leave=False,
    )
    with bar, part.open("ab" if kept else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            kept += len(chunk)
            bar.update(len(chunk))
    return kept


def _failure(url: str, part: Path, label: str, reason: str) -> str:
    kept = part.stat().st_size if part.exists() else 0
    return (
        f"{label} could not be downloaded from {url}: {reason}. "
        f"{kept:,} bytes are kept; run it again to go on from there."
    )
