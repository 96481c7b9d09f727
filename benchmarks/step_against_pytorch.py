"""Seconds per training step of this project's model and of the same model in PyTorch, side by side on the CPU.

The model: token embedding, a gated short convolution of width 3, one softmax head, pre-norm residuals with
RMSNorm, no MLP, readout tied to the embedding, width 64. Both sides clip gradients to norm 1 and use AdamW with
weight decay 0.1 on matrices. Before anything is timed, the script asserts that both have the same number of
parameters, the same logits with the same weights, and the same losses in their first steps.

Ours is the step of a run with a population of one; drawing the data is included. PyTorch runs eagerly, with a
fused AdamW, a constant learning rate, and data drawn and converted beforehand, which favours it. It is timed with
every position scored, as in Zoology, and with the labelled positions only. Ours scores the labelled positions,
padded to the number that the hardest sequence has. PyTorch is timed with several numbers of threads, and the
headline ratio takes the fastest; XLA uses all cores.

Blocks of all of them are interleaved, in an order that rotates. On a busy machine, PyTorch with as many threads as
cores can become many times slower, because its threads wait for each other in busy loops;
OMP_WAIT_POLICY=PASSIVE in the environment prevents that. With `sandbox` and torch installed:
`python benchmarks/step_against_pytorch.py --out benchmarks/results/step_against_pytorch.csv`.
"""

import argparse
import csv
import itertools
import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from pytorch_model import IGNORED, TorchModel, make_step

from sandbox.cost.timing import speed_ratio, spread
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.task import Example
from sandbox.train.config import TrainConfig
from sandbox.train.population import advance, draw_training, init_population
from sandbox.train.step import Member, Problem

WIDTH, TAPS, LEARNING_RATE = 64, 3, 2e-3
CHECKED_STEPS = 3
SCORED = {"every": "every position", "labelled": "labelled positions only"}
COLUMNS = ["vocabulary", "length", "pairs", "batch", "implementation", "scored"]
COLUMNS += ["median_seconds", "low", "high", "ratio_to_ours"]

Pair = tuple[torch.Tensor, torch.Tensor]
"""Tokens and labels of one step, [B, T]."""


def make_problem(vocab: int, length: int, pairs: list[int], batch: int, steps: int) -> Problem:
    """Our side: a population of one, which draws its data `steps` steps at a time."""
    train = TrainConfig(
        steps=10**7,  # with no warm-up, a learning rate that is constant over the few steps that are timed
        warmup=0.0,
        batch_size=batch,
        learning_rates=[LEARNING_RATE],
        num_seeds=1,
        weight_decay=0.1,
        clip_norm=1.0,
        eval_every=steps,
    )
    model = ModelConfig(d_model=WIDTH, layout=["conv", "mixer"], mixers={"conv": ShortConvConfig(TAPS)})
    task = MQARConfig(vocab_size=vocab, length=length, pairs=pairs)
    return Problem(model=model, mixer=SoftmaxConfig(num_heads=1), task=task, train=train)


def make_torch(
    problem: Problem, params: dict[str, Any], scored: str
) -> tuple[TorchModel, Callable[..., torch.Tensor]]:
    """The PyTorch side with these parameters of ours: the model and its training step."""
    train, model = problem.train, TorchModel(problem.task.vocab_size, WIDTH, TAPS)
    model.load(params)
    return model, make_step(
        model,
        scored == "labelled",
        learning_rate=LEARNING_RATE,
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        clip_norm=train.clip_norm,
    )


def to_torch(batch: Example) -> Pair:
    """The same batch as tokens and labels."""
    tokens, positions, targets, weights = (np.asarray(leaf) for leaf in batch[:4])
    labels = np.full(tokens.shape, IGNORED, np.int64)
    sequence, index = np.nonzero(weights)
    labels[sequence, positions[sequence, index]] = targets[sequence, index]
    return torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(labels)


def check_equivalent(problem: Problem, population: Member, batch: Example, pairs: list[Pair]) -> None:
    """Asserts the same number of parameters, the same logits at every position, and the same training losses."""
    params = jax.tree.map(lambda leaf: leaf[0], population.params)
    model, _ = make_torch(problem, params, "every")
    ours = sum(leaf.size for leaf in jax.tree.leaves(params))
    theirs = sum(parameter.numel() for parameter in model.parameters())
    assert ours == theirs, f"{ours} parameters against {theirs}"

    few = jax.tree.map(lambda leaf: leaf[:8], batch)
    every = jnp.tile(jnp.arange(problem.task.max_len), (len(few.tokens), 1))
    logits = np.asarray(problem.apply(params, few._replace(positions=every)))
    with torch.no_grad():
        difference = np.abs(logits - model.readout(model.hidden(pairs[0][0][:8])).numpy()).max()
    assert difference < 1e-4, f"logits differ by {difference}"

    loss = advance(problem, population, 0, CHECKED_STEPS)[1][0]
    for scored in SCORED:
        _, step = make_torch(problem, params, scored)
        other = np.mean([step(*pair).item() for pair in pairs[:CHECKED_STEPS]])
        assert abs(loss - other) < 1e-4, f"mean loss of {CHECKED_STEPS} steps: {loss} against {other} ({scored})"
    print(f"{ours} parameters on both sides, logits within {difference:.1e}, first losses within 1e-4")


