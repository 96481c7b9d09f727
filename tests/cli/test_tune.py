"""`sandbox-tune`: search spaces and what is refused; trials that fail, stop or are pruned; the best of them."""

import shlex
import signal
import sys

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from invented_runs import write_run

from sandbox.cli import report
from sandbox.cli.tune import main
from sandbox.run_folder import LOCK, read_summary, unfinished_runs
from sandbox.stopping import Stopped

pytest.importorskip("optuna", reason="needs the extra `tune`: no module named optuna")

from sandbox.cli import trials
from sandbox.cli.trial_tables import print_best
from sandbox.cli.trials import JOURNAL, OVERRIDES, accuracies, value_of

RATE = "train.learning_rates"


@pytest.fixture(autouse=True)
def fresh_hydra():
    yield
    GlobalHydra.instance().clear()


@pytest.fixture
def invent(monkeypatch):
    """Makes runs take no time and returns the rates that were run, of which 1e-2 is best; `fail` may raise."""

    def install(fail=lambda count: None):
        rates = []

        def run(config, listen):
            (rate,) = config.train.learning_rates
            rates.append(rate)
            fail(len(rates))
            accuracy = 1 / (1 + abs(rate - 1e-2))
            write_run(config.directory.parent, config.run_id, {(rate, 0): 10 * accuracy}, selected=rate)
            rows = []
            for step in (5, 10, 20, 40):
                rows.append({"step": step, "learning_rate": rate, "seed": 0, "validation_accuracy": accuracy})
                listen([rate], step, rows)
            return read_summary(config.directory)

        monkeypatch.setattr("sandbox.run.run", run)
        return rates

    return install


def search(folder, *arguments, code=0):
    """The table of trials that the command writes."""
    assert main([f"output_dir={folder}", "train.steps=40", *arguments]) == code
    return pd.read_csv(folder / "tune" / "trials.csv")


WRONG = {
    "no function": ([f"{RATE}=log2(1,2)"], f"{RATE}=log2(1,2): cannot be read as KEY=VALUE, KEY=log(LOW,HIGH), "),
    "no interval": (
        ["train.clip_norm=interval(1,1)"],
        "train.clip_norm=interval(1,1): the first number must be",
    ),
    "no logarithm": (["train.clip_norm=log(0,1)"], "train.clip_norm=log(0,1): a logarithm needs numbers above 0"),
    "twice": (
        ["mixer.d_state=8", "mixer.d_state=choice(2,4)"],
        "mixer.d_state=choice(2,4): mixer.d_state is given",
    ),
    "an unknown key": (["mixer.d_stat=choice(2,4)"], "mixer.d_stat: no such key (did you mean d_state?)"),
    "an end": (["train.batch_size=interval(0,8)"], "train.batch_size=0 must be at least 1"),
    "half a row": (["mixer.d_state=interval(2,4.5)"], "mixer.d_state=4.5 must be a whole number"),
    "one of a choice": (["mixer=choice(gla,gal)"], "mixer=gal: no such choice"),
    "no effect": (["label=choice(a,b)"], "label=choice(a,b): some of these values give the same results"),
    "one rate": (["train.halving=[0.5]"], "train.halving=[0.5] needs two train.learning_rates or more"),
    "many runs": (["experiment=quickstart"], "experiment=quickstart: many runs, and a search varies one"),
    "another's key": (["tracker=tensorboard"], "tracker=tensorboard: sandbox-tune has no use for this key"),
    "a dry run": (["dry_run=true"], "dry_run=true: sandbox-tune has no use for this key"),
    "no trials": (["--trials", "0"], "argument --trials: 0 is not a whole number of at least 1"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trials, "open_study", lambda *_: pytest.fail("a search began"))
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sandbox-tune: {message}")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().err.startswith("sandbox-tune: needs Optuna, the extra `tune`: uv run --extra tune ")


def test_the_knobs_take_values_of_their_keys_and_are_compared(invent, capsys, tmp_path):
    invent()
    knobs = [f"{RATE}=choice(1e-3,1e-2)", "mixer.d_state=interval(2,64)", "train.weight_decay=interval(0,1)"]
    arguments = [*knobs, "train.batch_size=log(2,64)", "--no-pruning", "--trials"]
    search(tmp_path, *arguments, "9")
    assert "importance" not in capsys.readouterr().out, "too few trials"
    table = search(tmp_path, *arguments, "10")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("importance"))
    assert all(key in line for key in (RATE, "mixer.d_state", "train.weight_decay", "train.batch_size"))
    assert set(table[RATE]) == {1e-3, 1e-2}
    assert table["mixer.d_state"].dtype == table["train.batch_size"].dtype == int
    assert table["train.weight_decay"].dtype == float
    for key, low, high in [("mixer.d_state", 2, 64), ("train.weight_decay", 0, 1), ("train.batch_size", 2, 64)]:
        assert table[key].between(low, high).all()
        assert table[key].nunique() > 4


def test_knobs_of_equal_trials_are_not_compared(capsys):
    study = trials.optuna.create_study(direction="maximize")
    for number in range(12):
        trial = study.ask()
        trial.set_user_attr(OVERRIDES, ["a=1", f"b={number}"])
        study.tell(trial, trial.suggest_float("a", 0, 1) * 0 + trial.suggest_int("b", 0, 9) * 0)
    assert print_best(study)
    printed = capsys.readouterr().out
    assert "the best: sandbox a=1 b=0" in printed
    assert "importance" not in printed


