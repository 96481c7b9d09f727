"""The command that a page shows for a run makes that run."""

import io
import pathlib
import shlex

import pandas as pd
import pytest

from sandbox.added_later import ADDED_LATER
from sandbox.cli.compose_runs import runs_of
from sandbox.cli.reproduce import commands
from sandbox.tables import collect, to_csv

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


def composed(command):
    program, *overrides = shlex.split(command)
    assert program == "sandbox"
    (config,) = runs_of(overrides, command="sandbox").values()
    return config


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("experiment", ["quickstart", "every_mixer"])
def test_the_command_of_a_committed_run_has_its_content_hash(experiment):
    records = collect(EXPERIMENTS / experiment / "records.csv")
    found = commands(records)
    assert found.keys() == {*map(tuple, records[["study", "run_id"]].to_numpy())}
    for (study, run_id), command in list(found.items())[::2]:
        config = composed(command)
        assert (config.study, config.config_id) == (study, run_id.partition("-")[0]), command


def records_of(configs):
    """What records of these configs would be, read from a table as pages read them."""
    rows = [
        {"study": config.study, "run_id": config.run_id, "label": config.resolved_label}
        | {f"config.{key}" if key == "seed" else key: value for key, value in config.options.items()}
        for config in configs
    ]
    return pd.read_csv(io.StringIO(to_csv(pd.DataFrame(rows))), keep_default_na=False, na_values=[""])


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=griffin,kimi_linear", "seed=3"],
        ["mixer=softmax", "model.layout=[mixer,softmax],[softmax,mixer]", "mixer.max_positions=9"],
        ["mixer=gla", "train.learning_rates=auto", "label='1 of \"4\", [x]'", "study=a-b"],
        ["mixer=outer", "mixer.decay=fixed", "mixer.half_life=null,64.0", "task=copy,mqar"],
    ],
    ids=["hybrids", "lists and null", "text", "gaps"],
)
def test_the_command_is_that_of_the_same_config(overrides):
    configs = list(runs_of(overrides, command="sandbox").values())
    found = commands(records_of(configs))
    assert len(found) == len(configs)
    for config, command in zip(configs, found.values(), strict=True):
        again = composed(command)
        assert (again.run_id, again.study, again.resolved_label) == (
            config.run_id,
            config.study,
            config.resolved_label,
        )


def test_the_command_of_a_run_from_before_an_option_came():
    overrides = ["mixer=gla", "+mixer@model.mixers.a=outer", "model.layout=[a,mixer]"]
    (config,) = runs_of(overrides, command="sandbox").values()
    records = records_of([config])
    later = [f"{group}.{name}" for group, name in ADDED_LATER] + [
        f"model.mixers.a.{name}" for _, name in ADDED_LATER
    ]
    (command,) = commands(records.drop(columns=records.columns.intersection(later))).values()
    assert composed(command).run_id == config.run_id


def test_the_command_names_what_differs_from_the_defaults():
    (config,) = runs_of(["mixer=gla", "mixer.d_state=8"], command="sandbox").values()
    assert list(commands(records_of([config])).values()) == [
        "sandbox mixer=gla task=mqar mixer.d_state=8 study=runs"
    ]


@pytest.mark.parametrize("change", [{"mixer.name": "of somebody"}, {"mixer.knob": 3}, {"task.name": None}])
def test_a_run_of_other_code_has_no_command(change):
    (config,) = runs_of(["mixer=gla"], command="sandbox").values()
    assert commands(records_of([config]).assign(**change)) == {}
