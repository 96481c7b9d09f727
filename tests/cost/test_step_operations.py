"""A guard on the cost of a training step that no noise of a machine disturbs: what the step consists of.

`step_operations.csv` has, for ten mixers, the floating-point operations per token and the number of operations in
the program that XLA compiles: all of them, matrix products, and loops. A change that makes a step cheaper or
dearer updates the table by `python tests/cost/test_step_operations.py`, and says why in the column `reason`.
"""

import csv
import pathlib
import re

import jax
import pytest
from flax import nnx

from sandbox.cost.programs import training
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS

TABLE = pathlib.Path(__file__).with_name("step_operations.csv")
EXPECTED = {row["mixer"]: row for row in csv.DictReader(TABLE.read_text().splitlines())}
BATCH, LENGTH, VOCABULARY, SCORED = 32, 64, 256, 4


def count(mixer):
    """The table row of a mixer, but for the reason."""
    model = nnx.eval_shape(lambda: ModelConfig().make(MIXERS[mixer](), VOCABULARY, rngs=nnx.Rngs(0)))
    program = training(model, BATCH, LENGTH, SCORED)
    text = jax.jit(program.function).lower(*program.arguments).as_text()
    kinds = re.findall(r"stablehlo\.(\w+)", text)
    counts = {"operations": len(kinds), "products": kinds.count("dot_general"), "loops": kinds.count("while")}
    return {"mixer": mixer, "flops_per_token": f"{program.trace().flops_per_token:.0f}"} | {
        name: str(number) for name, number in counts.items()
    }


@pytest.mark.skipif(jax.__version_info__[:2] != (0, 10), reason="other versions write other programs")
@pytest.mark.parametrize("mixer", EXPECTED)
def test_a_step_consists_of_what_the_table_says(mixer):
    expected = {key: value for key, value in EXPECTED[mixer].items() if key != "reason"}
    assert count(mixer) == expected, "if that is intended, run this file, and give the reason in the table"


if __name__ == "__main__":
    rows = [EXPECTED[mixer] | count(mixer) for mixer in EXPECTED]
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
