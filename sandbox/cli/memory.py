"""The memory that a finished run leaves in a process."""

import ctypes
import gc


def release_memory() -> None:
    """Drops what a finished run leaves behind: its compiled programs and the memory that the C library keeps.

    The next run has other shapes, so no program would be used again. glibc keeps what is freed, in pieces, and a
    process grows by about 1 MB a run; `malloc_trim`, which other C libraries do not have, gives it to the system.
    """
    import jax

    jax.clear_caches()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
