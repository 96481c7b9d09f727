"""Files of a run that something has changed: one line with the path, and the run is done again or left out."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import warnings

import pytest

from sandbox.config import Config, plain
from sandbox.errors import DamagedFileWarning
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run import run
from sandbox.run_folder import (
    CONFIG,
    LABELS,
    METRICS,
    SUMMARY,
    TRAINING,
    RunState,
    count_death,
    keep_label,
    state_of,
)
from sandbox.tables import collect, collect_curves
from sandbox.tasks import TASKS
from sandbox.train.checkpoint import HASHES
from sandbox.train.config import TrainConfig

pytestmark = [pytest.mark.slow(seconds=30), pytest.mark.xdist_group("damaged files")]


class Killed(BaseException):
    pass


def tiny(output_dir, seed=0, num_seeds=1):
    return Config(
        mixer=MIXERS["outer"](d_state=2),
        task=TASKS["mqar"](length=16, pairs=2, vocab_size=16),
        model=ModelConfig(d_model=8, layout=["mixer"]),
        train=TrainConfig(
            steps=6,
            batch_size=4,
            learning_rates=[1e-2],
            num_seeds=num_seeds,
            eval_every=2,
            validation_examples=8,
            test_examples=8,
        ),
        seed=seed,
        output_dir=str(output_dir),
        checkpoint_seconds=0.0,
    )


def kill(rates, step, history):
    """Ends a run at its second evaluation."""
    if step == 4:
        raise Killed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two finished runs in `finished`, and in `killed` three that were killed at step 4 of 6."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        run(tiny(folder / "finished", seed))
    for options in ({}, {"seed": 1}, {"num_seeds": 2}):
        with pytest.raises(Killed):
            run(tiny(folder / "killed", **options), kill)
    return folder


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def summary_with(**entries):
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def that_of_seed_1(path):
    shutil.copy(tiny(path.parents[2], seed=1).directory / path.name, path)


UNREADABLE = r"not a summary that this version can read \(.+\)"
CHANGED = "changed since the run wrote it"
FINISHED = {
    "half a summary": (SUMMARY, cut, UNREADABLE),
    "an empty summary": (SUMMARY, lambda path: path.write_text(""), UNREADABLE),
    "a summary that is no JSON": (SUMMARY, lambda path: path.write_text("hello"), UNREADABLE),
    "a summary that is no text": (SUMMARY, lambda path: path.write_bytes(b"\xff\xfe"), UNREADABLE),
    "a summary that is a list": (SUMMARY, lambda path: path.write_text("[]"), UNREADABLE),
    "a summary without records": (SUMMARY, summary_with(records=[]), UNREADABLE),
    "records that are numbers": (SUMMARY, summary_with(records=[3]), UNREADABLE),
    "records without their fields": (SUMMARY, summary_with(records=[{"label": "x"}]), UNREADABLE),
    "hashes that are none": (SUMMARY, summary_with(sha256=3), UNREADABLE),
    "another number": (SUMMARY, lambda path: edit(path, '"accuracy": 0.', '"accuracy": 0.9'), CHANGED),
    "the summary of another run": (SUMMARY, that_of_seed_1, r"has the records of another run, \w+"),
    "half of the evaluations": (METRICS, cut, CHANGED),
    "no evaluations": (METRICS, pathlib.Path.unlink, "missing since the run wrote it"),
    "another config": (CONFIG, lambda path: edit(path, "steps: 6", "steps: 7"), CHANGED),
    "a config that is no YAML": (CONFIG, lambda path: path.write_bytes(b"\xff["), CHANGED),
}


@pytest.mark.parametrize(("name", "damage", "reason"), FINISHED.values(), ids=FINISHED.keys())
def test_a_damaged_run_is_left_out_and_done_again(trained, tmp_path, name, damage, reason):
    shutil.copytree(trained / "finished", tmp_path, dirs_exist_ok=True)
    config, other = tiny(tmp_path), tiny(tmp_path, seed=1)
    expected = run(config)
    damage(config.directory / name)
    line = f"{re.escape(str(config.directory / name))}: {reason}"
    state, why = state_of(config.directory)
    assert state is RunState.damaged
    assert re.fullmatch(line, why)
    with pytest.warns(DamagedFileWarning, match=f"^{line}; the run is left out$"):
        assert set(collect(tmp_path)["run_id"]) == {other.run_id}
    assert set(collect_curves(tmp_path)["run_id"]) == {other.run_id}
    with pytest.warns(DamagedFileWarning, match=f"^{line}; the run is done again$"):
        again = run(config)
    assert scores(again) == scores(expected)
    assert set(collect(tmp_path)["run_id"]) == {config.run_id, other.run_id}


def scores(records):
    return [(record.split, record.slice, record.accuracy, record.loss) for record in records]


def test_where_all_runs_are_damaged_a_table_from_before_does_not_stand_for_them(trained, tmp_path):
    shutil.copytree(trained / "finished", tmp_path, dirs_exist_ok=True)
    (tmp_path / "records.csv").write_text("study,run_id\n")
    for seed in (0, 1):
        cut(tiny(tmp_path, seed).directory / SUMMARY)
    with pytest.warns(DamagedFileWarning), pytest.raises(FileNotFoundError, match=r"\(all are damaged\)"):
        collect(tmp_path)


def test_curves_are_not_those_of_a_table_from_before(trained, tmp_path):
    shutil.copytree(trained / "finished", tmp_path, dirs_exist_ok=True)
    for seed in (0, 1):
        folder = tiny(tmp_path, seed).directory
        (folder / METRICS).unlink()
        content = json.loads((folder / SUMMARY).read_text())
        del content["sha256"]["metrics.csv"]
        (folder / SUMMARY).write_text(json.dumps(content))
    (tmp_path / "evaluations.csv").write_text("step\n3\n")
    assert collect_curves(tmp_path).empty


@pytest.mark.parametrize("text", ["{x", "3", '"a"', '{"a": 1}', "[3]", '["outer", "outer"]'])
def test_a_damaged_list_of_labels_leaves_the_name_of_the_records(trained, tmp_path, text):
    shutil.copytree(trained / "finished", tmp_path, dirs_exist_ok=True)
    folder = tiny(tmp_path).directory
    (folder / LABELS).write_text(text)
    records = collect(tmp_path)
    assert set(records["label"]) == {"outer"}
    assert not records.duplicated().any()
    keep_label(folder, "mine")
    assert set(collect(tmp_path)["label"]) == {"outer", "mine"}


def files_of(checkpoints, *names):
    """The files with these names; without names, the one that holds the arrays."""
    files = [path for path in checkpoints.rglob("*") if path.is_file()]
    found = [path for path in files if path.name in names]
    assert found or not names
    return found or [max(files, key=lambda path: path.stat().st_size)]


def cut_all(*names):
    return lambda checkpoints: [cut(path) for path in files_of(checkpoints, *names)]


def only_the_step(checkpoints):
    shutil.rmtree(checkpoints / "4")
    (checkpoints / "4").mkdir()


def that_of(**options):
    def damage(checkpoints):
        shutil.rmtree(checkpoints)
        shutil.copytree(tiny(checkpoints.parents[2], **options).directory / "checkpoints", checkpoints)

    return damage


def flip_a_bit(checkpoints):
    (arrays,) = files_of(checkpoints)
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)


OF_ANOTHER = r"run \w+ saved it"
CHECKPOINTS = {
    "half of the arrays": (cut_all(), rf"population/\S+: {CHANGED}"),
    "a bit of the arrays": (flip_a_bit, rf"population/\S+: {CHANGED}"),
    "no arrays": (lambda checkpoints: files_of(checkpoints)[0].unlink(), r"population/\S+: missing since .+"),
    "half of the names of the arrays": (cut_all("_METADATA"), f"population/_METADATA: {CHANGED}"),
    "half of the evaluations": (cut_all("metadata"), f"report/metadata: {CHANGED}"),
    "half of the hashes": (cut_all(HASHES), ".+"),
    "a step without anything": (only_the_step, ".+"),
    "that of another run with the same shapes": (that_of(seed=1), OF_ANOTHER),
    "that of another config": (that_of(num_seeds=2), OF_ANOTHER),
}


@pytest.mark.parametrize(("damage", "reason"), CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
def test_a_damaged_checkpoint_starts_the_run_anew(trained, tmp_path, damage, reason):
    shutil.copytree(trained / "killed", tmp_path, dirs_exist_ok=True)
    config = tiny(tmp_path)
    checkpoints = config.directory / "checkpoints"
    damage(checkpoints)
    steps = []
    what = rf"not a checkpoint of this run \({reason}\); it starts from its first step"
    line = f"^{re.escape(str(checkpoints))}: {what}$"
    with pytest.warns(DamagedFileWarning, match=line):
        records = run(config, lambda rates, step, history: steps.append(step))
    assert steps == [0, 2, 4, 6]
    assert scores(records) == scores(run(tiny(trained / "finished")))


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        (lambda folder: None, 4),
        (lambda folder: [shutil.rmtree(folder / "checkpoints"), (folder / "checkpoints").mkdir()], 0),
        (lambda folder: (folder / CONFIG).write_text("[["), 4),
        (lambda folder: cut(folder / METRICS), 4),
        (lambda folder: files_of(folder / "checkpoints", HASHES)[0].unlink(), 4),
    ],
    ids=[
        "nothing",
        "a folder without checkpoints",
        "a config that is no YAML",
        "half of the evaluations",
        "no hashes",
    ],
)
def test_what_a_run_writes_anew_may_be_damaged(trained, tmp_path, damage, first):
    shutil.copytree(trained / "killed", tmp_path, dirs_exist_ok=True)
    config = tiny(tmp_path)
    damage(config.directory)
    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        records = run(config, lambda rates, step, history: steps.append(step))
    assert steps[0] == first
    assert scores(records) == scores(run(tiny(trained / "finished")))


@pytest.mark.parametrize("command", ["collect", "report"])
def test_a_command_prints_the_damage_as_one_line(trained, tmp_path, command):
    shutil.copytree(trained / "finished", tmp_path, dirs_exist_ok=True)
    summary = tiny(tmp_path).directory / SUMMARY
    edit(summary, '"seconds": ', '"seconds": 1')
    program = f"import sys; from sandbox.cli.{command} import main; sys.exit(main())"
    options = ["--formats", "svg"] if command != "collect" else []
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"sandbox-{command}: {summary}: {CHANGED}; the run is left out\n"


def test_the_same_command_does_it_again_and_records_of_another_schema_are_not_touched(trained, tmp_path):
    shutil.copytree(trained / "finished", tmp_path, dirs_exist_ok=True)
    config = tiny(tmp_path)
    (config.directory / METRICS).unlink()
    summary = tiny(tmp_path, seed=1).directory / SUMMARY
    summary.write_text('{"records": [{"experiment": "runs", "run_id": "old"}]}')
    keys = [f"train.{key}={'null' if value is None else value}" for key, value in plain(config.train).items()]
    settings = ["mixer.d_state=2", "task.length=16", "task.pairs=2", "task.vocab_size=16", "model.d_model=8"]
    settings += ["model.layout=[mixer]", *keys, f"output_dir={tmp_path}"]
    program = "from sandbox.cli.main import main; main()"
    damaged, older = (
        subprocess.run(
            [sys.executable, "-c", program, *settings, seed],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        for seed in ("seed=0", "seed=1")
    )
    missing = f"{config.directory / METRICS}: missing since the run wrote it"
    assert (damaged.returncode, damaged.stderr) == (0, f"sandbox: {missing}; the run is done again\n")
    assert state_of(config.directory)[0] is RunState.finished
    assert older.returncode == 2
    assert re.fullmatch(f"sandbox: {re.escape(str(summary))}: records of schema version 1, .*\n", older.stderr)


def test_a_failed_run_that_is_stopped_while_it_is_tried_again_is_to_do(trained, tmp_path, monkeypatch):
    config = tiny(tmp_path)
    for error, state in ((RuntimeError("no memory"), RunState.failed), (SystemExit(), RunState.to_do)):
        with monkeypatch.context() as patch:
            patch.setattr("sandbox.run.fit", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
            with pytest.raises(type(error)):
                run(config)
        assert state_of(config.directory)[0] is state


def test_a_note_left_behind_is_a_death(tmp_path):
    (tmp_path / TRAINING).write_text("process 1 trains this run\n")
    assert state_of(tmp_path) == (RunState.to_do, "")
    count_death(tmp_path / "new", "killed")
    (tmp_path / "new" / TRAINING).write_text("process 1 trains this run\n")
    assert state_of(tmp_path / "new") == (RunState.fatal, "2 processes died of it (killed; without a word)")
