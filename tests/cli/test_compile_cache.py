"""What one process has compiled, another reads from disk."""

import os
import subprocess
import sys
import time

import pytest
from jax._src.lru_cache import LRUCache
from test_commands import TINY

from sandbox.cli.startup import KEPT_DAYS, forget_unused, store_programs_whole

PROGRAM = """
import collections, sys
import jax
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
from sandbox.cli.main import main
main()
print(*(counts[f"/jax/compilation_cache/cache_{outcome}"] for outcome in ("hits", "misses")))
"""


def hits_and_misses(cache, output_dir):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "mixer=gla", *TINY, f"output_dir={output_dir}"],
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(map(int, done.stdout.splitlines()[-1].split()))


def test_a_process_that_is_killed_while_it_stores_leaves_no_half_program(tmp_path, monkeypatch):
    def write_half(path, value):
        with open(path, "wb") as file:
            file.write(value[: len(value) // 2])
        raise KeyboardInterrupt

    store_programs_whole()
    cache = LRUCache(str(tmp_path), max_size=-1)
    with monkeypatch.context() as context:
        context.setattr(type(cache.path), "write_bytes", write_half)
        with pytest.raises(KeyboardInterrupt):
            cache.put("key", b"program")
    assert cache.get("key") is None
    assert list(tmp_path.iterdir()) == []
    cache.put("key", b"program")
    assert cache.get("key") == b"program"


@pytest.mark.slow(seconds=60)
def test_a_second_process_compiles_nothing(tmp_path):
    _, misses = hits_and_misses(tmp_path / "cache", tmp_path / "first")
    assert misses > 5
    assert hits_and_misses(tmp_path / "cache", tmp_path / "second") == (misses, 0)


def test_programs_that_cannot_be_deleted_are_left(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    (tmp_path / "old-cache").touch()
    os.utime(tmp_path / "old-cache", (0, 0))
    monkeypatch.setattr(type(tmp_path), "unlink", refuse)
    forget_unused(tmp_path)


def test_programs_that_nobody_uses_are_deleted(tmp_path):
    now = time.time()
    for name, days in (("old-cache", KEPT_DAYS + 1), ("new-cache", KEPT_DAYS - 1), ("other", KEPT_DAYS + 1)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - days * 24 * 3600, now - 2 * KEPT_DAYS * 24 * 3600))
    forget_unused(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"new-cache", "other"}
