"""What a command sets up before it works: quiet libraries, and a cache of compiled programs."""

import contextlib
import logging
import os
import pathlib
import time
import uuid
import warnings
from typing import Any

from sandbox.cores import num_threads
from sandbox.errors import DamagedFileWarning
from sandbox.xla_workarounds import jax_has_started

FORCED_DEVICES = "--xla_force_host_platform_device_count"
"""XLA's flag for the number of devices. JAX refuses to set that in two ways."""

KEPT_DAYS = 30
"""Days that a compiled program is kept after it was last used."""


def silence_third_parties() -> None:
    """Keeps libraries that log to the root logger from burying the progress lines.

    Orbax, through absl, warns of the half checkpoint of a process that was killed, which it removes.
    """
    for name, level in {
        "jax": logging.WARNING,
        **dict.fromkeys(("orbax", "absl", "etils"), logging.ERROR),
    }.items():
        logging.getLogger(name).setLevel(level)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    # The files of launchers in conf/ have the names of their packages' schemas, and so they are to be found.
    warnings.filterwarnings("ignore", r"\n'hydra/launcher/.*' is validated against ConfigStore schema")
    show_damage_as_lines()


def show_damage_as_lines(command: str = "sandbox") -> None:
    """Prints a warning about a damaged file as one line, without the line of code that gave it."""
    shown = warnings.formatwarning

    def formatted(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> str:
        own = issubclass(category, DamagedFileWarning)
        return f"{command}: {message}\n" if own else shown(message, category, *args, **kwargs)

    warnings.formatwarning = formatted


def use_cores_as_devices() -> None:
    """Makes every core a device of JAX, over which the members of a population are spread. Before JAX starts.

    The variables of XLA and JAX for the number of devices come before what is set here.
    """
    import jax

    asked = "JAX_NUM_CPU_DEVICES" in os.environ or FORCED_DEVICES in os.environ.get("XLA_FLAGS", "")
    if not asked and not jax_has_started():
        jax.config.update("jax_num_cpu_devices", num_threads())


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
    store_programs_whole()
    forget_unused(cache)


def store_programs_whole() -> None:
    """Lets processes share the cache: a program appears in it all at once.

    JAX writes a program in place, so that another process reads half of it, and a killed one leaves half of it for
    good. Under a bound of its own (`jax_compilation_cache_max_size`) JAX takes a lock, and is left as it is.
    """
    from jax._src.lru_cache import LRUCache  # nothing public stands between a program and its file

    store_in_place = LRUCache.put

    def put(self: Any, key: str, value: bytes) -> None:
        if self.eviction_enabled:
            return store_in_place(self, key, value)
        part = self.path / f"{uuid.uuid4().hex}.part"
        try:
            part.write_bytes(value)
            part.replace(self.path / f"{key}-cache")
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    if store_in_place.__module__ == LRUCache.__module__:
        setattr(LRUCache, "put", put)  # noqa: B010 (a plain assignment is an error to mypy)


def forget_unused(cache: pathlib.Path) -> None:
    """Deletes programs last read `KEPT_DAYS` ago or earlier. JAX's own bound takes a lock for every read."""
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for path in [*cache.glob("*-cache"), *cache.glob("*.part")]:
        with contextlib.suppress(OSError):  # another process deletes, too; or the folder may be read only
            if max(path.stat().st_atime, path.stat().st_mtime) < oldest:
                path.unlink()
