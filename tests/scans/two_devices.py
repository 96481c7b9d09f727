"""Compares a batch sharded over two devices with the same batch on one; run in a process that has two.

Each argument is a function and an implementation, where `gpu` and `tpu` are the interpreted kernels for these, and
`explicit` and `shard_map` are `auto` from an empty state on a mesh as `jax.make_mesh` makes it, or by hand.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from agreement import in_precision, quickly_compiled, relative_errors, values_and_gradients
from jax.sharding import NamedSharding, PartitionSpec
from scan_arguments import CHUNK, EXAMPLES, B, draw

from sandbox import scans
from sandbox.target import interpreted_kernels

MESH = jax.sharding.Mesh(jax.devices(), "batch")


@functools.cache
def drawn(function):
    return in_precision(draw(function, EXAMPLES[function], CHUNK + 1), np.float32)


def specs(arguments):
    """Sequences are sharded over both devices; what they share is on each."""
    return jax.tree.map(lambda leaf: PartitionSpec("batch" if leaf.shape[0] == B else None), arguments)


def run(function, implementation, arguments):
    run = functools.partial(getattr(scans, function), implementation=implementation, chunk_size=CHUNK)
    if implementation == "pallas":  # XLA cannot divide a kernel, so each device gets its sequences by hand
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


def from_nothing(function, how):
    """An empty state has to be sharded as the batch is."""
    arguments = {name: array for name, array in drawn(function).items() if name != "initial_state"}

    def loss(arguments):
        outputs, _ = getattr(scans, function)(**arguments, chunk_size=CHUNK)
        return jnp.sum(jnp.abs(outputs) ** 2), outputs

    def outputs_and_gradients(arguments):
        (_, outputs), gradients = jax.value_and_grad(loss, has_aux=True)(arguments)
        return gradients | {"outputs": outputs}

    expected = quickly_compiled(outputs_and_gradients)(arguments)
    if how == "explicit":
        mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
        placed = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs(arguments))
        with jax.set_mesh(mesh):
            found = quickly_compiled(outputs_and_gradients)(jax.device_put(arguments, placed))
        assert found["outputs"].sharding.spec[0] == "batch"
    else:
        spec = specs(arguments)
        both = jax.shard_map(
            lambda arguments: loss(arguments)[1],
            mesh=MESH,
            in_specs=(spec,),
            out_specs=PartitionSpec("batch"),
        )
        found = {"outputs": jax.jit(both)(arguments)}
    assert_close(expected, found, (function, how))


def compare(function, implementation):
    if implementation in ("explicit", "shard_map"):
        from_nothing(function, implementation)
        return
    arguments = drawn(function)
    over_both = jax.tree.map(lambda spec: NamedSharding(MESH, spec), specs(arguments))
    arguments = jax.device_put(arguments, over_both)
    if implementation in ("gpu", "tpu"):
        with interpreted_kernels(implementation):
            found = run(function, "pallas", arguments)
    else:
        found = run(function, implementation, arguments)
    assert found["outputs"].sharding.spec == PartitionSpec("batch")
    assert_close(by_one_device(function), found, (function, implementation))


def assert_close(expected, found, which):
    for tensor in found:
        (error,) = relative_errors(*(np.asarray(tensors[tensor])[None] for tensors in (expected, found)))
        assert error < 1e-5, (which, tensor, error)


if __name__ == "__main__":
    assert jax.device_count() == 2
    for argument in sys.argv[1:]:
        compare(*argument.split(":"))
