"""Chooses the driver that runs a rule, records the choice, and calls the driver."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from sandbox.ran import note_implementation
from sandbox.scans.argument_checks import check_chunk_size, check_inputs
from sandbox.scans.drivers.chunked import run_chunked
from sandbox.scans.drivers.recurrent import run_recurrent
from sandbox.scans.drivers.steps import run_steps
from sandbox.scans.kernels.pallas import run_pallas, why_not_pallas
from sandbox.scans.kernels.plan import rows_and_columns_of
from sandbox.scans.layout import cast, compute_dtype, initial_states, num_tokens
from sandbox.scans.rule import Inputs, Outputs, Rule, State
from sandbox.scans.segments import SegmentIds, mark_starts
from sandbox.taps import Taps, open_taps
from sandbox.target import target_platform

Driver = Callable[..., tuple[Outputs, State]]
"""`(rule, state, inputs, dtype=, chunk_size=) -> (outputs, final state)`."""

IMPLEMENTATIONS: dict[str, Driver] = {
    "recurrent": run_recurrent,
    "steps": run_steps,
    "chunked": run_chunked,
    "pallas": run_pallas,
}
"""Every driver, by its name in the argument `implementation`."""

AUTO = {
    "cpu": ("recurrent", "chunked"),
    "gpu": ("pallas", "pallas"),
    "tpu": ("pallas", "pallas"),
}
"""The drivers that `auto` selects on each platform for T > 1, without and with gradients.

For T = 1 it selects `recurrent`, and `chunked` if the kernels cannot run. On a CPU it selects `steps` in place of
`chunked` for a rule without a chunk form, and for states of no more than `Rule.steps_up_to`.
"""

Run = Callable[[State, Inputs], tuple[Outputs, State]]


def run_rule(
    rule: Rule,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    initial_state: State | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Outputs, State]:
    """Runs `rule` over `inputs` `[B, T, H, …]`, where B or T is one if all sequences or tokens share the input.

    The public functions call this, and so does the user of a rule that is not in `RULES`. Forward mode (`jax.jvp`)
    works with `recurrent`, with `chunked` if the rule has a chunk form, and with `auto` if it selects one of these
    with and without gradients.

    With `segment_ids` a state starts anew where the id changes, if `inputs` have a field `starts`: see `segments`.

    XLA divides all but `pallas` over the devices of a sharded batch. Kernels need
    `jax.shard_map(..., check_vma=False)` over the batch.

    Returns:
        The outputs, leaves `[B, T, H, V]` in `dtype`, and the final state, leaves `[B, H, …]` in float32.

    Raises:
        ValueError: a leaf is not `[B, T, H, …]`, `segment_ids` are not integers `[B, T]`, `implementation` is
            unknown, or `chunk_size` is no power of two.
        NotImplementedError: the named implementation cannot run this rule here, or the rule knows no segments.
    """
    check_chunk_size(chunk_size)
    check_inputs(inputs)
    inputs = mark_starts(rule, inputs, segment_ids)
    if (tapped := open_taps()) is not None:
        return _run_tapped(rule, inputs, tapped, dtype=dtype, initial_state=initial_state)
    state = initial_states(rule, inputs) if initial_state is None else initial_state
    exact = compute_dtype(inputs)
    state = cast(state, exact)
    rows, columns = rows_and_columns_of(state)
    resolve = functools.partial(
        resolve_implementation,
        implementation,
        rule=rule,
        num_tokens=num_tokens(inputs),
        rows=rows,
        columns=columns,
        dtype=exact,
    )

    def run_by(name: str) -> Run:
        driver = IMPLEMENTATIONS[name]
        return lambda state, inputs: driver(rule, state, inputs, dtype=dtype, chunk_size=chunk_size)

    return _run_chosen(run_by, resolve(differentiated=False), resolve(differentiated=True))(state, inputs)


def _run_chosen(run_by: Callable[[str], Run], plain: str, with_gradients: str) -> Run:
    """Runs by the driver `plain`, or by `with_gradients` where gradients are taken, and notes which."""
    choice = note_implementation(plain)
    if plain == with_gradients:
        return run_by(plain)
    run = jax.custom_vjp(run_by(plain))

    def run_forward(state: State, inputs: Inputs) -> tuple[tuple[Outputs, State], Any]:
        choice.name = with_gradients
        return jax.vjp(run_by(with_gradients), state, inputs)

    run.defvjp(run_forward, lambda pullback, gradients: pullback(gradients))
    return run


def _run_tapped(
    rule: Rule, inputs: Inputs, tapped: Taps, *, dtype: DTypeLike, initial_state: State | None
) -> tuple[Outputs, State]:
    """Runs the definition of `rule`, and lets the taps see it."""
    tapped.scans.append((rule, inputs))
    if not tapped.by_mixer:
        inputs = inputs._replace(**{rule.values: tapped.pass_values(getattr(inputs, rule.values))})
    state = initial_states(rule, inputs) if initial_state is None else initial_state
    outputs, state = run_recurrent(rule, cast(state, compute_dtype(inputs)), inputs, dtype=dtype, chunk_size=None)
    if not tapped.by_mixer:
        tapped.read.append(jax.tree.leaves(outputs)[0])  # the real part of complex outputs
    return outputs, state


def resolve_implementation(
    implementation: str,
    *,
    rule: Rule,
    num_tokens: int,
    rows: int = 1,
    columns: int = 1,
    dtype: DTypeLike = jnp.float32,
    differentiated: bool = True,
) -> str:
    """The name of the driver that `implementation` selects for `rule`.

    Args:
        implementation: a name in `IMPLEMENTATIONS`, or "auto".
        rule: the rule to run.
        num_tokens: T.
        rows, columns: K and V of the state of a head, which may be too large for the kernels.
        dtype: precision of the arithmetic: float32, or float64 if an input has it.
        differentiated: whether gradients are taken.

    Raises:
        ValueError: `implementation` is not a known name.
        NotImplementedError: the named driver cannot run this rule here.
    """
    if implementation not in ("auto", *IMPLEMENTATIONS):
        raise ValueError(f"implementation={implementation!r} is not one of auto, {', '.join(IMPLEMENTATIONS)}")
    chosen = implementation
    if implementation == "auto":
        platform = target_platform()
        chosen = "recurrent" if num_tokens == 1 else AUTO[platform][differentiated]
        if (platform, chosen) == ("cpu", "chunked") and (rule.chunk is None or rows * columns <= rule.steps_up_to):
            chosen = "steps"
    reason = why_not_pallas(rule, rows=rows, columns=columns, dtype=dtype) if chosen == "pallas" else None
    if reason is not None:
        if implementation == "auto":
            return "chunked"
        raise NotImplementedError(f"implementation='pallas' cannot run {rule.name} here: {reason}")
    return chosen
