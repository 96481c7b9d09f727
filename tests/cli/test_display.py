"""What stays on the terminal of a run that has finished."""

import dataclasses
import types

import pytest
from invented_runs import write_run
from rich.progress import Progress

from sandbox.cli import display
from sandbox.cli.summary import print_scores
from sandbox.report.tables import Score, Table
from sandbox.run_folder import read_summary, write_summary
from sandbox.train.config import TrainConfig


@pytest.mark.parametrize("edge", ["", "lowest", "highest"])
def test_a_finished_run_says_if_the_best_learning_rate_is_an_edge(edge, tmp_path, capsys):
    directory = write_run(tmp_path, "a", {(0.01, 0): 0.5, (0.003, 0): 0.4}, selected=0.01)
    write_summary(directory, [dataclasses.replace(record, edge=edge) for record in read_summary(directory)])
    config = types.SimpleNamespace(directory=directory, train=TrainConfig(steps=7, num_seeds=1))
    display.finished(config, "run 1/1", 2.4)
    note = f" · best learning rate 0.01 is the {edge} tried" if edge else ""
    assert capsys.readouterr().out == f"run 1/1 · 2 members x 7 steps · finished in 2 s{note}\n"


def test_texts_stay_as_they_were_typed(capsys):
    """No markup, no emoji for `:bomb:`; and a long one leaves space for the bar."""
    label = "[/b] :bomb: 100%"
    config = types.SimpleNamespace(resolved_label=label + "x" * 300)
    title = display.SweepProgress().begin_run(config, [])
    assert title.startswith(label)
    assert len(title) < 60
    bars = Progress(*display.columns(), console=display.console)
    task = bars.add_task(title, note="")
    assert str(display.columns()[0].render(bars.tasks[task])) == title
    print_scores(Table(["Series"], 1, ["all"], [([label], [Score("50.0", "", True)])], False, False, False))
    assert label in capsys.readouterr().out


def test_a_further_learning_rate_is_named_and_its_speed_is_its_own():
    speed = display.Speed(types.SimpleNamespace(train=TrainConfig(learning_rates="auto", num_seeds=2)))
    for rates, step in (([1e-3, 3e-3, 1e-2], 100), ([1e-3, 3e-3, 1e-2], 200), ([3e-2], 0), ([3e-2], 100)):
        speed.update(rates, step, 0.5)
        assert (speed.left is not None) == (step == 200)
    assert speed.note(None) == "learning rate 0.03 too · best accuracy 0.500"
