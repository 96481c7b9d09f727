"""What a command sets up before it works: quiet libraries, and a cache of compiled programs."""

import logging
import os
import pathlib
import warnings

import jax


def silence_third_parties() -> None:
    """Keeps libraries that log to the root logger at INFO from burying the progress lines."""
    for name in ("jax", "orbax", "absl", "etils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def use_compile_cache() -> None:
    """Compiles each program once, and reads it from disk afterwards.

    JAX's own variable, JAX_COMPILATION_CACHE_DIR, names another folder.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sandbox" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
