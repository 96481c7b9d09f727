"""Base of the mixers whose memory is updated by `sandbox.scans.momentum_delta_rule`."""

from sandbox.models.layers.delta_rule import DeltaRuleState, ScalarDecayDeltaRule
from sandbox.scans import MomentumState


class MomentumDeltaRule(ScalarDecayDeltaRule):
    """A delta rule with two matrices per head. Decode state: a `DeltaRuleState` of a `MomentumState`."""

    def init_state(self, batch_size: int, max_len: int) -> DeltaRuleState:
        state = super().init_state(batch_size, max_len)
        return state._replace(memory=MomentumState(state.memory, state.memory))
