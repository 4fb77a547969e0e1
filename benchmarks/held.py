"""Holds this process, and every library in it, to an older instruction set: `--isa avx2` of the benchmarks.

Enters: "avx2" or "avx512" (without bfloat16, VNNI and AMX). Leaves: the process, started anew with benchmarks/held.c
preloaded (Linux on x86, a C compiler). The figures are those of the older kernels on this CPU, at its clock rates.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HELD = ("avx2", "avx512")
_VARIABLE = "HELD_ISA"


def hold(isa: str | None) -> None:
    """Starts this process anew under `isa`; returns at once where it is None or holds already.

    Raises:
        SystemExit: no compiler, or the preloaded library says that CPUID cannot be made to fault.
    """
    if isa is None:
        return
    if os.environ.get(_VARIABLE) == isa:  # the second start: the library is in memory, its file has done its work
        shutil.rmtree(Path(os.environ.pop("LD_PRELOAD")).parent)
        return
    library = Path(tempfile.mkdtemp()) / "held.so"
    source = Path(__file__).with_name("held.c")
    compiler = os.environ.get("CC", "cc")
    try:
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"--isa needs a C compiler: {error}") from None
    environment = {**os.environ, _VARIABLE: isa, "LD_PRELOAD": str(library)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
