"""The rules, the drivers, and the one decision about which driver runs."""

from collections.abc import Callable

from jaxtyping import Array

from sandbox.scans.drivers.chunked import run_chunked
from sandbox.scans.drivers.recurrent import run_recurrent
from sandbox.scans.rules.gated_delta_rule import GATED_DELTA_RULE
from sandbox.scans.rules.gated_linear_attention import GATED_LINEAR_ATTENTION
from sandbox.scans.rules.rule import Rule

RULES: dict[str, Rule] = {
    "gated_linear_attention": GATED_LINEAR_ATTENTION,
    "gated_delta_rule": GATED_DELTA_RULE,
}
"""Every update rule, by the name of its public function."""

Driver = Callable[..., tuple[Array, Array]]
"""`(rule, state, inputs, chunk_size) -> (outputs, final state)`."""

IMPLEMENTATIONS: dict[str, Driver] = {
    "recurrent": run_recurrent,
    "chunked": run_chunked,
}
"""Every driver, by the name that the argument `implementation` takes."""


def resolve_implementation(implementation: str, *, rule: str, num_tokens: int) -> str:
    """The name of the driver that runs `rule` over `num_tokens` tokens when `implementation` is asked for.

    `"auto"` is the recurrent form for a single token, and for a rule without a chunk form; else the chunked
    form.

    Raises:
        ValueError: `implementation` or `rule` is not a known name.
        NotImplementedError: a driver was asked for by name and cannot run this rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is not one of {', '.join(RULES)}")
    has_chunk_form = RULES[rule].chunk is not None
    if implementation == "auto":
        return "chunked" if has_chunk_form and num_tokens > 1 else "recurrent"
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={implementation!r} is not one of auto, {', '.join(IMPLEMENTATIONS)}")
    if implementation == "chunked" and not has_chunk_form:
        raise NotImplementedError(f"implementation='chunked' cannot run {rule}: the rule has no chunk form")
    return implementation
