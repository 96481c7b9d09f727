"""The trials of a search: each a run of the project, suggested by Optuna and kept in a journal beside the runs."""

import json
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from hydra import compose
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from sandbox.cli import display
from sandbox.cli.compose import from_hydra
from sandbox.cli.memory import release_memory
from sandbox.cli.search_space import SearchSpace
from sandbox.errors import InputError, NoSpace
from sandbox.results import ALL_EXAMPLES, STATUS_DIVERGED, Record
from sandbox.run_folder import RunBusy, RunState, state_of

if TYPE_CHECKING:
    from sandbox.config import Config
    from sandbox.train.loop import Listener

JOURNAL = "tune.journal"
"""Optuna's journal in the study's folder: text, a line per event."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

UNPRUNED = 0.25
"""Share of `train.steps` during which no trial is pruned: recall is flat for a while before it rises."""

SEARCH, RUN_ID, OVERRIDES, REASON = "search", "run_id", "overrides", "reason"
"""What a study and its trials keep beside Optuna's own fields."""


class Pruned(BaseException):
    """Ends a run from its listener. Not an Exception, which a run takes for its own failure and records."""


def open_study(space: SearchSpace, first: "Config") -> optuna.Study:
    """The search that the study's folder has, or a new one; raises InputError if that one is another search.

    Args:
        space: what is searched.
        first: the config of its first run, which stands for all that the trials share.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = first.directory.parent / JOURNAL
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=SEARCH,
            direction="maximize",
            load_if_exists=True,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
        raise InputError(f"{path}: damaged ({error}); move it away to search anew") from error
    asked = {"first run": first.run_id, "knobs": [knob.written for knob in space.knobs]}
    found = study.user_attrs.get(SEARCH, asked)
    if found != asked:
        of = f"{' '.join(found['knobs'])}, its first run {found['first run']}"
        raise InputError(f"study={first.study}: {path} has another search ({of}): choose another study=")
    study.set_user_attr(SEARCH, asked)
    return study


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that are complete, pruned or failed."""
    return study.get_trials(deepcopy=False, states=ENDED)


def next_trial(study: optuna.Study, seed: int) -> Trial:
    """The trial that a stopped search was in, or a new one.

    Each has a sampler of its own, seeded by the search's seed and its number: one sampler for all would start anew
    in a search that resumes, and suggest its first trials again.
    """
    number = len(ended(study))
    (sampler_seed,) = np.random.SeedSequence([seed, number]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(sampler_seed))
    stopped = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return Trial(study, stopped[0]._trial_id) if stopped else study.ask()


def run_trial(study: optuna.Study, trial: Trial, space: SearchSpace, *, pruning: bool) -> None:
    """Trains the run of this trial and tells the study its value, that it was pruned, or why it failed."""
    from sandbox.run import run

    overrides = space.overrides({knob.key: knob.suggest(trial) for knob in space.knobs})
    trial.set_user_attr(OVERRIDES, overrides)
    try:
        config = from_hydra(compose("config", overrides=overrides))
        trial.set_user_attr(RUN_ID, config.run_id)
        state, reason = state_of(config.directory)
        if state is RunState.fatal:
            raise RuntimeError(reason)
        with display.training(config, overrides) as show:
            records = run(config, _listener(study, trial, config, show, pruning=pruning))
    except Pruned as pruned:
        shutil.rmtree(config.directory)  # half a run: the journal has its evaluations
        study.tell(trial, state=TrialState.PRUNED)
        display.console.print(f"trial {trial.number + 1} pruned at {pruned}")
    except (RunBusy, NoSpace):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.FAIL)
        display.console.print(f"trial {trial.number + 1} failed: {reason}", style="red")
    else:
        study.tell(trial, value_of(records))
    release_memory()


def _listener(
    study: optuna.Study, trial: Trial, config: "Config", show: "Listener", *, pruning: bool
) -> "Listener":
    """Shows the run, reports its evaluations to Optuna, and raises Pruned if that says so."""
    steps = config.train.steps
    study.pruner = optuna.pruners.MedianPruner(n_warmup_steps=round(UNPRUNED * steps))
    reported = max(study.get_trials(deepcopy=False)[trial.number].intermediate_values, default=0)

    def listen(rates: Sequence[float], step: int, history: list[dict[str, Any]]) -> None:
        nonlocal reported
        show(rates, step, history)
        for at, accuracy in accuracies(history).items():
            if at > reported:
                trial.report(accuracy, at)
                reported = at
        if pruning and reported < steps and trial.should_prune():
            raise Pruned(f"step {reported} of {steps}")

    return listen


def accuracies(history: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Step -> validation accuracy of the best learning rate, averaged over seeds, from rows of `metrics.csv`."""
    scores: dict[int, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in history:
        scores[row["step"]][row["learning_rate"]].append(row["validation_accuracy"])
    return {step: max(map(statistics.fmean, of_step.values())) for step, of_step in sorted(scores.items())}


def value_of(records: Iterable[Record]) -> float:
    """Validation accuracy at the selected learning rate, averaged over seeds; a member that diverged counts 0."""
    return statistics.fmean(
        0.0 if record.status == STATUS_DIVERGED else record.accuracy
        for record in records
        if record.selected and record.split == "validation" and record.slice == ALL_EXAMPLES
    )
