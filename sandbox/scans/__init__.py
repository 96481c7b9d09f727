"""Recurrences over time, as pure functions on arrays: update rules, and drivers that run any of them.

Every rule has a public function (`gated_linear_attention`, `wkv4`, …), and all of them share one contract:

- Arrays are `[B, T, H, …]`, or `[B, T, …]` in rules without heads, with T >= 1. Inputs are float32 or bfloat16, in
  `diagonal_scan` also complex. Nothing is scaled, queries included.
- The result is `(outputs, final_state)`: outputs in the dtype of the values (`v` or `x`), the state after the last
  token in float32 (complex64). A call with T = 1, which is how a model decodes, is one step without a loop.
- A log decay is finite and <= 0. -200 forgets everything, because exp(-200) underflows to 0 in float32.
- Every array argument has a gradient, the initial state included. The functions work under `jit`, `vmap`, `grad`,
  `lax.scan` and `jax.checkpoint`.
- `initial_state` has the form of the final state; None means the empty state.
- `segment_ids` `[B, T]`, integers, put several sequences in one row: where the id differs from that of the token
  before, the state is empty again before the token is read or written. The initial state belongs to the first
  segment of a row, and the final state to the last one. A nan or an infinity may reach later segments. None means
  one segment.
- `implementation` is a name in `IMPLEMENTATIONS`, or "auto" (see `resolve_implementation`).
- `chunk_size` is the number of tokens per chunk, a power of two; None means what is fastest. The backward pass
  keeps the state at the start of each chunk, whether or not the rule has a chunk form.
- `ValueError` means a wrong shape or dtype, an unknown `implementation`, or a `chunk_size` that is not a power of
  two; `NotImplementedError` means that the named implementation cannot run the rule.

Kernels compute in float32; the other implementations keep float64 inputs in float64.
"""

from sandbox.scans.dispatch import IMPLEMENTATIONS, resolve_implementation, run_rule
from sandbox.scans.layout import at_first_step, one_after_the_other
from sandbox.scans.rule import Rule
from sandbox.scans.rules.diagonal_scan import DIAGONAL_SCAN, diagonal_scan
from sandbox.scans.rules.gated_delta_rule import GATED_DELTA_RULE, gated_delta_product, gated_delta_rule
from sandbox.scans.rules.gated_linear_attention import GATED_LINEAR_ATTENTION, gated_linear_attention
from sandbox.scans.rules.generalized_delta_rule import GENERALIZED_DELTA_RULE, generalized_delta_rule
from sandbox.scans.rules.mlstm import MLSTM, MLSTMState, mlstm
from sandbox.scans.rules.momentum_delta_rule import MOMENTUM_DELTA_RULE, MomentumState, momentum_delta_rule
from sandbox.scans.rules.parts.draws import draw_batch
from sandbox.scans.rules.selective_scan import SELECTIVE_SCAN, selective_scan
from sandbox.scans.rules.wkv4 import NOTHING_YET, WKV4, WKV4State, wkv4

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        GATED_LINEAR_ATTENTION,
        GATED_DELTA_RULE,
        GENERALIZED_DELTA_RULE,
        MLSTM,
        MOMENTUM_DELTA_RULE,
        DIAGONAL_SCAN,
        SELECTIVE_SCAN,
        WKV4,
    )
}
"""Every update rule, by the name of its public function."""

__all__ = [
    "IMPLEMENTATIONS",
    "NOTHING_YET",
    "RULES",
    "MLSTMState",
    "MomentumState",
    "Rule",
    "WKV4State",
    "at_first_step",
    "diagonal_scan",
    "draw_batch",
    "gated_delta_product",
    "gated_delta_rule",
    "gated_linear_attention",
    "generalized_delta_rule",
    "mlstm",
    "momentum_delta_rule",
    "one_after_the_other",
    "resolve_implementation",
    "run_rule",
    "selective_scan",
    "wkv4",
]
