"""What a run checks before it trains, and what its records have in common."""

import dataclasses

import pytest

from sandbox.code_version import code_commit
from sandbox.config import Config, flatten
from sandbox.errors import InputError
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.outer import OuterConfig
from sandbox.results import SCHEMA_VERSION
from sandbox.run import describe, run
from sandbox.tasks.mqar import MQARConfig
from sandbox.train.config import TrainConfig
from sandbox.train.step import Problem


def config(**options):
    task = MQARConfig(vocab_size=16, length=16, pairs=2)
    return Config(OuterConfig(d_state=4), task, ModelConfig(d_model=8), TrainConfig(), **options)


@pytest.mark.parametrize(
    "study", ["", " ", " a", ".", "..", ".a", "/", "/tmp/x", "../x", "a/b", "./runs", "runs/", "a\nb"]
)
def test_a_study_is_one_folder(study):
    with pytest.raises(
        ValueError, match=r"^study=.* must be (one line of text|the name of one folder, ).*$"
    ) as error:
        config(study=study)
    assert repr(study) in str(error.value)


@pytest.mark.parametrize("study", ["runs", "a b", "v..2", "β=0.5"])
def test_names_of_studies(study):
    assert config(study=study).study == study


@pytest.mark.parametrize(
    "wrong",
    [{"label": ""}, {"label": "a\nb"}, {"label": "\u200d"}, {"output_dir": ""}, {"output_dir": " "}],
    ids=str,
)
def test_texts_that_cannot_be_read_in_a_figure_or_a_path(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"^{key}=") as error:
        config(**wrong)
    assert str(error.value).startswith(f"{key}={value!r} must be one line of text")


def test_a_text_may_have_joiners():
    """Emoji of several parts and words in Persian or Hindi are written with them."""
    assert config(label="👩\u200d🔬 می\u200cخواهم").label == "👩\u200d🔬 می\u200cخواهم"


def test_the_home_folder_may_be_written_as_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = config(output_dir="~/out", study="a")
    assert asked.directory == tmp_path / "out" / "a" / asked.run_id


def test_an_implementation_that_cannot_run_here_is_refused_before_training(tmp_path, monkeypatch):
    asked = config(output_dir=str(tmp_path))
    asked = dataclasses.replace(asked, mixer=dataclasses.replace(asked.mixer, implementation="pallas"))
    monkeypatch.setattr("sandbox.run.fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"^mixer\.implementation") as error:
        run(asked)
    assert "\n" not in str(error.value)


def test_a_description_says_what_code_and_config_a_record_is_of():
    asked = config(study="mine", label="a name")
    record = describe(asked, Problem(asked.model, asked.mixer, asked.task, asked.train))
    assert (record.study, record.label, record.run_id) == ("mine", "a name", asked.run_id)
    assert (record.commit, record.schema_version) == (code_commit(), SCHEMA_VERSION)
    assert (record.config["mixer.name"], record.config["task.name"]) == ("outer", "mqar")
    assert record.implementation
    assert record.row()["config.seed"] == asked.seed
    assert "jobs" not in record.config, "it does not change the results"


def test_nested_keys_are_joined_and_lists_are_text():
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None}) == {"a.b.c": 1, "a.d": "[1, 2]", "e": None}
