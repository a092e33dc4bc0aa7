"""How the C library allocates memory while networks compute."""

import ctypes
import os
import sys

# parameters of mallopt(3), from malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1  # bytes; the highest value, at which hardly anything is given back


def keep_freed_memory() -> None:
    """Let the C library keep freed memory, where it is glibc (Linux); nothing changes elsewhere.

    TensorFlow allocates and frees hundreds of megabytes in each step. By default, glibc gives so large blocks back to
    the system at once, and the system clears each page again when it is next used. Kept, they are used again as they
    are; docs/training.md says what that saves. A process with one of glibc's variables (MALLOC_*, GLIBC_TUNABLES) is
    left as it is.

    Only memory that is allocated later is affected, so call it before TensorFlow starts its threads.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        for parameter, value in ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER)):
            library.mallopt(parameter, value)
