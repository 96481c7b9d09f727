"""Measures the share of a training step that drawing its data takes, timed side by side.

The step is that of a run with a population of one, which draws its data on the device: a model of two layers, a
gated short convolution and softmax attention, width 64, on MQAR with the filler that is slowest to draw. Blocks
of drawing alone alternate with blocks of whole steps, drawing included. The defaults are the largest of Zoology's
training settings at batch 64. Run: `python benchmarks/drawing.py`.
"""

import argparse
import time

import jax
import numpy as np

from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.parts.filler import Filler
from sandbox.train.config import TrainConfig
from sandbox.train.population import advance, draw_training, init_population
from sandbox.train.step import Problem


def make_problem(options: argparse.Namespace) -> Problem:
    """A run that draws and trains `options.steps` steps at a time."""
    return Problem(
        model=ModelConfig(d_model=64, layout=["conv", "mixer"], mixers={"conv": ShortConvConfig()}),
        mixer=SoftmaxConfig(),
        task=MQARConfig(
            vocab_size=options.vocab, length=options.length, pairs=options.pairs, filler=Filler[options.filler]
        ),
        train=TrainConfig(
            steps=10**7, batch_size=options.batch, learning_rates=[2e-3], num_seeds=1, eval_every=options.steps
        ),
    )


def measure(problem: Problem, blocks: int) -> np.ndarray:
    """Seconds per step of drawing and of the whole step, [blocks, 2]; a warm-up block of each comes first."""
    train = problem.train
    population = init_population(problem, seed=0)
    seconds = np.zeros((blocks + 1, 2))
    for block in range(blocks + 1):
        start = block * train.eval_every
        began = time.perf_counter()
        jax.block_until_ready(
            draw_training(problem.task, population.seed, start, train.eval_every, train.batch_size, None)
        )
        drawn = time.perf_counter()
        population, _ = advance(problem, population, start, start + train.eval_every)
        jax.block_until_ready(population)
        seconds[block] = np.diff([began, drawn, time.perf_counter()]) / train.eval_every
    assert bool(population.active.all()), "the member diverged, so what was timed is not training"
    return seconds[1:]


def main() -> None:
    """Parses the options, measures, and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--filler", choices=Filler.__members__, default="random_no_live_keys")
    parser.add_argument("--steps", type=int, default=8, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=5, help="timed blocks of each")
    options = parser.parse_args()
    seconds = measure(make_problem(options), options.blocks)
    print(
        f"jax {jax.__version__} on {jax.default_backend()}: vocabulary {options.vocab}, length {options.length}, ",
        end="",
    )
    print(f"{options.pairs} pairs, batch {options.batch}, filler {options.filler}")
    for name, column in zip(("drawing", "whole step"), seconds.T, strict=True):
        low, median, high = 1e3 * np.quantile(column, [0, 0.5, 1])
        print(f"{name:12}{median:10.2f} ms a step ({low:.2f} to {high:.2f})")
    share = 100 * seconds[:, 0] / seconds[:, 1]
    low, median, high = np.quantile(share, [0, 0.5, 1])
    print(f"drawing is {median:.2f} % of the step ({low:.2f} to {high:.2f} over {options.blocks} blocks)")


if __name__ == "__main__":
    main()
