"""Compiles every kernel for accelerators that this machine lacks: every rule and example, forward and backward.

    python .ci/compile_kernels.py v5e v6e h100 a100

TPUs need the package libtpu; GPUs need jax-cuda12-plugin, jax-cuda12-pjrt and nvidia-cuda-nvcc-cu12, in the
versions that `jax[tpu]` and `jax[cuda12]` name. A target whose packages are missing is reported and skipped.
Prints a line per kernel, and fails if one does not compile. Lowering alone, which the tests check, does not notice
a kernel that needs more memory than the chip has, or an operation that a generation of chips lacks.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Otherwise libtpu looks for a machine with a TPU, and keeps other processes from using it.
os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh, SingleDeviceSharding

from sandbox.scans import RULES, Rule, draw_batch, run_rule
from sandbox.scans.layout import initial_states

SIZES = {"batch": 2, "tokens": 77, "heads": 2, "rows": 64, "columns": 64}
"""A length that no chunk divides, as in sweeps, and the customary width."""


SEGMENTS = "segments"
"""The last kind of each rule, with several segments in a row."""


@dataclass(frozen=True)
class Target:
    """An accelerator, and a device of it that only compiles."""

    platform: str
    device: AbstractDevice
    packages: tuple[str, ...]
    make_device: Callable[[], Any]


def tpu(kind: str, topology: str) -> Target:
    """A TPU chip, from libtpu's own description."""

    def make_device() -> Any:
        return topologies.get_topology_desc(
            topology_name=topology, platform="tpu", chips_per_host_bounds=(1, 1, 1)
        ).devices[0]

    return Target("tpu", AbstractDevice(device_kind=kind, num_cores=1, platform="tpu"), ("libtpu",), make_device)


def gpu(kind: str, *, capability: tuple[int, int], multiprocessors: int, shared_memory: int) -> Target:
    """A GPU, from a description whose numbers are in the CUDA C++ programming guide and in data sheets."""
    major, minor = capability
    description = f"""
        platform_name: "CUDA"
        device_description_str: "{kind}"
        dnn_version_info {{ major: 9 minor: 10 }}
        gpu_device_info {{
          cuda_compute_capability {{
            major: {major} minor: {minor} {"feature_extension: ACCELERATED_FEATURES" if major >= 9 else ""}
          }}
          core_count: {multiprocessors}
          fpus_per_core: {128 if major >= 9 else 64}
          threads_per_warp: 32
          threads_per_block_limit: 1024
          threads_per_core_limit: 2048
          thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
          block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
          registers_per_core_limit: 65536
          registers_per_block_limit: 65536
          shared_memory_per_block: 49152
          shared_memory_per_block_optin: {shared_memory}
          shared_memory_per_core: {shared_memory + 1024}
          l2_cache_size: 41943040
          memory_bandwidth: 2000000000000
          device_memory_size: 80000000000
          clock_rate_ghz: 1.4
        }}
    """

    def make_device() -> Any:
        return topologies.get_topology_desc(
            "", platform="cuda", target_config=description, topology="1x1x1"
        ).devices[0]

    packages = ("jax_cuda12_plugin", "jax_plugins.xla_cuda12", "nvidia.cuda_nvcc")
    return Target("cuda", AbstractDevice(device_kind=kind, num_cores=None, platform="gpu"), packages, make_device)


TARGETS = {
    "v5e": tpu("TPU v5 lite", "v5e:1x1"),
    "v6e": tpu("TPU v6 lite", "v6e:1x1"),
    "a100": gpu("NVIDIA A100", capability=(8, 0), multiprocessors=108, shared_memory=166912),
    "h100": gpu("NVIDIA H100", capability=(9, 0), multiprocessors=132, shared_memory=232448),
}


def kernels(dtype: str) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, Any]]]:
    """Yields a name, a program and the shapes of its arguments per kernel; chunked rules also step by step."""
    for rule in RULES.values():
        variants = [(rule.name, rule, list(rule.examples))]
        if rule.chunk is not None:
            by_steps = dataclasses.replace(rule, chunk=None)
            variants.append((f"{rule.name} by steps", by_steps, list(rule.examples)[-1:]))
        for name, variant, kinds in variants:
            for kind in (*kinds, SEGMENTS):
                arguments = shapes(variant, kinds[-1] if kind == SEGMENTS else kind, dtype)
                if kind == SEGMENTS:
                    arguments = with_starts(*arguments)
                yield f"{name}, {kind}: forward", functools.partial(forward, variant), arguments
                yield f"{name}, {kind}: backward", functools.partial(backward, variant), arguments


def shapes(rule: Rule, kind: str, dtype: str) -> tuple[Any, Any]:
    """The state and the inputs of a batch."""
    inputs = jax.eval_shape(lambda: draw_batch(rule.examples[kind], jax.random.key(0), **SIZES))
    inputs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), inputs)
    return jax.eval_shape(functools.partial(initial_states, rule), inputs), inputs


def with_starts(state: Any, inputs: Any) -> tuple[Any, Any]:
    """The same for rows of several segments."""
    shape = (SIZES["batch"], SIZES["tokens"], SIZES["heads"], 1)
    return state, inputs._replace(starts=jax.ShapeDtypeStruct(shape, "float32"))


def forward(rule: Rule, state: Any, inputs: Any) -> Any:
    """Outputs and final state."""
    dtype = jnp.result_type(*jax.tree.leaves(inputs))
    return run_rule(rule, inputs, dtype=dtype, initial_state=state, implementation="pallas")


def backward(rule: Rule, state: Any, inputs: Any) -> Any:
    """All gradients, after a forward kernel that keeps states."""
    results, pullback = jax.vjp(functools.partial(forward, rule), state, inputs)
    return pullback(results)


def compile_for(target: Target, device: Any, program: Callable[..., Any], arguments: Any) -> None:
    """Traces, lowers and compiles a program for a device that this machine lacks."""
    sharding = SingleDeviceSharding(device)
    arguments = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), arguments
    )
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=target.device)):
        jax.jit(program).trace(*arguments).lower(lowering_platforms=(target.platform,)).compile()


def is_installed(package: str) -> bool:
    """Whether a package or module can be imported."""
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(package) is not None
    return False


def main() -> int:
    """Compiles for all named targets; returns 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", choices=TARGETS)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the inputs")
    options = parser.parse_args()
    failed = 0
    for name in options.targets:
        target = TARGETS[name]
        missing = [package for package in target.packages if not is_installed(package)]
        if missing:
            print(f"{name}: SKIPPED, not installed: {', '.join(missing)}", flush=True)
            continue
        device = target.make_device()
        for kernel, program, arguments in kernels(options.dtype):
            start = time.perf_counter()
            try:
                compile_for(target, device, program, arguments)
                outcome = "compiled"
            except Exception as error:
                failed += 1
                outcome = f"FAILED, {type(error).__name__}: {' '.join(str(error).split())[:500]}"
            print(f"{name}: {kernel}: {outcome} ({time.perf_counter() - start:.1f} s)", flush=True)
    if failed:
        print(f"{failed} kernels do not compile", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
