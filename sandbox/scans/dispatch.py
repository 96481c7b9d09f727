"""Which driver runs: the one decision, and the call that follows it."""

from jax.typing import DTypeLike

from sandbox.scans.drivers.layout import cast, compute_dtype, initial_states, num_tokens
from sandbox.scans.registry import IMPLEMENTATIONS, RULES
from sandbox.scans.rules.rule import Inputs, Outputs, Rule, State


def run_rule(
    rule: Rule,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    initial_state: State | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Outputs, State]:
    """Runs `rule` over `inputs`: leaves `[B, T, H, …]`, where B or T may be one for what all share.

    This is what the public functions call, and how a rule that is not in `RULES` is used.

    Returns:
        The outputs, leaves `[B, T, H, V]` in `dtype`, and the final state, leaves `[B, H, …]` in float32.

    Raises:
        ValueError: `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule here.
    """
    if chunk_size is not None and (chunk_size < 1 or chunk_size & (chunk_size - 1)):
        raise ValueError(f"chunk_size={chunk_size} is not a power of two")
    name = resolve_implementation(implementation, rule=rule, num_tokens=num_tokens(inputs))
    if initial_state is None:
        initial_state = initial_states(rule, inputs)
    state = cast(initial_state, compute_dtype(inputs))
    return IMPLEMENTATIONS[name](rule, state, inputs, dtype=dtype, chunk_size=chunk_size)


def resolve_implementation(implementation: str, *, rule: Rule | str, num_tokens: int) -> str:
    """The name of the driver that runs `rule` over `num_tokens` tokens when `implementation` is asked for.

    Raises:
        ValueError: `implementation` or `rule` is not a known name.
        NotImplementedError: a driver was asked for by name and cannot run this rule here.
    """
    if isinstance(rule, str):
        if rule not in RULES:
            raise ValueError(f"rule={rule!r} is not one of {', '.join(RULES)}")
        rule = RULES[rule]
    if implementation == "auto":
        return "chunked" if rule.chunk is not None and num_tokens > 1 else "recurrent"
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={implementation!r} is not one of auto, {', '.join(IMPLEMENTATIONS)}")
    return implementation
