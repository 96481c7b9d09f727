"""Writes `docs/state_bytes.md`, our decode states beside published ones: `python docs/state_bytes_page.py`.

The formulas are those of Zoology's figures (Arora et al. 2023, arXiv:2312.04927): the `state_size` methods of its
layers at commit d88d6f5, which count floats of four bytes. Nothing in the package uses them.
"""

import math
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx

from sandbox.models.mixers import MIXERS

PAGE = pathlib.Path(__file__).with_name("state_bytes.md")
LENGTH = 1024
"""Length of the sequence, for states that grow with it: L in the formulas."""
KERNEL = 3
"""Tokens that the convolution before most of their mixers sees."""


class Part(NamedTuple):
    """An array of our state, or rows of one, that they do not count, and why we carry it."""

    array: str
    why: str
    rows: int | None = None
    """Number of rows along `axis`; negative if they count more than are carried. None: the whole array."""
    axis: int = 1

    def num_bytes(self, state: Mapping[str, jax.ShapeDtypeStruct]) -> int:
        """Bytes of this part of our `state`."""
        size = bytes_of(state[self.array])
        return size if self.rows is None else size // state[self.array].shape[self.axis] * self.rows


@dataclass(frozen=True)
class Comparison:
    """One mixer of ours beside the formula for its state."""

    mixer: str
    options: Mapping[str, Any]
    """Options of our mixer that are not the defaults."""
    formula: str
    """Floats that they count for a layer."""
    sizes: Mapping[str, int]
    """Value of each letter in `formula` except L; d is the width of the model."""
    parts: tuple[Part, ...] = ()
    model: int | None = None
    """Bytes that their figures show for a whole model of two layers."""
    after_conv: bool = True
    """Whether its first layer is a short convolution, rather than the mixer again."""

    def state(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The arrays that one sequence carries, by name."""
        config = MIXERS[self.mixer](**self.options)
        tree = jax.eval_shape(
            lambda: config.make(self.sizes["d"], rngs=nnx.Rngs(0)).init_state(1, LENGTH),
        )
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(path).removeprefix(".") or "state": leaf for path, leaf in leaves}

    def ours(self) -> int:
        """Bytes of our state."""
        return sum(map(bytes_of, self.state().values()))

    def theirs(self) -> int:
        """Bytes that their formula counts."""
        return 4 * eval(self.formula, {"L": LENGTH, **self.sizes})

    def their_model(self) -> int:
        """By their formulas."""
        first = 4 * self.sizes["d"] * KERNEL if self.after_conv else self.theirs()
        return first + self.theirs()


COUNTER = Part("length", "a counter of tokens")
CONV = Part("conv", "the last inputs of the short convolution")
OWN_ROWS = tuple(Part(array, f"the row of `{array}` that the next token brings itself", rows=-1) for array in "kv")

COMPARISONS = (
    Comparison("softmax", {}, "2 * d * L", {"d": 64}, (COUNTER,), model=525_056),
    Comparison(
        "sliding_window", {"d_state": 64}, "2 * d * W", {"d": 128, "W": 64}, (*OWN_ROWS, COUNTER), model=67_072
    ),
    Comparison(
        "bigbird",
        {"d_state": 16, "num_global": 2, "num_window": 3, "num_random": 2},
        "2 * 7 * C * d",
        {"d": 64, "C": 16},
        (
            Part("k", "keys of blocks that only a later token will look at", rows=23),
            Part("v", "their values", rows=23),
            COUNTER,
        ),
    ),
    Comparison("linear_attention", {"d_state": 16}, "(d + 1) * f", {"d": 64, "f": 16}),
    Comparison(
        "performer",
        {"key_dim": 16, "favor_features": 64},
        "(d + 1) * f",
        {"d": 64, "f": 16},
        (Part("memory", "features beyond as many as there are channels in a key", rows=48, axis=2),),
    ),
    Comparison(
        "based",
        {"d_state": 16},
        "(d + 1) * (f * (f + 1) // 2 + f + 1)",
        {"d": 64, "f": 16},
        model=40_548,
    ),
    Comparison(
        "gla", {"d_state": 32, "num_heads": 2}, "H * K * V", {"d": 128, "H": 2, "K": 32, "V": 64}, model=17_920
    ),
    Comparison(
        "rwkv7",
        {"d_state": 64, "num_heads": 2},
        "H * 64 * 64",
        {"d": 128, "H": 2},
        (Part("last_token", "the token before, which the token shift mixes in"),),
        model=34_304,
    ),
    Comparison(
        "mamba",
        {"d_state": 16},
        "2 * d * N",
        {"d": 128, "N": 16},
        (CONV,),
        model=32_768,
        after_conv=False,
    ),
    Comparison(
        "mamba2",
        {"d_state": 16},
        "2 * d * N",
        {"d": 128, "N": 16},
        (CONV,),
        model=32_768,
        after_conv=False,
    ),
    Comparison(
        "deltanet",
        {"d_state": 64, "num_heads": 2},
        "H * K * V",
        {"d": 128, "H": 2, "K": 64, "V": 64},
        (CONV,),
        model=34_304,
    ),
    Comparison(
        "gated_deltanet",
        {"d_state": 64, "num_heads": 2},
        "H * K * V",
        {"d": 128, "H": 2, "K": 64, "V": 128},
        (CONV,),
        model=67_072,
    ),
    Comparison("hyena", {}, "d * L", {"d": 64}, (COUNTER, CONV), model=524_288, after_conv=False),
    Comparison(
        "h3",
        {"d_state": 16},
        "d * N",
        {"d": 64, "N": 16},
        (Part("conv", "the last keys, which are the state of the shift SSM"),),
        model=8_192,
        after_conv=False,
    ),
    Comparison(
        "short_conv",
        {"width": KERNEL},
        "d * W",
        {"d": 64, "W": KERNEL},
        (Part("conv", "the input that the next token brings itself", rows=-1),),
    ),
)

HEADER = f"""# State bytes, ours and published

Made from the code by `python docs/state_bytes_page.py`; the tests compare, and check that each
difference is the sum of its parts.

Bytes of one layer and one sequence in float32, with room for L = {LENGTH} tokens where that matters. *Ours* is
measured: all arrays that decoding carries from token to token. *Theirs* is four times what a formula of Zoology's
code counts (Arora et al. 2023, arXiv:2312.04927, commit d88d6f5), which its figures have on their axis. The last
column is the state of a whole model as its figures show it: of a short convolution ({KERNEL} · d numbers) and the
layer, or of the layer twice where marked ×2; the formulas give these numbers to the byte.

| mixer | setting | ours | theirs | formula | ours - theirs | because of | their model |
| --- | --- | ---: | ---: | --- | ---: | --- | ---: |
"""


def bytes_of(array: jax.ShapeDtypeStruct) -> int:
    """Bytes of one array."""
    return math.prod(array.shape) * array.dtype.itemsize


def page() -> str:
    """The whole page."""
    rows = "".join(map(_row, COMPARISONS))
    compared = {comparison.mixer for comparison in COMPARISONS}
    others = ", ".join(f"`{name}`" for name in MIXERS if name not in compared)
    return f"{HEADER}{rows}\nNo formula is published there for {others}.\n"


def _row(comparison: Comparison) -> str:
    state, ours, theirs = comparison.state(), comparison.ours(), comparison.theirs()
    options = {"d_model": comparison.sizes["d"], **comparison.options}
    formula = comparison.formula.replace("//", "/").replace("*", "·")
    parts = [f"{part.num_bytes(state):+,} {part.why}" for part in comparison.parts]
    cells = [
        f"`{comparison.mixer}`",
        ", ".join(f"{key}={value}" for key, value in options.items()),
        f"{ours:,}",
        f"{theirs:,}",
        f"{formula}, with " + ", ".join(f"{letter}={size}" for letter, size in comparison.sizes.items()),
        f"{ours - theirs:+,}" if ours != theirs else "0",
        "; ".join(parts),
        "" if comparison.model is None else f"{comparison.model:,}" + ("" if comparison.after_conv else " (×2)"),
    ]
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
