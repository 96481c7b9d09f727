"""Trackers show what `metrics.csv` and the records say; a kill leaves no point twice, a failure costs a line."""

import dataclasses
import importlib.util
import json
import math
import pathlib
import struct
import subprocess
import sys

import pandas as pd
import pytest
from invented_runs import write_run
from test_commands import TINY, call

from sandbox.cli import trackers
from sandbox.cli.tracking import check_installed, tracked
from sandbox.config import Config, Tracker
from sandbox.errors import InputError
from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig

CURVES = ("train_loss", "validation_loss", "validation_accuracy")
RATES, SEEDS = [1e-3, 1e-2], [5, 6]


def config_of(folder, tracker):
    train = TrainConfig(learning_rates=RATES, num_seeds=len(SEEDS))
    config = Config(MIXERS["outer"](), TASKS["mqar"](), train=train, seed=SEEDS[0])
    return dataclasses.replace(config, output_dir=str(folder), tracker=Tracker[tracker])


def history(last):
    """The rows of `metrics.csv` up to this step; one loss is not a number."""
    return [
        {
            "step": step,
            "learning_rate": rate,
            "seed": seed,
            "train_loss": math.nan if (step, rate, seed) == (20, 1e-2, 6) else 1 / step + rate,
            "validation_loss": 2 / step + seed,
            "validation_accuracy": step / 100,
        }
        for step in range(10, last + 1, 10)
        for rate in RATES
        for seed in SEEDS
    ]


KILLED = """
import os, pathlib, sys
sys.path[:0] = {paths!r}
from test_tracking import RATES, config_of, history, tracked

with tracked(config_of(pathlib.Path({folder!r}), {tracker!r}), lambda *_: None) as listen:
    for step in (0, 10, 20):
        listen(RATES, step, history(step))
    os._exit(9)
"""


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_a_killed_run_goes_on_in_the_same_series(tracker, tmp_path, monkeypatch):
    """It is killed after step 20 and resumes at step 10; what comes of it is what one run would have left."""
    pytest.importorskip(Tracker[tracker].value)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    paths = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]
    program = KILLED.format(paths=paths, folder=str(tmp_path), tracker=tracker)
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stderr) == (9, "")
    for events in tmp_path.rglob("events.*"):  # named by the second, which may be that of the next
        events.rename(events.with_name("events.out.tfevents.1"))

    config = config_of(tmp_path, tracker)
    scores = {(rate, seed): {"all": rate * seed, "pairs=4": rate} for rate in RATES for seed in SEEDS}
    with tracked(config, lambda *_: None) as listen:
        for step in (10, 20, 30):
            listen(RATES, step, history(step))
        write_run(config.directory.parent, config.run_id, scores, selected=1e-3)

    found = {"tensorboard": read_tensorboard, "wandb": read_wandb}[tracker](config.directory.parent)
    assert found.keys() == scores.keys()
    for (rate, seed), (points, final) in found.items():
        rows = [row for row in history(30) if (row["learning_rate"], row["seed"]) == (rate, seed)]
        expected = [(row["step"], name, row[name]) for row in rows for name in CURVES if row[name] == row[name]]
        assert_same_points(points, expected)
        assert final["test_accuracy"] == pytest.approx(rate * seed)
        assert final["test_accuracy/pairs_4"] == pytest.approx(rate)
        assert (final["status"], final["state_bytes"], final["selected"]) == ("ok", 4096, rate == 1e-3)
        assert (final["mixer.d_state"], final["run_id"]) == (16, config.run_id)


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize("mode", [[], ["-m", "mixer.d_state=2,4", "jobs=2"]], ids=["in-process", "in-workers"])
def test_events_of_tensorboard_are_metrics_csv(mode, tmp_path):
    pytest.importorskip("tensorboardX")
    done = call("sandbox", *mode, "mixer=outer", *TINY, "tracker=tensorboard", f"output_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    for summary in (tmp_path / "runs").glob("*/summary.json"):
        run = summary.parent
        metrics = pd.read_csv(run / "metrics.csv")
        found = read_tensorboard(run.parent, run.name)
        assert len(found) == metrics.groupby(["learning_rate", "seed"]).ngroups == 4
        for (rate, seed), (points, final) in found.items():
            rows = metrics[(metrics["learning_rate"] == rate) & (metrics["seed"] == seed)]
            assert_same_points(points, rows.melt("step", CURVES).itertuples(index=False, name=None))
            assert final["steps"] == 4


def assert_same_points(points, expected):
    points, expected = sorted(points), sorted(expected)
    assert [point[:2] for point in points] == [point[:2] for point in expected]
    assert [point[2] for point in points] == pytest.approx([point[2] for point in expected])


def read_tensorboard(study, run_id=""):
    """(learning rate, seed) -> points of its curves as (step, name, value), and all final values."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    found = {}
    for path in (study / "tensorboard").glob(f"*{run_id}/*/events.*"):
        rate, seed = (part.partition("=")[2] for part in path.parent.name.split(","))
        assert (float(rate), int(seed)) not in found, "one file for each member"
        points, final, content = [], {}, path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event, content = Event.FromString(content[12 : 12 + length]), content[16 + length :]
            for value in event.summary.value:
                if value.tag in CURVES:
                    points.append((event.step, value.tag, value.simple_value))
                elif value.tag == "_hparams_/session_start_info":
                    start = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
                    for name, option in start.hparams.items():
                        final[name] = getattr(option, option.WhichOneof("kind"))
                elif not value.tag.startswith("_hparams_/"):
                    final[value.tag] = value.simple_value
        found[float(rate), int(seed)] = points, final
    return found


def read_wandb(study):
    """The same of wandb's offline files, which are in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}
    for path in study.glob(".wandb/offline-run-*/*.wandb"):
        content, at, parts = path.read_bytes(), 7, b""
        points, final = [], {}
        while at + 7 <= len(content):
            if (left := 32768 - at % 32768) < 7:
                at += left
                continue
            length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
            parts, at = parts + content[at + 7 : at + 7 + length], at + 7 + length
            if kind in (1, 4):  # a whole record, or its last part
                record, parts = Record.FromString(parts), b""
                for item in record.history.item:
                    name = item.key or "/".join(item.nested_key)
                    if name in CURVES:
                        points.append((record.history.step.num, name, json.loads(item.value_json)))
                for item in [*record.summary.update, *record.run.config.update]:
                    final[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        key = final["learning_rate"], final["seed"]
        assert key not in found, "one file for each member"
        found[key] = points, final
    return found


def test_a_tracker_that_fails_costs_one_line(tmp_path, monkeypatch, capsys):
    calls = []

    class FullDisk:
        next_step = 0

        def __init__(self, *_):
            pass

        def log(self, step, values):
            calls.append(step)
            raise OSError("No space left on device\nin a second line")

    monkeypatch.setitem(trackers.TRACKERS, Tracker.tensorboard, FullDisk)
    config, heard = config_of(tmp_path, "tensorboard"), []
    with tracked(config, lambda rates, step, history: heard.append(step)) as listen:
        for step in (0, 10, 20):
            listen(RATES, step, history(step))
    assert (heard, calls) == ([0, 10, 20], [10])
    assert capsys.readouterr().err == (
        f"sandbox: tracker=tensorboard of run {config.run_id} failed, the run goes on without it "
        "(OSError: No space left on device)\n"
    )


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_installed(Tracker.none)
    with pytest.raises(InputError, match=r"^tracker=wandb .* wandb: `uv sync --extra wandb` or `pip"):
        check_installed(Tracker.wandb)
