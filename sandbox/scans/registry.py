"""The rules and the drivers, by name."""

from collections.abc import Callable

from sandbox.scans.drivers.chunked import run_chunked
from sandbox.scans.drivers.recurrent import run_recurrent
from sandbox.scans.rules.gated_delta_rule import GATED_DELTA_RULE
from sandbox.scans.rules.gated_linear_attention import GATED_LINEAR_ATTENTION
from sandbox.scans.rules.rule import Outputs, Rule, State

RULES: dict[str, Rule] = {rule.name: rule for rule in (GATED_LINEAR_ATTENTION, GATED_DELTA_RULE)}
"""Every update rule, by the name of its public function."""

Driver = Callable[..., tuple[Outputs, State]]
"""`(rule, state, inputs, dtype=, chunk_size=) -> (outputs, final state)`."""

IMPLEMENTATIONS: dict[str, Driver] = {
    "recurrent": run_recurrent,
    "chunked": run_chunked,
}
"""Every driver, by the name that the argument `implementation` takes."""
