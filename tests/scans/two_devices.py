"""Compares a batch that two devices share with the same batch on one; run in a process that has two.

Each argument is a function and an implementation, where `gpu` and `tpu` are the interpreted kernels for these.
"""

import functools
import sys

import jax
import numpy as np
from agreement import in_precision, quickly_compiled, relative_errors, values_and_gradients
from jax.sharding import NamedSharding, PartitionSpec
from scan_arguments import CHUNK, EXAMPLES, B, draw

from sandbox import scans
from sandbox.scans.target import interpreted_kernels

MESH = jax.sharding.Mesh(jax.devices(), "batch")


@functools.cache
def drawn(function):
    return in_precision(draw(function, EXAMPLES[function], CHUNK + 1), np.float32)


def specs(arguments):
    """Sequences lie over both devices; what they have in common is on each."""
    return jax.tree.map(lambda leaf: PartitionSpec("batch" if leaf.shape[0] == B else None), arguments)


def run(function, implementation, arguments):
    run = functools.partial(getattr(scans, function), implementation=implementation, chunk_size=CHUNK)
    if implementation == "pallas":  # XLA cannot cut a kernel up: each device is given its sequences by hand
        run = by_hand(run, specs(arguments))
    return quickly_compiled(functools.partial(values_and_gradients, run))(arguments)


def by_hand(run, specs):
    batch = PartitionSpec("batch")
    local = jax.shard_map(
        lambda arguments: run(**arguments), mesh=MESH, in_specs=(specs,), out_specs=batch, check_vma=False
    )
    return lambda **arguments: local(arguments)


@functools.cache
def by_one_device(function):
    return run(function, "recurrent", drawn(function))


def compare(function, implementation):
    arguments = drawn(function)
    over_both = jax.tree.map(lambda spec: NamedSharding(MESH, spec), specs(arguments))
    arguments = jax.device_put(arguments, over_both)
    if implementation in ("gpu", "tpu"):
        with interpreted_kernels(implementation):
            found = run(function, "pallas", arguments)
    else:
        found = run(function, implementation, arguments)
    assert found["outputs"].sharding.spec == PartitionSpec("batch")
    expected = by_one_device(function)
    for tensor in expected:
        (error,) = relative_errors(*(np.asarray(tensors[tensor])[None] for tensors in (expected, found)))
        assert error < 1e-5, (function, implementation, tensor, error)


if __name__ == "__main__":
    assert jax.device_count() == 2
    for argument in sys.argv[1:]:
        compare(*argument.split(":"))
