"""Recurrences over time, as pure functions on arrays: update rules, and drivers that run any of them."""

from sandbox.scans.dispatch import resolve_implementation, run_rule
from sandbox.scans.matrix_state import gated_delta_rule, gated_linear_attention
from sandbox.scans.registry import IMPLEMENTATIONS, RULES
from sandbox.scans.rules.rule import Rule

__all__ = [
    "IMPLEMENTATIONS",
    "RULES",
    "Rule",
    "gated_delta_rule",
    "gated_linear_attention",
    "resolve_implementation",
    "run_rule",
]