class Contestant(NamedTuple):
    """One implementation, and a function that runs one block and returns its seconds per step."""

    name: str
    scored: str
    block: Callable[[], float]


def our_contestant(problem: Problem, population: Member) -> Contestant:
    """Ours: a block is as many steps as a run takes between evaluations, from drawing data to the mean loss."""
    steps = problem.train.eval_every
    starts = itertools.count(0, steps)

    def block() -> float:
        nonlocal population
        start = next(starts)
        began = time.perf_counter()
        population, _ = advance(problem, population, start, start + steps)
        seconds = (time.perf_counter() - began) / steps
        assert bool(population.active.all()), "the member diverged, so what was timed is not training"
        return seconds

    return Contestant("ours", "labelled", block)


def torch_contestant(
    problem: Problem, params: dict[str, Any], pairs: list[Pair], scored: str, threads: int
) -> Contestant:
    """PyTorch with `threads` threads: a block is one pass over `pairs`, after an untimed step."""
    _, step = make_torch(problem, params, scored)

    def block() -> float:
        torch.set_num_threads(threads)
        assert torch.get_num_threads() == threads
        step(*pairs[0])
        began = time.perf_counter()
        for pair in pairs:
            step(*pair)
        return (time.perf_counter() - began) / len(pairs)

    return Contestant(f"torch, {threads} thread{'s' * (threads > 1)}", scored, block)


def measure(contestants: list[Contestant], blocks: int) -> np.ndarray:
    """Seconds per step, [blocks, contestants], after a warm-up block of each."""
    for contestant in contestants:
        contestant.block()
    seconds = np.zeros((blocks, len(contestants)))
    for number in range(blocks):
        for index in np.roll(np.arange(len(contestants)), -number):
            seconds[number, index] = contestants[index].block()
    return seconds


def compare(vocab: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures all contestants at one vocabulary, prints the results, and returns the rows of the table."""
    problem = make_problem(vocab, options.length, options.pairs, options.batch, options.steps)
    population = init_population(problem, 0)
    params = jax.tree.map(lambda leaf: leaf[0], population.params)
    drawn = draw_training(problem.task, population.seed, 0, options.steps, options.batch, None)
    examples = [jax.tree.map(lambda leaf, i=i: leaf[0, i], drawn) for i in range(options.torch_steps)]
    pairs = [to_torch(example) for example in examples]
    print(f"\nvocabulary {vocab}, length {options.length}, pairs {options.pairs}, batch {options.batch}")
    check_equivalent(problem, population, examples[0], pairs)

    contestants = [our_contestant(problem, population)]
    for scored, threads in itertools.product(SCORED, options.threads):
        contestants.append(torch_contestant(problem, params, pairs, scored, threads))
    seconds = measure(contestants, options.blocks)

    print(f"{'implementation':18}{'scored':10}{'ms a step':>10}{'10-90 %':>20}{'to ours':>9}{'95 %':>18}")
    rows = []
    for index, (name, scored, _) in enumerate(contestants):
        low, median, high = spread(seconds[:, index])
        least, times, most = speed_ratio(seconds[:, 0], seconds[:, index])
        quantiles = f"{1e3 * low:.2f} to {1e3 * high:.2f}"
        interval = f"{least:.2f} to {most:.2f}" if index else ""
        print(f"{name:18}{scored:10}{1e3 * median:10.2f}{quantiles:>20}{times:9.2f}{interval:>18}")
        results = [f"{number:.5g}" for number in (median, low, high, times)]
        asked = " ".join(map(str, options.pairs))
        setting = [vocab, options.length, asked, options.batch, name, scored]
        rows.append(dict(zip(COLUMNS, setting + results, strict=True)))
    for scored, what in SCORED.items():
        entered = [i for i, contestant in enumerate(contestants) if i and contestant.scored == scored]
        best = min(entered, key=lambda i: np.median(seconds[:, i]))
        least, times, most = speed_ratio(seconds[:, 0], seconds[:, best])
        chosen = f"{contestants[best].name}, the fastest of those with {options.threads}"
        print(f"PyTorch, {what}: {times:.2f} times our step ({least:.2f} to {most:.2f}; {chosen})")
    return rows


def main() -> None:
    """Parses the options, measures, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocab", type=int, nargs="+", default=[8192, 256])
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument(
        "--pairs",
        type=int,
        nargs="+",
        default=[4],
        help="pairs of a sequence: 4 is Zoology's setting at length 64",
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=15, help="timed blocks of each implementation")
    parser.add_argument("--steps", type=int, default=100, help="steps in a block of ours")
    parser.add_argument("--torch-steps", type=int, default=20, help="steps in a block of PyTorch")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts of PyTorch")
    parser.add_argument("--out", type=pathlib.Path, help="CSV file to write")
    options = parser.parse_args()
    if not CHECKED_STEPS <= options.torch_steps <= options.steps:
        parser.error(f"--torch-steps must be between {CHECKED_STEPS} and --steps")
    jax.config.update("jax_platforms", "cpu")
    print(f"jax {jax.__version__}, torch {torch.__version__}, Python {platform.python_version()}")
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    print(f"{cores} cores, all for XLA; torch.get_num_threads() starts at {threads}, measured: {options.threads}")
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    print(f"load average of the last minute {os.getloadavg()[0]:.2f}, OMP_WAIT_POLICY {policy}")
    rows = [row for vocab in options.vocab for row in compare(vocab, options)]
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
