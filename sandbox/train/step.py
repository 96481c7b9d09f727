"""One optimiser step of one member, and its scores: pure functions of arrays."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.lm import LanguageModel, ModelConfig
from sandbox.models.mixer import MixerConfig
from sandbox.shapes import PRNGKey
from sandbox.tasks import TaskConfig
from sandbox.tasks.task import Example
from sandbox.train.config import Decayed, Loss, TrainConfig
from sandbox.train.random_keys import parameter_key

Params = Any
"""The trained arrays of a model, as nested dicts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """The model, task and options that stay fixed while a population trains.

    Compared and hashed by identity, so that it can be a static argument of `jax.jit`.
    """

    model: ModelConfig
    mixer: MixerConfig
    task: TaskConfig
    train: TrainConfig

    def make_model(self, key: PRNGKey) -> LanguageModel:
        """A model with parameters drawn from `key`."""
        return self.model.make(self.mixer, self.task.vocab_size, rngs=nnx.Rngs(params=key))

    @functools.cached_property
    def abstract_model(self) -> LanguageModel:
        """The model with shapes in place of arrays."""
        return nnx.eval_shape(lambda: self.make_model(parameter_key(0)))

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """Clipping by global norm, then AdamW (Loshchilov & Hutter 2019) without its learning rate."""
        decayed = jax.tree.map(
            lambda variable: self.train.decayed is Decayed.all or not isinstance(variable, NoWeightDecay),
            nnx.state(self.abstract_model, nnx.Param),
            is_leaf=lambda node: isinstance(node, nnx.Variable),
        )
        clip_norm = self.train.clip_norm
        steps = [
            optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm),
            optax.scale_by_adam(self.train.beta1, self.train.beta2),
            optax.add_decayed_weights(self.train.weight_decay, mask=nnx.to_pure_dict(decayed)),
        ]
        if self.train.embedding_rate != 1.0:
            rest = jax.tree.map(lambda _: False, nnx.to_pure_dict(decayed))
            steps.append(optax.masked(optax.scale(self.train.embedding_rate), rest | {"embedding": True}))
        return optax.chain(*steps)

    def model_with(self, params: Params) -> LanguageModel:
        """The model with these parameters."""
        graph, state = nnx.split(self.abstract_model)
        return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(params)))

    def apply(self, params: Params, batch: Example) -> Float[Array, "B M N"]:
        """Logits at the scored positions; of `train.pack` sequences at a time, where the batch has so many."""
        model, pack, (size, length) = self.model_with(params), self.train.pack, batch.tokens.shape
        if pack == 1 or size % pack:
            return model(batch.tokens, batch.positions)
        sequence = jnp.arange(size)[:, None] % pack
        logits = model(
            batch.tokens.reshape(-1, pack * length),
            (batch.positions + sequence * length).reshape(size // pack, -1),
            jnp.broadcast_to(sequence, (size, length)).reshape(-1, pack * length),
        )
        return logits.reshape(size, -1, logits.shape[-1])


class Member(NamedTuple):
    """One member of a population, or a whole population, whose leaves have a leading axis P."""

    params: Params
    opt_state: optax.OptState
    learning_rate: Float[Array, "*P"]
    seed: Int[Array, "*P"]
    steps: Int[Array, "*P"]
    """Optimiser steps taken."""
    active: Bool[Array, "*P"]
    """False once the member is frozen, because it solved the task, diverged or was halved."""
    diverged: Bool[Array, "*P"]
    halved: Bool[Array, "*P"]
    """Whether its learning rate was among the worse half at one of `train.halving`."""


class Scores(NamedTuple):
    """Scores of single sequences."""

    accuracy: Float[Array, "*PE"]
    """Share of scored positions answered right."""
    exact: Float[Array, "*PE"]
    """1 where all of them are."""
    loss: Float[Array, "*PE"]
    """Mean cross entropy per scored position, in nats."""


def schedule(train: TrainConfig, step: Int[Array, ""]) -> Float[Array, ""]:
    """Share of the peak learning rate at `step`: linear warm-up, then a cosine to zero.

    With w steps of warm-up, the share of step i < w is (i + 1) / (w + 1), that of step w is 1: a warm-up of all
    steps reaches the peak at the last one.
    """
    warmup = min(round(train.warmup * train.steps), train.steps - 1)
    return optax.warmup_cosine_decay_schedule(
        init_value=1.0 / (warmup + 1),
        peak_value=1.0,
        warmup_steps=warmup,
        decay_steps=train.steps,
    )(step)


def init_member(problem: Problem, learning_rate: Float[Array, ""], seed: Int[Array, ""]) -> Member:
    """A member before its first step. Its parameters depend on the seed alone."""
    model = problem.make_model(parameter_key(seed))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    return Member(
        params=params,
        opt_state=problem.optimizer.init(params),
        learning_rate=learning_rate,
        seed=seed,
        steps=jnp.zeros((), jnp.int32),
        active=jnp.ones((), bool),
        diverged=jnp.zeros((), bool),
        halved=jnp.zeros((), bool),
    )


def position_scores(
    problem: Problem, params: Params, batch: Example
) -> tuple[Float[Array, "B M"], Float[Array, "B M"]]:
    """Cross entropy in nats, and 1 for a right answer, at each of the M scored positions."""
    logits = problem.apply(params, batch)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    return losses, are_right(jnp.argmax(logits, axis=-1), batch).astype(jnp.float32)


def are_right(answers: Int[Array, "B M"], batch: Example) -> Bool[Array, "B M"]:
    """Whether each answer is the target, or one of the legal ones where there are several."""
    if batch.legal is None:
        return answers == batch.targets
    return jnp.take_along_axis(batch.legal, answers[..., None], axis=-1)[..., 0]


def scored_everywhere(batch: Example) -> Example:
    """The same sequences, scored at all positions but the last: the target is an answer if due, or the next token.

    Padding after a sequence shorter than T is learned like other tokens.
    """
    size, length = batch.tokens.shape
    due, targets = answers_by_position(batch)
    return batch._replace(
        positions=jnp.broadcast_to(jnp.arange(length)[None], (size, length)),
        targets=jnp.where(due, targets, jnp.roll(batch.tokens, -1, axis=1)),
        weights=jnp.where(due, 1.0, jnp.ones((size, length)).at[:, -1].set(0.0)),
        legal=None,
    )


def answers_by_position(batch: Example) -> tuple[Bool[Array, "B T"], Int[Array, "B T"]]:
    """Whether an answer is due at each position, and which; 0 where none is."""
    size, length = batch.tokens.shape
    rows = jnp.broadcast_to(jnp.arange(size)[:, None], batch.positions.shape)
    places = jnp.where(batch.weights > 0, batch.positions, length)  # unused ones lie past the end: dropped
    due = jnp.zeros((size, length), bool).at[rows, places].set(True, mode="drop")
    return due, jnp.zeros_like(batch.tokens).at[rows, places].set(batch.targets, mode="drop")


def train_step(
    problem: Problem, member: Member, step: Int[Array, ""], batch: Example
) -> tuple[Member, Float[Array, ""]]:
    """The member after step number `step` on this batch, and its loss before that step.

    A member with a loss or gradient that is not finite keeps its parameters and is marked as diverged.
    """
    if problem.train.loss is Loss.all:
        batch = scored_everywhere(batch)

    def loss_of(params: Params) -> Float[Array, ""]:
        losses, _ = position_scores(problem, params, batch)
        return jnp.sum(losses * batch.weights) / jnp.maximum(jnp.sum(batch.weights), 1.0)

    loss, gradients = jax.value_and_grad(loss_of)(member.params)
    finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradients))
    updates, opt_state = problem.optimizer.update(gradients, member.opt_state, member.params)
    rate = member.learning_rate * schedule(problem.train, step)
    params = jax.tree.map(lambda param, update: param - rate * update, member.params, updates)
    keep = member.active & finite
    return Member(
        params=_where(keep, params, member.params),
        opt_state=_where(keep, opt_state, member.opt_state),
        learning_rate=member.learning_rate,
        seed=member.seed,
        steps=member.steps + keep.astype(jnp.int32),
        active=keep,
        diverged=member.diverged | (member.active & ~finite),
        halved=member.halved,
    ), loss


def score(problem: Problem, batch: Example, params: Params) -> Scores:
    """Scores of each sequence of a batch."""
    losses, correct = position_scores(problem, params, batch)
    total = jnp.maximum(jnp.sum(batch.weights, axis=-1), 1.0)
    return Scores(
        accuracy=jnp.sum(correct * batch.weights, axis=-1) / total,
        exact=jnp.all((correct > 0) | (batch.weights == 0), axis=-1).astype(jnp.float32),
        loss=jnp.sum(losses * batch.weights, axis=-1) / total,
    )


def _where(condition: Bool[Array, ""], new: Any, old: Any) -> Any:
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)
