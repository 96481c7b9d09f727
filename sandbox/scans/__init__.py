"""Recurrences over time, as pure functions on arrays: update rules, and drivers that run any of them."""

from sandbox.scans.matrix_state import gated_delta_rule, gated_linear_attention
from sandbox.scans.registry import IMPLEMENTATIONS, RULES, resolve_implementation

__all__ = [
    "IMPLEMENTATIONS",
    "RULES",
    "gated_delta_rule",
    "gated_linear_attention",
    "resolve_implementation",
]
