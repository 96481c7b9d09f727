"""The models that the lesson trains: small, three seeds each, learning rates chosen on validation data."""

from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay, Update
from sandbox.tasks import TASKS, TaskConfig
from sandbox.train.config import TrainConfig

STUDY = "lesson"
SEEDS = 3

RECALL = TASKS["mqar"](vocab_size=16, length=20, pairs=[1, 2, 4])
"""Seven keys, eight values, and up to four pairs in a sequence."""
FORGETTING = TASKS["forgetting"](vocab_size=16, length=24, pairs=[1, 2, 4], num_updates=1)
"""The same, but one key gets a second value, which is then the answer."""
LENGTHS = TASKS["mqar"](vocab_size=128, length=[8, 16, 32, 64], pairs=[2, 4, 8, 16])
"""Sequences of four lengths, each with as many pairs as fit."""

LINEAR = MIXERS["outer"](d_state=8)
SOFTMAX = MIXERS["softmax"]()
GATED = MIXERS["outer"](d_state=8, decay=Decay.data_channel)

INSIDE: dict[str, Config] = {}
"""The models that the lesson looks into, by name."""
BY_LENGTH: list[Config] = []
"""The models that it compares by length."""


def _config(label: str, mixer: MixerConfig, task: TaskConfig, *, width: int, train: TrainConfig) -> Config:
    # The convolution lets a value see the key before it; the start is the one of experiments/every_mixer.
    model = ModelConfig(d_model=width, layout=["short_conv", "mixer"], embedding_std=1.0, tied=False)
    return Config(mixer, task, model=model, train=train, study=STUDY, label=label)


for _name, _mixer, _task in (
    ("linear attention", LINEAR, RECALL),
    ("softmax attention", SOFTMAX, RECALL),
    ("gated, nothing is overwritten", GATED, RECALL),
    ("gated, a value is overwritten", GATED, FORGETTING),
):
    _train = TrainConfig(steps=3000, learning_rates=[1e-3, 3e-3, 1e-2, 3e-2], num_seeds=SEEDS, halving=[0.3])
    INSIDE[_name] = _config(_name, _mixer, _task, width=32, train=_train)

_SIZES = (4, 8, 16)
for _name, _mixer in (
    ("softmax attention", SOFTMAX),
    ("window of 16 tokens", MIXERS["sliding_window"](d_state=16)),
    *((f"linear attention, {rows} rows", MIXERS["outer"](d_state=rows)) for rows in _SIZES),
    *((f"delta rule, {rows} rows", MIXERS["outer"](d_state=rows, update=Update.delta)) for rows in _SIZES),
):
    _train = TrainConfig(
        steps=1200, batch_size=16, learning_rates=[1e-3, 3e-3, 1e-2, 3e-2], num_seeds=SEEDS, halving=[0.25, 0.5]
    )
    BY_LENGTH.append(_config(_name, _mixer, LENGTHS, width=64, train=_train))
