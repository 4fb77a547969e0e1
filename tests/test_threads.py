"""How many threads are used: cgroup quotas as the kernel lays them out, the environment, the affinity mask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crumb.engine.threads import cgroup_cpus, check_threads


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        # the least on the way up counts
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
            },
            0.5,
        ),
        # in a container the path is the host's, and the mount's root is the container's own group
        ({"proc/self/cgroup": "0::/kubepods/x\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4.0),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "5:memory:/d\n4:cpu,cpuacct:/d\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/d\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_cgroup_quota(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    assert cgroup_cpus(write(tmp_path, files)) == expected


def threads_in_a_new_process(env: dict[str, str], prefix: list[str]) -> str:
    code = "from crumb.engine.threads import default_threads; print(default_threads())"
    done = subprocess.run([*prefix, sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_environment_and_affinity() -> None:
    env = {key: value for key, value in os.environ.items() if key != "CRUMB_THREADS"}
    assert threads_in_a_new_process({**env, "CRUMB_THREADS": "7"}, []) == "7"
    assert "CRUMB_THREADS must be a whole number of at least 1, got 'many'" in threads_in_a_new_process(
        {**env, "CRUMB_THREADS": "many"}, []
    )
    if sys.platform == "linux":
        cpu = str(min(os.sched_getaffinity(0)))
        assert threads_in_a_new_process(env, ["taskset", "-c", cpu]) == "1"


@pytest.mark.parametrize("value", [0, -1, 1.5, "x", None, True, ""])
def test_thread_counts_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="threads must be a whole number"):
        check_threads(value)
