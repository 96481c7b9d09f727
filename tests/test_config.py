"""The root config: what identifies a run, and that every file under conf/ composes."""

import dataclasses
import pathlib

import pytest
import yaml
from flax import nnx
from hydra import compose, initialize_config_dir
from test_saved_config import save

from sandbox.cli.compose import conf_dir, from_hydra, register_schema
from sandbox.config import Config, Tracker, mixer_name, plain
from sandbox.errors import InputError
from sandbox.models.mixers import MIXERS
from sandbox.run import run
from sandbox.saved_config import read_config
from sandbox.tasks import TASKS

EXPERIMENTS = sorted(path.stem for path in pathlib.Path(conf_dir(), "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def composed():
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        yield lambda *overrides: from_hydra(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize(
    ("group", "name"), [("mixer", name) for name in MIXERS] + [("task", name) for name in TASKS]
)
def test_every_mixer_and_task_by_its_name(composed, group, name):
    table = {"mixer": MIXERS, "task": TASKS}[group]
    assert getattr(composed(f"{group}={name}"), group) == table[name]()


def test_defaults_are_those_of_the_dataclasses(composed):
    assert composed() == Config(MIXERS["outer"](), TASKS["mqar"]())


def test_a_hybrid_from_the_command_line(composed):
    config = composed(
        "+mixer@model.mixers.far=softmax", "model.mixers.far.num_heads=2", "model.layout=[mixer,far]"
    )
    assert config.model.mixers["far"] == MIXERS["softmax"](num_heads=2)


HYBRIDS = {
    "griffin": ["rglru", "rglru", "sliding_window"],
    "jamba": ["mamba"] * 7 + ["softmax"],
    "zamba": (["mamba"] * 6 + ["softmax"]) * 2,
    "samba": ["mamba", "sliding_window"],
    "based": ["short_conv", "based", "short_conv", "sliding_window", "short_conv"],
    "kimi_linear": ["kda"] * 3 + ["softmax"],
    "qwen3_next": ["gated_deltanet"] * 3 + ["softmax"],
    "xlstm": ["mlstm"] * 7 + ["slstm"],
}
"""The mixer of each layer that the presets under conf/model must have."""


def test_presets_of_hybrids(composed):
    presets = {path.stem for path in pathlib.Path(conf_dir(), "model").glob("*.yaml")}
    assert presets == HYBRIDS.keys()
    for name, expected in HYBRIDS.items():
        config = composed(f"model={name}", "model.d_model=16")
        mixers = config.model.layer_mixers(config.mixer)
        assert [mixer_name(mixer) for mixer in mixers] == expected, name
        assert config.resolved_label == f"{name}, {mixer_name(config.mixer)}"
        nnx.eval_shape(lambda config=config: config.model.make(config.mixer, 20, rngs=nnx.Rngs(0)))


def test_the_share_of_attention_and_the_swept_mixer_of_a_preset_are_knobs(composed):
    config = composed("model=jamba", "mixer=outer", "model.attention_every=4")
    mixers = config.model.layer_mixers(config.mixer)
    assert [mixer_name(mixer) for mixer in mixers] == (["outer"] * 3 + ["softmax"]) * 2


MQAR_LEVELS = {
    "zoology_iclr_fig2": ("zeros", [(64, 4)], [(64, 4)]),
    "based_fig2": (
        "random",
        [(64, 4), (128, 8), (256, 16), (256, 32), (256, 64)],
        [(64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256)],
    ),
}
"""Filler, trained and tested lengths and pairs that the presets under conf/task must have."""


def test_presets_of_tasks(composed, tmp_path):
    assert {path.stem for path in pathlib.Path(conf_dir(), "task").glob("*.yaml")} == MQAR_LEVELS.keys()
    for name, (filler, trained, tested) in MQAR_LEVELS.items():
        config = composed(f"task={name}")
        assert (config.task.vocab_size, config.task.filler.name) == (8192, filler)
        assert [part[:2] for part in config.task.mixture] == trained
        assert [part[:2] for task in config.task.test_tasks() for part in task.mixture] == tested
        assert read_config(save(config, tmp_path)) == dataclasses.replace(config, output_dir=str(tmp_path))


STARTS = {
    "small": {"embedding_std": 0.02},
    "tenth": {"embedding_std": 0.1},
    "unit": {"embedding_std": None, "scale_embedding": True},
    "unit_scaled": {"embedding_std": None, "scale_embedding": True, "scale_readout": True},
    "untied": {"embedding_std": 1.0, "tied": False},
    "zoology": {"embedding_std": 0.02, "dense": "normal", "branches_per_layer": 2},
    "transformers_mamba": {"embedding_std": 0.1, "dense": "fan_in_uniform"},
}
"""The options in which the presets under conf/start differ from `START`."""

START = {
    "scale_embedding": False,
    "tied": True,
    "scale_readout": False,
    "dense": "own",
    "branches_per_layer": None,
}


def test_presets_of_starts_say_everything_whatever_the_defaults_are(composed):
    presets = {path.stem: yaml.safe_load(path.read_text()) for path in pathlib.Path(conf_dir(), "start").glob("*")}
    assert presets.pop("default") is None
    assert presets == {name: START | options for name, options in STARTS.items()}
    for name, options in presets.items():
        assert plain(composed(f"start={name}").model).items() >= options.items()


def test_the_run_id_follows_what_determines_the_results():
    config = Config(MIXERS["outer"](), TASKS["mqar"]())
    same = dataclasses.replace(config, study="x", label="y", output_dir="z", checkpoint_seconds=1.0)
    assert same.run_id == config.run_id
    assert dataclasses.replace(config, tracker=Tracker.wandb).run_id == config.run_id
    for other in (
        dataclasses.replace(config, seed=1),
        dataclasses.replace(config, mixer=MIXERS["outer"](d_state=17)),
        dataclasses.replace(config, task=TASKS["mqar"](vocab_size=128)),
        dataclasses.replace(config, mixer=MIXERS["softmax"]()),
    ):
        assert other.run_id != config.run_id


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_asks_a_question(composed, name):
    assert composed(f"experiment={name}").study == name
    package, question, *_ = (pathlib.Path(conf_dir()) / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert package == "# @package _global_"
    assert question.startswith("# ")
    assert question.endswith("?")


def test_a_task_longer_than_a_mixer_can_be_is_refused(composed):
    with pytest.raises(InputError, match=r"^mixer\.max_positions=32 is the longest .* got 64 tokens$"):
        composed("mixer=softmax", "mixer.positions=learned", "mixer.max_positions=32", "task.length=64")


def test_an_implementation_that_cannot_run_here_is_refused_before_anything_trains(tmp_path):
    config = Config(mixer=MIXERS["outer"](implementation="pallas"), task=TASKS["mqar"](), output_dir=str(tmp_path))
    with pytest.raises(InputError, match=r"mixer\.implementation='pallas' cannot run .* this is cpu"):
        run(config, listen=lambda *_: pytest.fail("training began"))
