"""Writes `docs/mixers.md`, the table of all mixers, from the mixers: `python docs/mixers_page.py`.

Equations and papers come from each mixer's `Card`; shapes, bytes and arithmetic are measured from its decode state
and its decoding step.
"""

import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sandbox.cost.flops import count_flops
from sandbox.models.mixer import Mixer, MixerConfig
from sandbox.models.mixers import MIXERS

PAGE = pathlib.Path(__file__).with_name("mixers.md")
D_MODEL, MAX_LEN = 64, 1021  # a prime, so that an axis as long as the sequence is known by its size

HEADER = f"""# All mixers

Made from the code by `python docs/mixers_page.py`; the tests compare. Letters: T time, D model width, H heads, K
rows and V columns of a head's memory, N numbers that an SSM keeps for a channel, W window. The column
`d_state` says what `mixer.d_state` sets.

State and arithmetic are measured, at `model.d_model={D_MODEL}` and each mixer's defaults in float32: the arrays
that one sequence carries from token to token, and the multiplications and additions of one decoding step (`step`),
projections included. T is the longest sequence that the state has room for: {MAX_LEN:,} in bytes and arithmetic.

| mixer | equation | forgets | writes | `d_state` | state carried | bytes | FLOPs per token | paper |
| --- | --- | --- | --- | --- | --- | ---: | ---: | --- |
"""


def page() -> str:
    """The whole page."""
    return HEADER + "".join(_row(name, kind) for name, kind in MIXERS.items())


def _row(name: str, kind: type[MixerConfig]) -> str:
    mixer = kind().make(D_MODEL, rngs=nnx.Rngs(0))
    state = jax.eval_shape(lambda: mixer.init_state(1, MAX_LEN))
    num_bytes = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    cells = [
        f"`{name}`",
        kind.card.equation,
        kind.card.decay,
        kind.card.update,
        kind.card.d_state,
        ", ".join(_shapes(state)),
        f"{num_bytes:,}",
        f"{_flops(mixer, state):,.0f}",
        kind.card.paper,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _shapes(state: Any) -> list[str]:
    """`name [rows, columns]` of every array, without the batch axis."""
    shapes = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        names = [str(getattr(key, "name", getattr(key, "idx", ""))) for key in path]
        sizes = ["T" if size == MAX_LEN else str(size) for size in leaf.shape[1:]]
        label = ".".join(name for name in names if not name.isdigit())
        shapes.append(f"{label} [{', '.join(sizes)}]".strip() if leaf.shape else label)
    return shapes


def _flops(mixer: Mixer, state: Any) -> float:
    graph, variables = nnx.split(mixer)
    token = jax.ShapeDtypeStruct((1, D_MODEL), jnp.float32)
    return count_flops(
        lambda variables, x, state: nnx.merge(graph, variables).step(x, state), variables, token, state
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
