"""Flax NNX modules: sequence mixers, blocks and the language model."""
