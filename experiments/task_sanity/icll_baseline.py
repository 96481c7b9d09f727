"""Scores a predictor that counts n-grams within each sequence on the `icll` of this experiment, as a baseline.

At each question the predictor takes the longest context of at most n tokens that occurred earlier in the sequence,
and answers with the token that followed it most often. Run: `python experiments/task_sanity/icll_baseline.py`
"""

import collections
import dataclasses
import pathlib

import jax
import numpy as np
import pandas as pd

from sandbox.tasks import TASKS, TaskConfig
from sandbox.tasks.streams import Split, sample_batch

EXAMPLES = 500


def task_of_the_run() -> TaskConfig:
    """The task with the options that the records of this experiment have."""
    records = pd.read_csv(pathlib.Path(__file__).with_name("records.csv"))
    run = records[records["task.name"] == "icll"].iloc[0]
    names = [field.name for field in dataclasses.fields(TASKS["icll"])]
    return TASKS["icll"](**{name: int(run[f"task.{name}"]) for name in names})


def predict(tokens: list[int], longest: int) -> int:
    """The token that most often followed the longest context that occurred before; token 0 if there is none."""
    for n in range(longest, -1, -1):
        context = tokens[len(tokens) - n :]
        followers = [tokens[i + n] for i in range(len(tokens) - n) if tokens[i : i + n] == context]
        if followers:
            return collections.Counter(followers).most_common(1)[0][0]
    return 0


def main() -> None:
    """Prints the share of legal answers for each n."""
    task = task_of_the_run()
    batch = jax.jit(lambda: sample_batch(task, jax.random.key(0), Split.TEST, 0, EXAMPLES))()
    batch = jax.tree.map(np.asarray, batch)
    for longest in range(6):
        right = [
            batch.legal[row, question, predict(batch.tokens[row, : position + 1].tolist(), longest)]
            for row in range(EXAMPLES)
            for question, position in enumerate(batch.positions[row])
            if batch.weights[row, question]
        ]
        print(f"contexts of up to {longest}: {100 * np.mean(right):.1f} % of {len(right):,} answers are legal")


if __name__ == "__main__":
    main()
