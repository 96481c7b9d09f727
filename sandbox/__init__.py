"""Recall against cost: small sequence models on synthetic recall tasks."""

from sandbox.xla_workarounds import disable_ynn_fusions

disable_ynn_fusions()
