"""Writes `docs/state_bytes.md`, which compares our decode states to Zoology's: `python docs/state_bytes_page.py`.

The formulas are the `state_size` methods of Zoology's layers at commit d88d6f5, which count float32 elements for
its figures (Arora et al. 2023, arXiv:2312.04927).
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
"""Length of the sequence, L in the formulas."""
KERNEL = 3
"""Width in tokens of the short convolution in Zoology's first layer."""


class Part(NamedTuple):
    """An array of our state, or rows of one, that Zoology counts differently, and why."""

    array: str
    why: str
    rows: int | None = None
    """Number of rows along `axis` that Zoology leaves out; negative if it adds them. None: the whole array."""
    axis: int = 1

    def num_bytes(self, state: Mapping[str, jax.ShapeDtypeStruct]) -> int:
        """Bytes by which this part makes `state` larger."""
        size = bytes_of(state[self.array])
        return size if self.rows is None else size // state[self.array].shape[self.axis] * self.rows


@dataclass(frozen=True)
class Comparison:
    """One of our mixers and Zoology's formula for its state."""

    mixer: str
    options: Mapping[str, Any]
    """Options of our mixer that differ from the defaults."""
    formula: str
    """Number of floats that Zoology counts per layer."""
    sizes: Mapping[str, int]
    """Value of each letter in `formula` except L; d is the width of the model."""
    parts: tuple[Part, ...] = ()
    model: int | None = None
    """Bytes that Zoology's figures show for a whole model of two layers."""
    after_conv: bool = True
    """Whether the first layer of that model is a short convolution, rather than the mixer again."""

    def state(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Arrays of one sequence's decode state, by name."""
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
        """Bytes by Zoology's formula."""
        return 4 * eval(self.formula, {"L": LENGTH, **self.sizes})

    def their_model(self) -> int:
        """Bytes of the whole model by Zoology's formulas."""
        first = 4 * self.sizes["d"] * KERNEL if self.after_conv else self.theirs()
        return first + self.theirs()


COUNTER = Part("length", "a counter of tokens")
CONV = Part("conv", "the last inputs of the short convolution")
OWN_ROWS = tuple(
    Part(array, f"the row of `{array}` for the next token, which we do not carry", rows=-1) for array in "kv"
)

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
            Part("k", "keys of blocks that only later tokens see", rows=23),
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
        (Part("memory", "features beyond the number of channels of a key", rows=48, axis=2),),
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
        (Part("last_token", "the previous token, for the token shift"),),
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
        (Part("conv", "the next input, which we do not carry", rows=-1),),
    ),
)

HEADER = f"""# State bytes, ours and published

Generated by `python docs/state_bytes_page.py`; tests check that it is up to date and that each difference is the
sum of its parts.

Bytes of one layer and one sequence in float32, for L = {LENGTH} tokens. *Ours* is measured from all arrays that
decoding carries from token to token. *Theirs* is four bytes per float that Zoology's code counts for its figures
(Arora et al. 2023, arXiv:2312.04927, commit d88d6f5). The last column is the state of a whole model in these
figures: a short convolution ({KERNEL} · d floats) and the layer, or the layer twice if marked ×2. The formulas
reproduce these values to the byte.

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
