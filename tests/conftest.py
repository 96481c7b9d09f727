"""Strictness for every test: no silent promotion of types or ranks."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
