"""Options that came after the first records, so that old runs keep their ids and their tables."""

from typing import Any

ADDED_LATER: dict[tuple[str, str], Any] = {
    ("train", "halving"): [],
    ("train", "most_rates"): 7,
    ("train", "embedding_rate"): 1.0,
    ("train", "free_running"): False,
    ("train", "macro_accuracy"): False,
    ("train", "decayed"): "matrices",
    ("train", "pack"): 1,
    ("mixer", "half_life"): None,
    ("mixer", "product_steps"): 2,
    ("mixer", "erase"): "same",
    ("mixer", "eigenvalues"): "positive",
    ("model", "embedding_std"): 0.02,
    ("model", "scale_embedding"): False,
    ("model", "tied"): True,
    ("model", "scale_readout"): False,
    ("model", "dense"): "own",
    ("model", "branches_per_layer"): None,
}
"""Options that came after the first records -> the value that these runs had, at which the run id stays theirs."""
