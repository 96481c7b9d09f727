"""The distance between two computations of one tensor."""

from typing import Any

import numpy as np

SMALLEST_SCALE = 1e-20
"""Smaller tensors count as zero: exp(-200) and products with it underflow to 0 in float32."""


def relative_rms_errors(expected: Any, found: Any) -> np.ndarray:
    """RMS(expected - found) / RMS(expected) of each sequence; the first axis is the batch."""
    expected, found = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    rest = tuple(range(1, expected.ndim))
    error = np.sqrt(np.mean((expected - found) ** 2, axis=rest))
    scale = np.sqrt(np.mean(expected**2, axis=rest))
    return error / np.maximum(scale, SMALLEST_SCALE)
