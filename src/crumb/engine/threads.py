"""How many threads this process may use well.

Enters: what the operating system says. Leaves: a number. Knows nothing of the engine. Encoding keeps a core's vector
units busy, so a second hardware thread on the same core adds little: the default is physical cores, limited by the
process's affinity mask and by cgroup CPU quotas (containers), as nproc and the kernel's documentation describe them.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from pathlib import Path

_ROOT = Path("/")
MOST_THREADS = 1024


def default_threads() -> int:
    """CRUMB_THREADS if set, else the physical cores available to this process.

    Raises:
        ValueError: CRUMB_THREADS is not a positive whole number.
    """
    wish = os.environ.get("CRUMB_THREADS", "").strip()
    if wish:
        return check_threads(wish, "CRUMB_THREADS")
    return available_cores()


def check_threads(value: object, name: str = "threads") -> int:
    """`value` as a thread count; raises ValueError, naming it, unless it is a whole number from 1 to 1,024."""
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    if number > MOST_THREADS:  # each would be started: a slip of the keyboard could stop the machine
        raise ValueError(f"{name} must be at most {MOST_THREADS}, got {value!r}")
    return number


@functools.cache
def available_cores() -> int:
    """Physical cores in the affinity mask, at most the cgroup's quota rounded up, at least 1."""
    cores = _affinity_cores()
    quota = cgroup_cpus(_ROOT)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _affinity_cores() -> int:
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    siblings = set()
    for cpu in allowed:
        try:
            text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:  # a sandbox without /sys: count every logical CPU as a core
            text = str(cpu)
        siblings.add(text.strip())
    return len(siblings)


def cgroup_cpus(root: Path) -> float | None:
    """CPUs that the cgroup quotas of this process allow (the least on the way up), or None where there is no limit.

    `root` is where the file system begins: "/" in life, a made-up tree in tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, read = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            base, read = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        # inside a container the path may be the host's and not exist here; then the mount's root is the container's own
        folder = base / path.lstrip("/")
        while True:
            limit = read(folder)
            if limit is not None:
                limits.append(limit)
            if folder == base:
                break
            folder = folder.parent
    return min(limits, default=None)


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if quota <= 0 or period <= 0 else quota / period
