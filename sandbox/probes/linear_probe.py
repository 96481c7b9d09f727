"""A linear probe of a memory: is an answer in it right after it was written, and still there when it is asked?"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from sandbox.models.lm import LanguageModel, ModelState
from sandbox.models.mixer import Mixer, State
from sandbox.probes.attention import mixer_inputs
from sandbox.probes.memory import over_time
from sandbox.probes.recall import NOWHERE, first_tests, part_of, sources
from sandbox.shapes import Tokens
from sandbox.state_kinds import StateKind, kinds_of
from sandbox.tasks import TaskConfig
from sandbox.tasks.streams import Split
from sandbox.tasks.task import Example
from sandbox.train.evaluation import EVALUATION_BATCH, draw_evaluation

STAGES = 9
"""Points in time between answer and question at which the memory is probed."""

COLUMNS = ["layer", "way", "accuracy", "error", "questions"]

_FITTED_ON = 4  # batches of validation data
_EXAMPLES = 8  # that the probe has of an answer at least
_AT_ONCE = 16  # sequences whose states are held at once
_RIDGE = 1e-4  # of the mean variance within a class


def held_answers(model: LanguageModel, task: TaskConfig) -> pd.DataFrame:
    """The share of answers that a linear probe finds in each memory, from their writing until they are asked.

    A question at token t, whose answer was written at token s, is asked of the memory after token
    s + w (t - 1 - s): the mixer of the layer takes a step from there, with what it reads at token t. From its
    output a linear discriminant, fitted on validation sequences, tells the answer, and is scored on the first test
    sequences. Every w and layer has a discriminant of its own.

    Returns the columns `layer`, `way` (w, from 0 to 1), `accuracy`, `error` (its standard error), `questions`; no
    rows for a model without recurrent memory. Answers that are too rare for the probe to learn do not count, and
    where all are there are no rows either.
    """
    fitted = [
        _outputs(model, task, draw_evaluation(task, Split.VALIDATION, start * EVALUATION_BATCH))
        for start in range(_FITTED_ON)
    ]
    tested, answers = _outputs(model, task, first_tests(task))
    known = np.concatenate([answers for _, answers in fitted])
    rows = []
    for layer, outputs in tested.items():
        seen = np.concatenate([outputs[layer] for outputs, _ in fitted], axis=1)
        for way, seen_here, here in zip(np.linspace(0, 1, STAGES), seen, outputs, strict=True):
            right = probe(seen_here, known, here, answers)
            if len(right):
                error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
                rows.append((layer, way, right.mean(), error, len(right)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _outputs(
    model: LanguageModel, task: TaskConfig, batch: Example
) -> tuple[dict[int, Float[np.ndarray, "S Q D"]], Int[np.ndarray, "Q"]]:
    """What each layer with a memory gives to each question at each stage, and the right answers."""
    found, positions = sources(task, batch), np.asarray(batch.positions)
    asked = (np.asarray(batch.weights) > 0) & (found != NOWHERE)
    since = np.where(asked, positions - 1 - found, 0)
    ways = np.linspace(0, 1, STAGES)[:, None, None]
    moments = np.where(asked, found, 0) + np.rint(ways * since).astype(int)
    parts: dict[int, list[np.ndarray]] = {}
    for start in range(0, len(found), _AT_ONCE):
        few, rows = part_of(batch, start, start + _AT_ONCE), slice(start, start + _AT_ONCE)
        outputs = _asked_at(model, few.tokens, few.positions, jnp.asarray(moments[:, rows]))
        for layer, values in outputs.items():
            parts.setdefault(layer, []).append(np.asarray(values)[:, asked[rows]])
    answers = np.asarray(batch.targets)[asked]
    return {layer: np.concatenate(values, axis=1) for layer, values in parts.items()}, answers


@nnx.jit
def _asked_at(
    model: LanguageModel, tokens: Tokens, positions: Int[Array, "B M"], moments: Int[Array, "S B M"]
) -> dict[int, Float[Array, "S B M D"]]:
    """What each layer with a memory gives at `positions`, had it read the tokens up to `moments` alone before."""

    def with_memory(state: ModelState) -> dict[int, State]:
        return {number: layer.mixer for number, layer in enumerate(state) if _has_memory(layer.mixer)}

    states: dict[int, State] = over_time(model, tokens, with_memory)
    inputs = mixer_inputs(model, tokens)
    return {number: _layer_asked_at(*inputs[number], states[number], positions, moments) for number in states}


def _has_memory(state: State) -> bool:
    return any(kind is StateKind.memory for kind, _ in kinds_of(state))


def _layer_asked_at(
    mixer: Mixer,
    x: Float[Array, "B T D"],
    states: State,
    positions: Int[Array, "B M"],
    moments: Int[Array, "S B M"],
) -> Float[Array, "S B M D"]:
    """The mixer's steps, one for each question and stage; a state's arrays are [T, B, ...], or [T] for all B."""
    sequence = jnp.arange(len(x))[:, None]
    questions = x[sequence, positions].reshape(-1, x.shape[-1])

    def answer(question: Array, state: State) -> Array:
        of_one = [leaf[None] if whole.ndim > 1 else leaf for leaf, whole in zip(state, leaves, strict=True)]
        return mixer.step(question[None], jax.tree.unflatten(structure, of_one))[0][0]

    def at_stage(moment: Int[Array, "B M"]) -> Array:
        then = [leaf[moment, sequence] if leaf.ndim > 1 else leaf[moment] for leaf in leaves]
        flat = [leaf.reshape(moment.size, *leaf.shape[2:]) for leaf in then]
        return jax.vmap(answer)(questions, flat).reshape(*moment.shape, -1)

    leaves, structure = jax.tree.flatten(states)
    return jax.lax.map(at_stage, moments)


def probe(
    seen: Float[np.ndarray, "N D"],
    known: Int[np.ndarray, "N"],
    outputs: Float[np.ndarray, "Q D"],
    answers: Int[np.ndarray, "Q"],
) -> Bool[np.ndarray, "R"]:
    """Whether Fisher's linear discriminant, fitted on `seen` and its answers, finds those of `outputs`.

    Classes share one covariance, and are as frequent as in `known`: the discriminant of class c is
    xᵀ Σ⁻¹ μ_c - μ_cᵀ Σ⁻¹ μ_c / 2 + log p_c. Answers with fewer than 8 examples are left out on both sides. In
    outputs that are not finite nothing is found.
    """
    classes, counts = np.unique(known, return_counts=True)
    classes, counts = classes[counts >= _EXAMPLES], counts[counts >= _EXAMPLES]
    fitted, scored = np.isin(known, classes), np.isin(answers, classes)
    if not len(classes) or not (np.isfinite(seen).all() and np.isfinite(outputs).all()):
        return np.zeros(scored.sum(), bool)
    seen, number = seen[fitted].astype(float), np.searchsorted(classes, known[fitted])
    means = np.zeros((len(classes), seen.shape[1]))
    np.add.at(means, number, seen)
    means /= counts[:, None]
    within = np.cov(seen - means[number], rowvar=False, bias=True)
    within += _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    weights = np.linalg.lstsq(within, means.T)[0]  # which takes outputs that never vary too
    offsets = np.log(counts / counts.sum()) - np.einsum("cd,dc->c", means, weights) / 2
    found = (outputs[scored] @ weights + offsets).argmax(axis=1)
    return classes[found] == answers[scored]
