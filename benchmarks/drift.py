"""How far decoding drifts from training: every mixer's `step` beside its form for whole sequences.

Both forms compute the same sums in another order, so they differ by rounding, which a memory may carry on. For
each mixer with its defaults and first parameters, one sequence of random inputs runs through both; the table has
the root mean square of their difference, as a share of that of the outputs, over the last tenth of the tokens so
far. Run: `python benchmarks/drift.py` (writes `results/drift.csv`)
"""

import argparse
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx

from sandbox.models.mixers import MIXERS

RESULTS = pathlib.Path(__file__).parent / "results"
WIDTH = 64
LENGTHS = (1, 10, 100, 1000, 10_000)


def drift(name: str, dtype: str, lengths: tuple[int, ...]) -> list[dict[str, object]]:
    """A table row per number of tokens."""
    longest = max(lengths)
    mixer = MIXERS[name]().make(WIDTH, rngs=nnx.Rngs(0), dtype=jnp.dtype(dtype))
    graph, variables = nnx.split(mixer)
    x = jax.random.normal(jax.random.key(1), (1, longest, WIDTH)).astype(dtype)

    @jax.jit
    def whole(variables: nnx.State, x: jax.Array) -> jax.Array:
        """As a training step computes it, by the driver that is chosen where gradients are taken."""
        return jax.vjp(lambda x: nnx.merge(graph, variables)(x), x)[0]

    @jax.jit
    def stepped(variables: nnx.State, x: jax.Array) -> jax.Array:
        def next_token(state: object, token: jax.Array) -> tuple[object, jax.Array]:
            y, state = nnx.merge(graph, variables).step(token, state)
            return state, y

        state = nnx.merge(graph, variables).init_state(1, longest)
        return jnp.moveaxis(jax.lax.scan(next_token, state, jnp.moveaxis(x, 1, 0))[1], 0, 1)

    trained, decoded = (np.asarray(form(variables, x), np.float64)[0] for form in (whole, stepped))
    rows = []
    for length in lengths:
        last = slice(length - max(1, length // 10), length)
        size = np.sqrt(np.mean(trained[last] ** 2))
        error = np.sqrt(np.mean((trained[last] - decoded[last]) ** 2)) / size
        rows.append({"mixer": name, "dtype": dtype, "tokens": length, "error": float(f"{error:.2g}")})
    return rows


def main() -> None:
    """Measures all mixers, or those that are named, and writes the table if all are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mixers", nargs="*", metavar="mixer", help="default: all, which also writes the table")
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    args = parser.parse_args()
    if unknown := [name for name in args.mixers if name not in MIXERS]:
        parser.error(f"{unknown[0]}: no such mixer; there are {', '.join(MIXERS)}")
    measure = functools.partial(drift, lengths=tuple(args.lengths))
    rows = []
    for name in args.mixers or MIXERS:
        for dtype in ("float32", "bfloat16"):
            rows += measure(name, dtype)
            print(pd.DataFrame(rows[-len(args.lengths) :]).to_string(index=False, header=False), flush=True)
    if not args.mixers and tuple(args.lengths) == LENGTHS:
        pd.DataFrame(rows).to_csv(RESULTS / "drift.csv", index=False)


if __name__ == "__main__":
    main()
