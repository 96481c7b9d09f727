"""What a search leaves behind and prints: the table of its trials, the best of them, what mattered."""

import pathlib
import shlex
import warnings
from collections import Counter

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sandbox.cli.display import console
from sandbox.cli.trials import OVERRIDES, REASON, RUN_ID, ended
from sandbox.files import write_atomically
from sandbox.tables import to_csv

TRIALS = "trials.csv"
"""The table of all trials, in the study's folder."""

SHOWN = 10
"""Trials that the table in the terminal has at most."""

COMPARED = 10
"""Complete trials that a comparison of knobs needs: PED-ANOVA (Watanabe et al., 2023) looks at the best tenth."""


def write_trials(study: optuna.Study, folder: pathlib.Path) -> pathlib.Path:
    """Writes every trial that ended: its knobs, state, validation accuracy, last evaluation, and run.

    Trials are counted from 1, as in the lines of progress; Optuna's journal counts them from 0.
    """
    rows = [
        {
            "trial": trial.number + 1,
            "state": trial.state.name.lower(),
            "validation_accuracy": trial.value,
            "step": trial.last_step,
            **trial.params,
            "run_id": trial.user_attrs.get(RUN_ID),
            "reason": trial.user_attrs.get(REASON),
        }
        for trial in ended(study)
    ]
    write_atomically(folder / TRIALS, to_csv(pd.DataFrame(rows)))
    return folder / TRIALS


def print_best(study: optuna.Study) -> bool:
    """Prints the best trials, the share of each knob, and the command of the best; False if there is none."""
    trials = ended(study)
    counts = Counter(trial.state.name.lower() for trial in trials)
    console.print(f"{len(trials)} trials: " + ", ".join(f"{number} {state}" for state, number in counts.items()))
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        return False
    best = sorted(complete, key=lambda trial: -_value(trial))
    knobs = list(best[0].params)
    table = Table(title="validation accuracy, per cent", title_justify="left", box=SIMPLE_HEAD)
    for head in ("trial", "accuracy", *knobs):
        table.add_column(head, justify="right")
    for trial in best[:SHOWN]:
        table.add_row(
            str(trial.number + 1), f"{100 * _value(trial):.1f}", *(_short(trial.params[key]) for key in knobs)
        )
    console.print(table)
    if len(knobs) > 1 and len(complete) >= COMPARED and (shares := _shares(study)):
        console.print(
            "importance (PED-ANOVA): " + ", ".join(f"{key} {share:.2f}" for key, share in shares.items())
        )
    console.print(f"the best: {shlex.join(['sandbox', *best[0].user_attrs[OVERRIDES]])}")
    return True


def _shares(study: optuna.Study) -> dict[str, float]:
    """How much each knob sets the best tenth of trials apart, in sum 1; empty where that ties with the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return optuna.importance.get_param_importances(study)
        except UserWarning:
            return {}


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
