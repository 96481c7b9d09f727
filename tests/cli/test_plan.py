"""What a sweep finds in its folder before it starts: what is done, by which version, and what is left alone."""

import concurrent.futures

import pytest
from invented_runs import write_run
from omegaconf import OmegaConf

from sandbox.cli.compose_runs import check_same
from sandbox.cli.plan import Plan, print_dry_run
from sandbox.config import Config, Versions
from sandbox.errors import InputError
from sandbox.models.mixers import MIXERS
from sandbox.report.points import varying_keys
from sandbox.run_folder import RunState, count_death, keep_label, labels_of
from sandbox.tables import collect
from sandbox.tasks import TASKS


def config_of(folder, size, **options):
    return Config(
        mixer=MIXERS["outer"](d_state=size),
        task=TASKS["mqar"](length=16, pairs=[2, 4], vocab_size=16),
        output_dir=str(folder),
        **options,
    )


def runs_of(folder, *sizes, **options):
    return {(f"mixer.d_state={size}",): config_of(folder, size, **options) for size in sizes}


def finish(run, **options):
    return write_run(run.directory.parent, run.run_id, {(0.1, 0): 0.5}, selected=0.1, **options)


@pytest.fixture
def later_version(monkeypatch):
    """Calling it raises the version of `outer`."""
    return lambda version=2: monkeypatch.setattr(MIXERS["outer"], "version", version)


def test_each_run_is_done_to_do_failed_or_left_alone(tmp_path):
    runs = runs_of(tmp_path, 1, 2, 4, 8)
    done, failed, fatal, _ = runs.values()
    finish(done)
    finish(failed, status="failed: no memory")
    fatal.directory.mkdir()
    for _ in range(2):
        count_death(fatal.directory, "killed by SIGSEGV")
    plan = Plan(runs)
    states = [place.state for place in plan.places.values()]
    assert states == [RunState.finished, RunState.failed, RunState.fatal, RunState.to_do]
    assert plan.waiting == [("mixer.d_state=2",), ("mixer.d_state=8",)]
    assert list(plan.notes())[-1] == (
        "left alone: mixer.d_state=4: 2 processes died of it (killed by SIGSEGV); retry_failed=true tries again"
    )
    again = Plan(runs_of(tmp_path, 1, 2, 4, 8, retry_failed=True))
    assert again.waiting == [("mixer.d_state=2",), ("mixer.d_state=4",), ("mixer.d_state=8",)]


def test_one_death_is_tried_again(tmp_path):
    (config,) = (runs := runs_of(tmp_path, 4)).values()
    config.directory.mkdir(parents=True)
    count_death(config.directory, "killed by SIGKILL (out of memory?)")
    assert Plan(runs).waiting == [*runs]


def test_a_version_is_part_of_the_run_id_from_the_second_on(tmp_path, later_version):
    config = config_of(tmp_path, 4)
    first = config.run_id
    assert config.config_id == first
    later_version()
    assert config.config_id == first
    assert config.run_id == f"{first}-outer.v2"


def test_runs_of_another_version_are_pointed_out_and_taken_only_if_asked(tmp_path, later_version):
    finish(config_of(tmp_path, 4))
    later_version()
    plan = Plan(runs_of(tmp_path, 4))
    assert plan.waiting == [("mixer.d_state=4",)]
    (note,) = plan.notes()
    assert note == (
        "finished by another version of the code (the first), and done again: 1; versions=any takes those results"
    )
    assert plan.finished_names() == {}
    accepting = Plan(runs_of(tmp_path, 4, versions=Versions.any))
    assert accepting.waiting == []
    assert list(accepting.finished_names()) == [config_of(tmp_path, 4).config_id]


def test_version_10_comes_after_9(tmp_path, later_version):
    for version in (9, 10):
        later_version(version)
        finish(config_of(tmp_path, 4))
    later_version(11)
    accepting = Plan(runs_of(tmp_path, 4, versions=Versions.any))
    assert list(accepting.finished_names()) == [f"{config_of(tmp_path, 4).config_id}-outer.v10"]


def test_runs_of_two_versions_are_two_series(tmp_path, later_version):
    rows = {"mixer.d_state": 4}
    finish(config_of(tmp_path, 4), config=rows)
    later_version()
    finish(config_of(tmp_path, 4), config=rows | {"code.versions": "outer.v2"})
    assert varying_keys(collect(tmp_path)) == ["code.versions"]


def test_a_run_that_jax_of_another_version_trained_is_told_of(tmp_path):
    finish(config_of(tmp_path, 4))
    notes = list(Plan(runs_of(tmp_path, 4)).notes())
    assert notes[0].startswith("1 of those done ran with jax 0.10, not ")


def test_a_run_with_two_names_stands_under_both(tmp_path):
    runs = {(f"label={name}",): config_of(tmp_path, 4, label=name) for name in ("one", "two")}
    plan = Plan(runs)
    assert [*plan.runs] == [("label=one",)]
    run = finish(config_of(tmp_path, 4), label="one")
    plan.keep_names()
    assert labels_of(run) == ["one", "two"]
    assert set(collect(tmp_path)["label"]) == {"one", "two"}
    assert set(collect(tmp_path, {run.name: ["two"]})["label"]) == {"two"}


def test_commands_that_name_a_run_at_once_lose_no_name(tmp_path):
    run = finish(config_of(tmp_path, 4), label="own")
    names = [str(number) for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(lambda name: keep_label(run, name), names))
    assert {*labels_of(run)} == {"own", *names}


def test_a_dry_run_names_what_is_left_failed_and_impossible(tmp_path, capsys):
    runs = runs_of(tmp_path, 1, 2, 4)
    done, failed, _ = runs.values()
    finish(done, label="outer")
    finish(failed, status="failed: no memory")
    print_dry_run(Plan(runs), {("mixer.d_state=0",): "mixer.d_state=0 must be at least 1"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 runs: 1 done, 1 to do, 1 to do again, 0 left alone, 1 impossible"
    assert "to do again: mixer.d_state=2: failed: no memory" in lines
    assert "impossible: mixer.d_state=0: mixer.d_state=0 must be at least 1" in lines
    assert "to do: mixer.d_state=4" in lines
    assert lines[-1].startswith("about 0:0")
    assert lines[-1].endswith("MB of disk, as finished runs of this study took")
    assert not list(tmp_path.rglob("report")), "a dry run writes nothing"


def test_a_dry_run_names_a_damaged_run_which_is_to_do(tmp_path, capsys):
    (config,) = (runs := runs_of(tmp_path, 4)).values()
    summary = finish(config) / "summary.json"
    summary.write_text(summary.read_text().replace('"accuracy": 0.5', '"accuracy": 0.9'))
    print_dry_run(plan := Plan(runs), {})
    assert plan.waiting == [*runs]
    line = f"damaged: mixer.d_state=4: {summary}: changed since the run wrote it"
    assert line in capsys.readouterr().out.splitlines()


def test_what_belongs_to_a_sweep_is_not_swept(tmp_path):
    runs = {(f"study={name}",): config_of(tmp_path, 4, study=name) for name in ("a", "b")}
    with pytest.raises(InputError, match=r"^study=a, b: cannot be swept; all runs of a sweep have one value$"):
        check_same(runs, OmegaConf.create())


def test_a_linked_run_folder_is_read(tmp_path):
    config = config_of(tmp_path, 4)
    run = finish(config)
    run.rename(tmp_path / config.run_id)
    run.symlink_to(tmp_path / config.run_id)
    assert set(collect(run.parent)["run_id"]) == {config.run_id}
