"""A model from the Hugging Face Hub, at one commit.

Enters: a `HubSource` with its revision and a folder for the download. Leaves: the files that crumb reads, each checked
against the digest that the Hub states for that commit. Needs the extra `hub`. Knows nothing of where models are kept.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from crumb.catalog import HubSource
from crumb.errors import FetchError, MissingExtraError, VerificationError
from crumb.store.download import sha256_of, show_progress

# Safetensors and text only: pickles can run code, and other engines' formats are of no use here.
_WANTED = ("*.json", "*.txt", "model*.safetensors", "[0-9]_*/*.json", "[0-9]_*/*.safetensors", "README.md", "LICENSE*")


def fetch(source: HubSource, folder: Path, *, progress: bool | None = None) -> None:
    """Brings the repository's model files into `folder`, going on from what an earlier call left there.

    Raises:
        MissingExtraError: `huggingface_hub` is not installed.
        FetchError: the Hub cannot be reached, or has no such repository, revision or file.
        VerificationError: what arrived is not what the Hub states; `folder` is deleted.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read when the library is imported
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    except ImportError as error:
        raise MissingExtraError(
            f'{source} needs the package huggingface_hub: pip install "crumb-embed[hub]", then run it again.'
        ) from error
    # Its releases speak through different HTTP libraries; the bases of its own error are the library's. Its Rust
    # transport raises RuntimeError.
    failures: tuple[type[BaseException], ...] = (OSError, RuntimeError, *HfHubHTTPError.__bases__)
    silence = not show_progress(progress) and not are_progress_bars_disabled()
    if silence:
        disable_progress_bars()
    try:
        # Asked first and by itself: without a network, snapshot_download takes a half-filled folder for the answer.
        listed = HfApi().model_info(source.repo, revision=source.revision, files_metadata=True).siblings or []
        wanted = {file.rfilename: file for file in listed if _is_wanted(file.rfilename)}
        snapshot_download(source.repo, revision=source.revision, allow_patterns=list(wanted), local_dir=folder)
    except failures as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise FetchError(
            f"{source} could not be downloaded: {reason[0]}. Check the name, the revision and the network; "
            "run it again to go on from what has arrived."
        ) from error
    finally:
        if silence:
            enable_progress_bars()
    for name, file in wanted.items():
        _check(folder / name, file, source, folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _is_wanted(path: str) -> bool:
    """Whether crumb reads the file; unlike fnmatch, a pattern without a folder matches top-level files only."""
    return any(fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in _WANTED)


def _check(path: Path, file: Any, source: HubSource, folder: Path) -> None:
    """Compares one file with what the Hub states: SHA-256 for large files, git's blob id for the others."""
    if not path.is_file():
        raise FetchError(f"{source}: {path.name} did not arrive. Run it again.")
    expected = file.lfs.sha256 if file.lfs else file.blob_id
    found = sha256_of(path) if file.lfs else _git_blob_id(path)
    if found != expected:
        shutil.rmtree(folder)
        raise VerificationError(
            f"{source}: {path.name} has the digest {found}, the Hub states {expected}. It was deleted; run it again."
        )


def _git_blob_id(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
