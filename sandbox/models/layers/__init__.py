"""Layers that several mixers share. Parameters are float32; a layer computes in the dtype of its input."""
