"""What a command sets up before it works: quiet libraries, and a cache of compiled programs."""

import contextlib
import logging
import os
import pathlib
import time
import warnings

KEPT_DAYS = 30
"""Days that a compiled program is kept after it was last used."""


def silence_third_parties() -> None:
    """Keeps libraries that log to the root logger at INFO from burying the progress lines."""
    for name in ("jax", "orbax", "absl", "etils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def use_compile_cache() -> None:
    """Compiles each program once, however small it is, and reads it from disk afterwards.

    Programs that nobody has used for `KEPT_DAYS` are deleted. JAX's own variables, such as
    JAX_COMPILATION_CACHE_DIR for another folder, come before what is set here.
    """
    import jax

    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sandbox" / "jax"
    options = {
        "jax_compilation_cache_dir": str(cache),
        "jax_persistent_cache_min_compile_time_secs": 0.0,  # a run has dozens of programs of a tenth of a second
    }
    for name, value in options.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    forget_unused(cache)


def forget_unused(cache: pathlib.Path) -> None:
    """Deletes programs last read `KEPT_DAYS` ago or earlier. JAX's own bound takes a lock for every read."""
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for path in cache.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another process deletes, too
            if max(path.stat().st_atime, path.stat().st_mtime) < oldest:
                path.unlink()
