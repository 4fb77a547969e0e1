"""What PyTorch frees stays with the process, so that the next step need not ask the system for it again.

Enters: nothing. Leaves: the C library's allocator told so, once, for the whole process. Knows nothing of tensors. A
step of training makes and frees hundreds of tensors of 10 to 50 MB. glibc takes each above 32 MB from the system and
gives it back, and the system fills every page with zeros: a tenth of a step on a CPU (docs/training.md).
"""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """For processes that train: freed memory is used again and not returned before the end.

    Returns:
        Whether the allocator could be told: False where it is not glibc's, which changes nothing but speed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
