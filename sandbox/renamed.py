"""What former versions named otherwise, so that a message about it can say what to write today."""

import fnmatch

RENAMED = {
    "experiment": "the folder that collects runs is now study=NAME",
    "model.attention": "now the entry `attention` of model.mixers, as in +mixer@model.mixers.attention=NAME",
    "mixer.kind": "now mixer.name in tables; mixer=NAME chooses it",
    "task.kind": "now task.name in tables; task=NAME chooses it",
    "*=performer *.d_state": "now key_dim; the size knob is favor_features",
    "*=* *.favor_*": "now an option of mixer=performer alone",
    "*.feature_map=favor": "now mixer=performer",
    "*.implementation=pallas_mosaic_gpu": "removed; `pallas` has kernels for GPUs",
}
"""A former key, `key=value`, or `mixer=name key` for a key of one mixer, as a pattern -> what to write today."""


def renamed(*names: str) -> str:
    """The entry of the first of these names that has one, as ` (entry)`, to append to a message; else empty."""
    for name in names:
        for pattern, successor in RENAMED.items():
            if fnmatch.fnmatchcase(name, pattern):
                return f" ({successor})"
    return ""