def test_the_best_is_printed_with_its_command(invent, capsys, tmp_path):
    invent()
    table = search(tmp_path, "mixer=gla", "--trials", "6", "--no-pruning")
    assert table[RATE].between(1e-4, 1e-1).all(), "what is searched by default"
    best = table.loc[(table[RATE] - 1e-2).abs().idxmin()]
    printed = capsys.readouterr().out.splitlines()
    (command,) = (line for line in printed if line.startswith("the best: "))
    words = shlex.split(command.removeprefix("the best: "))
    assert words[:2] == ["sandbox", f"output_dir={tmp_path}"]
    assert {"mixer=gla", "study=tune", f"{RATE}=[{best[RATE].item()!r}]"} <= {*words}
    assert best["trial"] == best.name + 1, "as in the lines of progress"
    assert best["validation_accuracy"] == table["validation_accuracy"].max()
    assert (tmp_path / "tune" / best["run_id"]).is_dir()


def test_a_stopped_search_goes_on_as_if_it_had_not(invent, capsys, tmp_path):
    def stop(count):
        if count == 3:
            raise Stopped(128 + signal.SIGINT)

    rates = invent(stop)
    with pytest.raises(SystemExit) as end:
        search(tmp_path / "stopped", "--trials", "5")
    assert end.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    stopped = search(tmp_path / "stopped", "--trials", "5")
    assert rates[3] == rates[2], "the trial that was training"
    assert len(rates) == 6
    whole = search(tmp_path / "whole", "--trials", "5")
    assert stopped.equals(whole)
    assert search(tmp_path / "whole", "--trials", "5").equals(whole)
    assert len(rates) == 11, "nothing was left"
    other = search(tmp_path / "seed", "--trials", "5", "seed=1")
    assert not set(other[RATE]) & set(whole[RATE])


def test_a_study_holds_one_search(invent, capsys, tmp_path):
    invent()
    search(tmp_path, "--trials", "1")
    for other in ("mixer=gla", f"{RATE}=log(1e-3,1e-1)"):
        with pytest.raises(SystemExit):
            search(tmp_path, other)
        message = f"sandbox-tune: study=tune: {tmp_path / 'tune' / JOURNAL} has another search ({RATE}=log("
        assert capsys.readouterr().err.startswith(message)


def test_a_failed_run_is_a_failed_trial(invent, capsys, tmp_path):
    def fail(count):
        if count == 2:
            raise RuntimeError("no memory")

    invent(fail)
    table = search(tmp_path, "--trials", "3")
    assert list(table["state"]) == ["complete", "fail", "complete"]
    assert table["reason"][1] == "RuntimeError: no memory"
    assert "trial 2 failed: RuntimeError: no memory" in capsys.readouterr().out

    invent(lambda count: 1 / 0)
    assert set(search(tmp_path / "all", "--trials", "2", code=1)["state"]) == {"fail"}


def test_trials_below_the_median_are_pruned(invent, tmp_path):
    invent()
    table = search(tmp_path, "--trials", "12")
    pruned = table[table["state"] == "pruned"]
    assert len(pruned) > 0
    assert set(pruned["step"]) == {10}, "a quarter of the steps"
    for number, trial in pruned.iterrows():
        before = table[:number]
        assert trial["validation_accuracy"] < before["validation_accuracy"].median()
    assert len(list((tmp_path / "tune").glob("*/"))) == len(table) - len(pruned)
    assert set(search(tmp_path / "all", "--trials", "12", "--no-pruning")["state"]) == {"complete"}


def test_a_member_that_diverged_counts_zero(tmp_path):
    members = {(1e-2, 0): 0.5, (1e-2, 1): 0.7, (1e-3, 0): 0.9}
    run = write_run(tmp_path, "a", members, selected=1e-2, diverged=[(1e-2, 1)])
    assert value_of(read_summary(run)) == pytest.approx(0.1 * 0.5 / 2), "on validation data"


def test_evaluations_are_those_of_the_best_rate():
    rows = [(1, 0.1, 0.2), (1, 0.1, 0.4), (1, 0.2, 0.1), (1, 0.2, 0.3), (2, 0.1, 0.5), (2, 0.2, 0.6)]
    history = [{"step": step, "learning_rate": rate, "validation_accuracy": score} for step, rate, score in rows]
    assert accuracies(history) == {1: pytest.approx(0.3), 2: 0.6}


@pytest.mark.slow(seconds=15)
def test_real_runs_of_which_one_is_pruned(monkeypatch, tmp_path):
    tiny = ["model.d_model=8", "task.length=16", "task.pairs=2", "task.vocab_size=16", "train.eval_every=2"]
    tiny += ["train.steps=4", "train.batch_size=4", "train.validation_examples=8", "train.test_examples=8"]
    monkeypatch.setattr(trials.Trial, "should_prune", lambda trial: trial.number == 1)
    monkeypatch.setattr("sandbox.run.failed_records", lambda *_: pytest.fail("a pruned run has not failed"))
    table = search(tmp_path, *tiny, "--trials", "2")
    assert list(table["state"]) == ["complete", "pruned"]
    study = tmp_path / "tune"
    assert {path.name for path in study.iterdir()} == {table["run_id"][0], "trials.csv", JOURNAL, LOCK}
    assert not unfinished_runs(study)
    records = read_summary(study / table["run_id"][0])
    assert {record.learning_rate for record in records} == {table[RATE][0]}
    assert value_of(records) == table["validation_accuracy"][0]
    assert report.main([str(study), "--formats", "svg"]) == 0
