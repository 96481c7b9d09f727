"""Trains the models of others on the batches, and by the recipe, that ours are trained with.

The task, the recipe, seeds and learning rates are read from `conf/experiment/training_parity.yaml`. A seed draws
the same training data on both sides. Each member appends its evaluations to `references.csv`; those that it has
already are not trained again. With the extra `parity` installed:
`python experiments/training_parity/train_references.py`
"""

import argparse
import itertools
import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from references import REFERENCES
from torch import nn

from sandbox.cli.compose import conf_dir, from_hydra, register_schema
from sandbox.config import Config
from sandbox.tasks.streams import Split
from sandbox.tasks.task import Example
from sandbox.train.evaluation import EvaluationSet
from sandbox.train.population import draw_training
from sandbox.train.step import schedule

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "references.csv"
MEMBER = ["label", "learning_rate", "seed"]


class Batch(NamedTuple):
    """Tokens [B, T] and what is asked about them, [B, M]."""

    tokens: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def to_torch(example: Example) -> Batch:
    """The same batch in PyTorch."""
    tokens, positions, targets, weights = (torch.from_numpy(np.array(leaf)) for leaf in example[:4])
    return Batch(tokens.long(), positions.long(), targets.long(), weights)


def answers(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits at the scored positions, [B, M, N]."""
    logits = model(batch.tokens)
    return logits.gather(1, batch.positions[..., None].expand(-1, -1, logits.shape[-1]))


def accuracy(model: nn.Module, batches: list[Batch]) -> np.ndarray:
    """Share of right answers of each sequence."""
    shares = []
    model.eval()
    with torch.no_grad():
        for batch in batches:
            right = (answers(model, batch).argmax(-1) == batch.targets) * batch.weights
            shares.append((right.sum(-1) / batch.weights.sum(-1)).numpy())
    model.train()
    return np.concatenate(shares)


def optimizer(model: nn.Module, config: Config) -> torch.optim.AdamW:
    """AdamW that decays matrices, without those that ours excepts too: rates of decay and shares."""
    decays = {True: [], False: []}
    for name, parameter in model.named_parameters():
        excepted = any(part in name for part in ("A_log", "time_mix"))
        decays[parameter.ndim > 1 and not excepted].append(parameter)
    train = config.train
    groups = [
        {"params": decays[True], "weight_decay": train.weight_decay},
        {"params": decays[False], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1.0, betas=(train.beta1, train.beta2))


def train(label: str, config: Config, rate: float, seed: int, validation: EvaluationSet) -> pd.DataFrame:
    """The evaluations of one member, a row each; stops where one of ours would."""
    recipe, task = config.train, config.task
    torch.manual_seed(seed)
    model = REFERENCES[label](task.vocab_size, task.max_len)
    steps = optimizer(model, config)
    shares = np.asarray(jax.vmap(lambda step: schedule(recipe, step))(jnp.arange(recipe.steps)))
    batches = [Batch(*(leaf[:count] for leaf in to_torch(batch))) for batch, count in validation.parts]
    rows, began = [], time.monotonic()
    for first in range(0, recipe.steps, recipe.eval_every):
        drawn = draw_training(task, jnp.array([seed]), first, recipe.eval_every, recipe.batch_size, None)
        for index in range(recipe.eval_every):
            batch = to_torch(jax.tree.map(lambda leaf, index=index: leaf[0, index], drawn))
            losses = F.cross_entropy(answers(model, batch).transpose(1, 2), batch.targets, reduction="none")
            steps.zero_grad(set_to_none=True)
            ((losses * batch.weights).sum() / batch.weights.sum()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            for group in steps.param_groups:
                group["lr"] = rate * float(shares[first + index])
            steps.step()
        scores = accuracy(model, batches)
        rows.append([first + recipe.eval_every, scores.mean().item(), time.monotonic() - began])
        if min(scores[mask].mean() for mask in validation.slices.values()) >= recipe.solved_at:
            break
    frame = pd.DataFrame(rows, columns=["step", "validation_accuracy", "seconds"])
    return frame.assign(label=label, learning_rate=rate, seed=seed)[[*MEMBER, *frame.columns]]


def main() -> None:
    """Trains what is missing in the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--references", nargs="+", choices=REFERENCES, default=[*REFERENCES])
    options = parser.parse_args()
    torch.set_num_threads(1)  # the operations are too small to share
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = from_hydra(compose("config", overrides=["experiment=training_parity"]))
    validation = EvaluationSet(config.task, Split.VALIDATION, config.train.validation_examples)
    done = set()
    if RESULTS.is_file():
        done = set(pd.read_csv(RESULTS)[MEMBER].itertuples(index=False, name=None))
    seeds = range(config.seed, config.seed + config.train.num_seeds)
    for label, seed, rate in itertools.product(options.references, seeds, config.train.learning_rates):
        if (label, rate, seed) not in done:
            rows = train(label, config, rate, seed, validation)
            rows.to_csv(RESULTS, mode="a", header=not RESULTS.exists(), index=False, lineterminator="\n")
            last = rows.iloc[-1]
            print(label, rate, seed, last["step"], f"{last['validation_accuracy']:.3f}", flush=True)


if __name__ == "__main__":
    main()
