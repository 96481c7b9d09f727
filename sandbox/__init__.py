"""Recall against cost: small sequence models on synthetic recall tasks."""

import os

_YNN_FUSION = "--xla_cpu_experimental_ynn_fusion_type"

# XLA's CPU compiler (jax 0.10 to 0.12) reads uninitialised memory in some matrix products that it fuses for
# YNNPACK, where an operand is a broadcast such as an empty state: silently wrong numbers. Without these fusions
# the training step is as fast or faster. JAX reads the variable when it first compiles, so this comes first.
if _YNN_FUSION not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_YNN_FUSION}=".strip()
