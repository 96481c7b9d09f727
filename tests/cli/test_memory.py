"""What a finished run leaves in a process is given back."""

import jax
import jax.numpy as jnp
import psutil
import pytest

from sandbox.cli.memory import release_memory


def test_compiled_programs_are_dropped():
    process = psutil.Process()
    for size in range(2, 42):
        jax.jit(lambda x: jnp.tanh(x @ x).sum())(jnp.ones((size, size)))
    before = len(process.memory_maps(grouped=False))
    release_memory()
    assert len(process.memory_maps(grouped=False)) < before - 40


@pytest.mark.skipif(not psutil.LINUX, reason="malloc_trim belongs to glibc")
def test_memory_that_the_c_library_keeps_goes_back_to_the_system():
    process = psutil.Process()
    pieces = [bytearray(4096) for _ in range(50_000)]
    pieces = pieces[::100]  # 200 MB, of which what is left holds the rest
    before = process.memory_info().rss
    release_memory()
    assert process.memory_info().rss < before - 100_000_000
    assert len(pieces) == 500
