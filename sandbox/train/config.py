"""The options of training."""

import dataclasses
import enum
import math
from typing import Any, ClassVar

from sandbox.option_checks import AUTO, check_at_least, check_positive_number

AUTO_RATES = [1e-3, 3e-3, 1e-2]
"""The learning rates that `auto` starts with."""


class Loss(enum.Enum):
    """Positions that the training loss averages over."""

    answers = "answers"
    """The positions that the task scores."""
    all = "all"
    """Every position: its target is the answer if one is due, else the next token."""


class Decayed(enum.Enum):
    """Parameters that weight decay shrinks."""

    matrices = "matrices"
    """Matrices and convolutions; norms, biases, skips, decay rates and positions have none."""
    all = "all"
    """Every parameter, as in the code of Zoology."""


@dataclasses.dataclass
class TrainConfig:
    """AdamW with linear warm-up and a cosine to zero, for a population of learning rates × seeds."""

    version: ClassVar[int] = 1
    """Goes up by one when training of the same options comes to give other results."""

    steps: int = 1000
    """Optimiser steps of each member."""
    batch_size: int = 32
    """Sequences per step."""
    pack: int = 1
    """Sequences in one row of a batch, each of which starts from an empty state: a power of two that divides
    `batch_size`. Results are those of `pack=1`, up to rounding; it shows that resets do what they say."""
    loss: Loss = Loss.answers
    """Train on the `answers` alone or, like a language model, on `all` tokens. Scores are always over answers."""
    learning_rates: Any = dataclasses.field(default_factory=lambda: [2e-3, 5e-3])
    """Peak learning rates, a list; the one that is best on validation data is reported. `auto`: three, and one
    more while the best is the lowest or the highest tried; while none answers half right, one above, up to 0.1."""
    most_rates: int = 7
    """Learning rates that `auto` tries at most."""
    embedding_rate: float = 1.0
    """Learning rate of the token embedding, as a multiple of the others'."""
    num_seeds: int = 2
    """Members per learning rate, with seeds `seed`, `seed` + 1, ..."""
    halving: list[float] = dataclasses.field(default_factory=list)
    """Shares of `steps` at which the worse half of the learning rates, on validation data, stops training.
    Empty: all train to the end."""
    warmup: float = 0.1
    """Share of `steps` during which the learning rate rises linearly."""
    weight_decay: float = 0.1
    """Weight decay of the parameters that are `decayed`."""
    decayed: Decayed = Decayed.matrices
    beta1: float = 0.9
    beta2: float = 0.95
    clip_norm: float | None = 1.0
    """Gradients with a larger global norm are scaled down to it. None: no gradient is."""
    num_examples: int | None = None
    """Size of the training set. None: every step draws new examples."""
    eval_every: int = 100
    """Steps between evaluations on validation data."""
    validation_examples: int = 512
    test_examples: int = 2048
    free_running: bool = False
    """Also test models that read their own answers in place of the right ones, at the best learning rate, on tasks
    such as `copy` that show the answers."""
    macro_accuracy: bool = False
    """Also test the accuracy averaged over classes in place of positions, as MAD reports it, at the best learning
    rate."""
    solved_at: float = 0.999
    """Validation accuracy on every slice at which a member stops early. Above 1: never."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "num_seeds",
            "eval_every",
            "validation_examples",
            "test_examples",
        ):
            check_at_least(f"train.{name}", getattr(self, name), 1)
        if self.pack < 1 or self.pack & (self.pack - 1) or self.batch_size % self.pack:
            raise ValueError(
                f"train.pack={self.pack} must be a power of two that divides train.batch_size={self.batch_size}"
            )
        if self.num_examples is not None:
            check_at_least("train.num_examples", self.num_examples, 1)
        if self.learning_rates != AUTO:
            self.learning_rates = _checked_rates(self.learning_rates)
        check_at_least("train.most_rates", self.most_rates, len(AUTO_RATES))
        shares = [share for share in self.halving if isinstance(share, int | float) and 0 < share < 1]
        if self.halving != sorted({*shares}):
            raise ValueError(
                f"train.halving={self.halving} must be rising shares of train.steps, above 0 and below 1"
            )
        if self.halving and len(self.first_rates) < 2:
            raise ValueError(f"train.halving={self.halving} needs two train.learning_rates or more to choose from")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"train.warmup={self.warmup} must be between 0 and 1, a share of train.steps")
        for name in ("weight_decay", "embedding_rate"):
            check_at_least(f"train.{name}", getattr(self, name), 0)
        if self.clip_norm is not None:
            check_positive_number("train.clip_norm", self.clip_norm)
        if math.isnan(self.solved_at):
            raise ValueError(f"train.solved_at={self.solved_at} must be a number")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"train.{name}={getattr(self, name)} must be at least 0 and below 1")

    def halves_between(self, start: int, stop: int) -> bool:
        """Whether one of `halving` is reached after step `start`, at `stop` at the latest."""
        return any(start < share * self.steps <= stop for share in self.halving)

    @property
    def first_rates(self) -> list[float]:
        """The learning rates that are always tried, in one population."""
        return AUTO_RATES if self.learning_rates == AUTO else list(self.learning_rates)


def _checked_rates(rates: object) -> list[float]:
    if not isinstance(rates, list | tuple):
        raise ValueError(f"train.learning_rates={rates} must be {AUTO} or a list of positive numbers")
    if not rates:
        raise ValueError("train.learning_rates=[] is empty: give at least one positive number")
    for i, rate in enumerate(rates):
        check_positive_number(f"train.learning_rates[{i}]", rate)
    if len({*rates}) < len(rates):
        raise ValueError(f"train.learning_rates={rates} names a value twice")
    return [float(rate) for rate in rates]
