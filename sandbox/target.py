"""The kind of device that a program is traced for, and whether its kernels are interpreted."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_interpreted: contextvars.ContextVar[str | None] = contextvars.ContextVar("interpreted", default=None)


def target_platform() -> str:
    """`cpu`, `gpu` or `tpu`: that of the interpreted kernels, of the abstract device in scope, or of this machine.

    An abstract device (`jax.sharding.use_abstract_mesh`) lowers a program for hardware that this machine lacks.
    """
    if (platform := _interpreted.get()) is not None:
        return platform
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def kernels_are_interpreted() -> bool:
    """Whether `implementation="pallas"` runs its kernels in Pallas' interpreter."""
    return _interpreted.get() is not None


@contextlib.contextmanager
def interpreted_kernels(platform: str) -> Iterator[None]:
    """In its scope `implementation="pallas"` runs the kernels for `platform`, `gpu` or `tpu`, on any machine.

    Pallas' interpreter executes them slowly, for tests. A program that `jax.jit` has traced outside the scope is
    not traced again.
    """
    if platform not in ("gpu", "tpu"):
        raise ValueError(f"platform={platform!r} is not one of gpu, tpu")
    token = _interpreted.set(platform)
    try:
        yield
    finally:
        _interpreted.reset(token)
