"""The rules, by name."""

from sandbox.scans.rule import Rule
from sandbox.scans.rules.diagonal_scan import DIAGONAL_SCAN
from sandbox.scans.rules.gated_delta_rule import GATED_DELTA_RULE
from sandbox.scans.rules.gated_linear_attention import GATED_LINEAR_ATTENTION
from sandbox.scans.rules.generalized_delta_rule import GENERALIZED_DELTA_RULE
from sandbox.scans.rules.mlstm import MLSTM
from sandbox.scans.rules.selective_scan import SELECTIVE_SCAN
from sandbox.scans.rules.wkv4 import WKV4

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        GATED_LINEAR_ATTENTION,
        GATED_DELTA_RULE,
        GENERALIZED_DELTA_RULE,
        MLSTM,
        DIAGONAL_SCAN,
        SELECTIVE_SCAN,
        WKV4,
    )
}
"""Every update rule, by the name of its public function."""
