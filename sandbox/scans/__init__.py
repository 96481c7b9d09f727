"""Recurrences over time, as pure functions on arrays: update rules, and drivers that run any of them."""

from sandbox.scans.channelwise import diagonal_scan, selective_scan, wkv4
from sandbox.scans.dispatch import IMPLEMENTATIONS, resolve_implementation, run_rule
from sandbox.scans.matrix_state import gated_delta_rule, gated_linear_attention, generalized_delta_rule, mlstm
from sandbox.scans.registry import RULES
from sandbox.scans.rule import Rule
from sandbox.scans.rules.mlstm import MLSTMState
from sandbox.scans.rules.wkv4 import NOTHING_YET, WKV4State

__all__ = [
    "IMPLEMENTATIONS",
    "NOTHING_YET",
    "RULES",
    "MLSTMState",
    "Rule",
    "WKV4State",
    "diagonal_scan",
    "gated_delta_rule",
    "gated_linear_attention",
    "generalized_delta_rule",
    "mlstm",
    "resolve_implementation",
    "run_rule",
    "selective_scan",
    "wkv4",
]
