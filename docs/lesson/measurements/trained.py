"""What is measured on trained models; the first call trains them, for some minutes, into `outputs/lesson`."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx

from measurements.runs import BY_LENGTH, INSIDE, SEEDS
from sandbox.config import Config
from sandbox.cost.state import state_bytes
from sandbox.models.lm import LanguageModel, ModelState
from sandbox.probes import TrainedModel, half_lives_of_layers, implicit_attention_of_layers, load_trained
from sandbox.probes.look import look_inside
from sandbox.probes.memory import memories
from sandbox.probes.recall import first_tests
from sandbox.report.points import make_points, selected_members
from sandbox.report.recommend import measured
from sandbox.run import run
from sandbox.tables import table_of_records

MIXING_LAYER = 1
"""The layer with the mixer in question, after the convolution."""

TOKENS = {"·": 0} | {letter: 1 + i for i, letter in enumerate("ABCDEFG")} | {str(i): 8 + i for i in range(8)}
"""The vocabulary: a filler, seven keys, eight values."""
KEYS, VALUES = list("ABCDEFG"), [str(number) for number in range(8)]
TEXT = list("A1B7C4D2··B·A·D·C·")
"""Four pairs, and then each key once more, as a question."""
ANSWERS = {"A": "1", "B": "7", "C": "4", "D": "2"}


def members(name: str) -> Iterator[TrainedModel]:
    """The trained models of this name, one for each seed, at the learning rate that validation chose."""
    run(INSIDE[name])
    for seed in range(SEEDS):
        yield load_trained(INSIDE[name].directory, seed=seed)


def trained() -> pd.DataFrame:
    """Test accuracy of every model that the lesson looks into, and the learning rate that validation chose."""
    tables = [selected_members(table_of_records(run(config)), "test") for config in INSIDE.values()]
    columns = ["label", "slice", "seed", "learning_rate", "edge", "steps", "accuracy", "chance", "state_bytes"]
    return pd.concat(tables)[columns]


def state() -> pd.DataFrame:
    """The matrix that linear attention holds after each token of the text, a table row per cell."""
    matrices = memories(next(members("linear attention")).model, _numbers(TEXT))[MIXING_LAYER][:, 0, 0]
    token, row, column = np.indices(matrices.shape)
    cells = {"token": token.ravel(), "row": row.ravel(), "column": column.ravel(), "cell": matrices.ravel()}
    return pd.DataFrame(cells)


def answers() -> pd.DataFrame:
    """The probability of each value if a key were asked for after each token of the text."""
    rows = []
    for seed, found in enumerate(members("linear attention")):
        step = nnx.jit(lambda model, token, carried: model.step(token, carried))
        carried: ModelState = found.model.init_state(1, len(TEXT) + 1)
        for place, token in enumerate(TEXT):
            _, carried = step(found.model, _numbers([token])[0], carried)
            for key in KEYS:
                chances = jax.nn.softmax(step(found.model, _numbers([key])[0], carried)[0][0])
                rows += [(seed, place, key, value, float(chances[TOKENS[value]])) for value in VALUES]
    return pd.DataFrame(rows, columns=["seed", "token", "key", "value", "probability"])


def attention() -> pd.DataFrame:
    """How much of each earlier token is read at each question of the text, with the first seed."""
    rows = []
    for name in ("softmax attention", "linear attention"):
        model = next(members(name)).model
        matrix = np.asarray(implicit_attention_of_layers(model, _numbers(TEXT))[MIXING_LAYER])[0]
        matrix = matrix.reshape(len(TEXT), len(TEXT), -1).mean(axis=-1)
        for key, answer in ANSWERS.items():
            question = TEXT.index(key, TEXT.index("·"))
            for place in range(question + 1):
                rows.append((name, key, TEXT.index(answer), place, TEXT[place], matrix[question, place]))
    return pd.DataFrame(rows, columns=["model", "question", "answer_at", "place", "token", "weight"])


def sharpness() -> pd.DataFrame:
    """How much of the weight lies on the right token, how even it is, and how much of it is negative, by seed."""
    rows = []
    for name in ("softmax attention", "linear attention"):
        for seed, found in enumerate(members(name)):
            rows.append({"model": name, "seed": seed} | look_inside(found).summaries[MIXING_LAYER]._asdict())
    return pd.DataFrame(rows)


def half_lives() -> pd.DataFrame:
    """How many gates set which half-life, before and after training, in doublings of one token."""
    tables = []
    for name in ("gated, nothing is overwritten", "gated, a value is overwritten"):
        for seed, found in enumerate(members(name)):
            config = INSIDE[name]
            start = config.model.make(config.mixer, config.task.vocab_size, rngs=nnx.Rngs(params=seed))
            for moment, model in (("before training", start), ("after training", found.model)):
                tables.append(_histogram(model, config).assign(task=name, seed=seed, moment=moment))
    return pd.concat(tables)


def _histogram(model: LanguageModel, config: Config) -> pd.DataFrame:
    batch = first_tests(config.task)
    lives = half_lives_of_layers(model, batch.tokens[:64])[MIXING_LAYER]
    edges = np.arange(-2, 11)
    doublings = np.clip(np.log2(np.maximum(lives, 2.0**-3)), edges[0], edges[-1] - 1)
    counts, _ = np.histogram(doublings, edges)
    return pd.DataFrame({"low": 2.0 ** edges[:-1], "high": 2.0 ** edges[1:], "share": counts / counts.sum()})


def lengths() -> pd.DataFrame:
    """Recall of models trained on sequences of four lengths, and what each carries at a length."""
    records = table_of_records([record for config in BY_LENGTH for record in run(config)])
    points, _ = measured(records, along="length")
    models = {
        config.resolved_label: config.model.make(config.mixer, config.task.vocab_size, rngs=nnx.Rngs(0))
        for config in BY_LENGTH
    }
    edges = make_points(records).groupby("label")["edge"].max()
    points["series"] = points["model"] = points["series"].str.replace(r",? \(.*", "", regex=True)
    points["cost"] = [
        state_bytes(models[name], int(at)) for name, at in zip(points["model"], points["at"], strict=True)
    ]
    steps = max(config.train.steps for config in BY_LENGTH)
    return points.assign(edge=points["model"].map(edges), steps=steps)


def _numbers(text: list[str]) -> jax.Array:
    return jnp.asarray([[TOKENS[token] for token in text]])


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    function.__name__: function
    for function in (trained, state, answers, attention, sharpness, half_lives, lengths)
}
