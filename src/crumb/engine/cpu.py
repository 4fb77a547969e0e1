"""What this CPU is called and which of the instruction sets that matter to us it has.

Enters: what the operating system says. Leaves: names, for people to read. The engine does not choose its kernels by
them: it asks the CPU itself.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

# as Linux spells them in /proc/cpuinfo
_INTERESTING = (
    *(
        "sse4_2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx_vnni",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512_vnni",
        "avx512_bf16",
    ),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)


def cpu_name() -> str:
    """The model name of the first CPU, or what Python knows of the machine."""
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """The vector instruction sets of this CPU that are of interest here; empty where the system does not tell."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features") or "").split())
    return [name for name in _INTERESTING if name in flags]


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), ""
    )


def _sysctl(key: str) -> str:
    try:
        return subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
