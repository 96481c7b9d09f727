"""Unions of grids, and what the command line makes of them."""

import re

import pytest

from sandbox.cli.grids import as_override, at_scale, keys_apart, narrow, read_grid
from sandbox.errors import InputError

GRIDS = [
    {"mixer": ["softmax"], "label": ["a"]},
    {"mixer": ["outer"], "label": ["b"], "mixer.d_state": ["8", "16"]},
]


def is_group(key):
    return key in ("mixer", "task")


def test_a_list_is_swept_and_anything_else_is_one_value():
    assert read_grid({"mixer.d_state": [8, 16], "label": "no decay", "train.learning_rates": [[0.1, 0.2]]}) == {
        "mixer.d_state": ["8", "16"],
        "label": ['"no decay"'],
        "train.learning_rates": ["[0.1,0.2]"],
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("none", "none"),
        ("true", '"true"'),
        ("NaN", '"NaN"'),
        ("a, b", '"a, b"'),
        ("Größe", '"Größe"'),
        ('\\ "', '"\\ \\""'),
        (True, "true"),
        (None, "null"),
        (1e-3, "0.001"),
    ],
)
def test_values_are_written_as_hydra_reads_them(value, text):
    assert as_override(value) == text


def test_a_key_that_no_grid_has_holds_for_all():
    assert [grid["train.steps"] for grid in narrow(GRIDS, {"train.steps": ["5"]}, is_group)] == [["5"], ["5"]]


def test_a_swept_key_is_replaced_where_it_is_swept_only():
    softmax, outer = narrow(GRIDS, {"mixer.d_state": ["4"]}, is_group)
    assert "mixer.d_state" not in softmax
    assert outer["mixer.d_state"] == ["4"]


def test_a_group_keeps_the_grids_that_have_the_choice():
    (outer,) = narrow(GRIDS, {"mixer": ["outer", "gla"]}, is_group)
    assert outer == GRIDS[1]


def test_a_choice_that_no_grid_has_is_refused():
    with pytest.raises(InputError, match="mixer=gla: the grids of this experiment have outer, softmax"):
        narrow(GRIDS, {"mixer": ["gla"]}, is_group)


SCALES = {
    "laptop": [{"train.steps": 10}],
    "paper": [{"train.steps": 1000, "model.d_model": [64, 128]}, {"train.steps": 2000}],
}


def test_every_grid_is_combined_with_every_grid_of_its_scale():
    softmax, outer = at_scale(GRIDS, SCALES, "laptop")
    assert softmax == {**GRIDS[0], "train.steps": ["10"]}
    assert outer == {**GRIDS[1], "train.steps": ["10"]}
    at_paper = at_scale(GRIDS, SCALES, "paper")
    assert [(grid["mixer"], grid["train.steps"]) for grid in at_paper] == [
        (["softmax"], ["1000"]),
        (["outer"], ["1000"]),
        (["softmax"], ["2000"]),
        (["outer"], ["2000"]),
    ]
    assert at_scale(GRIDS, None, "laptop") == GRIDS


def test_the_setting_of_a_scale_holds_for_grids_that_have_their_own():
    grids = [{"mixer": ["softmax"]}, {"mixer": ["mamba"], "start": ["untied"]}]
    scales = {"laptop": [{"train.steps": 1000}], "paper": [{"start": "zoology"}]}
    assert [grid.get("start") for grid in at_scale(grids, scales, "laptop")] == [None, ["untied"]]
    assert [grid["start"] for grid in at_scale(grids, scales, "paper")] == [["zoology"], ["zoology"]]


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        (None, "scale=paper: these runs have no such scale; there is laptop"),
        ({"laptop": [{}]}, "scale=paper: these runs have no such scale; there is laptop"),
        ([], "hydra.sweeper.scales=[] must be a table from scale to a list of grids"),
        ({"paper": {}}, "hydra.sweeper.scales.paper={} must be a list of tables"),
        ({"paper": [{"train": {}}]}, "hydra.sweeper.scales.paper[0].train is a table"),
    ],
)
def test_a_scale_that_is_not_there_is_refused(scales, message):
    with pytest.raises(InputError, match=re.escape(message)):
        at_scale(GRIDS, scales, "paper")


def test_without_grids_the_command_line_is_the_grid():
    asked = {"mixer": ["outer"], "mixer.d_state": ["1", "2"]}
    assert narrow([{}], asked, is_group) == [asked]


def test_the_keys_that_tell_runs_apart():
    jobs = [("mixer=outer", "mixer.d_state=8", "seed=1"), ("mixer=outer", "mixer.d_state=16", "train.steps=5")]
    assert keys_apart(jobs) == {"mixer.d_state"}
