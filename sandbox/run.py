"""`run(config)`: trains one population, measures it, and writes its records. No Hydra, no printing."""

import contextlib
import dataclasses
import importlib.metadata
import math
import platform
import traceback
import warnings

import jax
import numpy as np
import yaml
from jaxtyping import Bool, Float

from sandbox.code_version import code_commit
from sandbox.config import Config, flatten, plain, recorded
from sandbox.cores import num_threads
from sandbox.cost.programs import decoding, training
from sandbox.cost.state import num_parameters, state_bytes
from sandbox.counted import counted
from sandbox.errors import DamagedFileWarning, InputError, NoSpace
from sandbox.files import make_writable, out_of_space, write_atomically
from sandbox.results import (
    ALL_EXAMPLES,
    STATUS_DIVERGED,
    STATUS_FAILED,
    STATUS_HALVED,
    STATUS_OK,
    Record,
)
from sandbox.run_folder import (
    CONFIG,
    DEATHS,
    FAILURE,
    SUMMARY,
    RunState,
    locked,
    read_summary,
    state_of,
    training_noted,
    write_summary,
)
from sandbox.tasks.streams import Split
from sandbox.tasks.task import on_each
from sandbox.train.config import Loss
from sandbox.train.evaluation import EvaluationSet
from sandbox.train.learning_rates import best_learning_rate, edge_of_grid
from sandbox.train.loop import Fitted, Listener, fit
from sandbox.train.macro_accuracy import macro_accuracy
from sandbox.train.population import joined, mapping, members_of
from sandbox.train.step import Member, Params, Problem

RECORDED_PACKAGES = ("sandbox", "jax", "jaxlib", "flax", "optax", "numpy")
"""Packages whose versions a record keeps."""


def run(config: Config, listen: Listener = lambda rates, step, history: None) -> list[Record]:
    """Trains and measures the population that `config` describes, or reads the records of a finished run.

    Resumes from the newest checkpoint, if there is one. `listen` is called after every evaluation.

    Raises:
        InputError: the output folder cannot be written to, or a model cannot run here; nothing is compiled then.
        RunBusy: another process trains this run.
        NoSpace: the disk took no more. What was written stays, and the same run goes on from there.

    An error during training is raised again once its traceback is in `failure.txt` and the run has records with
    the status `failed: why`.
    """
    directory = config.directory
    if state_of(directory)[0] is RunState.finished:
        return read_summary(directory)
    make_writable(directory)
    with locked(directory):
        state, reason = state_of(directory)
        if state is RunState.finished:  # another process was faster
            return read_summary(directory)
        if state is RunState.damaged:
            warnings.warn(f"{reason}; the run is done again", DamagedFileWarning, stacklevel=2)
        (directory / SUMMARY).unlink(missing_ok=True)  # of a failure: it would hide how this attempt ends
        try:
            with training_noted(directory):
                return _train(config, listen)
        except Exception as error:
            if (lack := out_of_space(error)) is None:
                raise
            raise NoSpace(f"{directory}: {lack}; the same command goes on once there is room") from error


def _train(config: Config, listen: Listener) -> list[Record]:
    directory = config.directory
    problem = Problem(config.model, config.mixer, config.task, config.train)
    description = describe(config, problem)
    write_atomically(directory / CONFIG, yaml.safe_dump(plain(config), sort_keys=False))
    try:
        validation = EvaluationSet(config.task, Split.VALIDATION, config.train.validation_examples)
        fitted = fit(
            problem,
            config.seed,
            validation,
            directory,
            checkpoint_seconds=config.checkpoint_seconds,
            listen=listen,
        )
        records = measure(config, problem, fitted, validation, description)
    except Exception as error:
        if out_of_space(error) is None:
            with contextlib.suppress(OSError):  # the folder may be gone: the error itself is to be told
                write_atomically(directory / FAILURE, traceback.format_exc())
                write_summary(directory, failed_records(config, description, error))
        raise
    for name in (FAILURE, DEATHS):
        (directory / name).unlink(missing_ok=True)
    write_summary(directory, records)
    return records


def describe(config: Config, problem: Problem) -> Record:
    """The record that all members of a run start from. Traces the model, and compiles nothing.

    Raises InputError if a mixer asks for an implementation that cannot run it here.
    """
    model, length = problem.abstract_model, config.longest
    scored = None if config.train.loss is Loss.all else config.task.num_scored
    try:
        step = training(model, config.train.batch_size, config.task.max_len, scored).trace()
        decode = decoding(model, 1, length).trace()
    except NotImplementedError as error:
        raise InputError(f"mixer.{error}") from error
    return Record(
        study=config.study,
        run_id=config.run_id,
        label=config.resolved_label,
        state_bytes=state_bytes(model, length),
        parameters=num_parameters(model),
        training_flops_per_token=math.nan if step.flops_per_token is None else step.flops_per_token,
        decode_flops_per_token=math.nan if decode.flops_per_token is None else decode.flops_per_token,
        implementation=", ".join(step.implementations),
        population=mapping(),
        platform=ran_on(),
        commit=code_commit(),
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
        config=flatten(recorded(config)),
    )


def ran_on() -> str:
    """The kind of device and, of a CPU, the cores that compute: seconds compare only where they are equal."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    return f"{device.device_kind}, {counted(num_threads(), 'core')}"


def measure(
    config: Config, problem: Problem, fitted: Fitted, validation: EvaluationSet, description: Record
) -> list[Record]:
    """The records of a trained population, one per member, split and slice."""
    test = EvaluationSet(config.task, Split.TEST, config.train.test_examples)
    sets = {Split.VALIDATION: validation, Split.TEST: test}
    scores = {
        Split.VALIDATION: fitted.validation,
        Split.TEST: joined([test.score(problem, params) for params in fitted.params]),
    }
    rates, seeds, members = fitted.rates, fitted.seeds, fitted.members
    halved = np.asarray(members.halved)
    best = best_learning_rate(rates, halved, fitted.validation)
    edge = edge_of_grid(rates, halved, fitted.validation, config.train.solved_at)
    chance = {split: chance_of_each(examples) for split, examples in sets.items()}
    chosen = rates == best
    on_their_own = _free_running(problem, fitted, test, chosen)
    by_class = _macro_accuracy(problem, fitted, test, chosen)
    return [
        dataclasses.replace(
            description,
            status=status_of(members, member),
            split=split.name.lower(),
            slice=name,
            learning_rate=rates[member].item(),
            seed=seeds[member].item(),
            selected=bool(chosen[member]),
            edge=edge,
            accuracy=scores[split].accuracy[member, mask].mean().item(),
            exact=scores[split].exact[member, mask].mean().item(),
            free_running=on_their_own[member, mask].mean().item() if split is Split.TEST else math.nan,
            macro_accuracy=by_class[name][member].item() if split is Split.TEST else math.nan,
            loss=scores[split].loss[member, mask].mean().item(),
            chance=chance[split][mask].mean().item(),
            steps=members.steps[member].item(),
            seconds=round(fitted.seconds, 3),
        )
        for split, examples in sets.items()
        for name, mask in examples.slices.items()
        for member in range(len(rates))
    ]


def _free_running(
    problem: Problem, fitted: Fitted, test: EvaluationSet, chosen: Bool[np.ndarray, "P"]
) -> Float[np.ndarray, "P E"]:
    """Which examples the chosen members answer right while they read their own answers; nan for all others."""
    right = np.full((len(chosen), len(test.slices[ALL_EXAMPLES])), np.nan, np.float32)
    if problem.train.free_running:
        right[chosen] = test.free_running(problem, _parameters(fitted, chosen))
    return right


def _macro_accuracy(
    problem: Problem, fitted: Fitted, test: EvaluationSet, chosen: Bool[np.ndarray, "P"]
) -> dict[str, Float[np.ndarray, "P"]]:
    """The accuracy averaged over classes of the chosen members on each slice; nan for all others."""
    scores = {name: np.full(len(chosen), np.nan) for name in test.slices}
    if problem.train.macro_accuracy:
        answers = test.answers(problem, _parameters(fitted, chosen))
        for name, mask in test.slices.items():
            scores[name][chosen] = macro_accuracy(answers, mask)
    return scores


def _parameters(fitted: Fitted, chosen: Bool[np.ndarray, "P"]) -> Params:
    """The parameters of the chosen members."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[chosen], *fitted.params)


def status_of(members: Member, index: int) -> str:
    """How the training of one member ended."""
    if members.diverged[index]:
        return STATUS_DIVERGED
    return STATUS_HALVED if members.halved[index] else STATUS_OK


def chance_of_each(examples: EvaluationSet) -> Float[np.ndarray, "E"]:
    """The chance of each example, by its difficulty; see `TaskConfig.chance`."""
    parts = [on_each(examples.task.chance, batch.slices)[:count] for batch, count in examples.parts]
    return np.concatenate(parts)


def failed_records(config: Config, description: Record, error: Exception) -> list[Record]:
    """The records of a run that an error stopped, one per member: no scores, and the reason."""
    first_line = (str(error) or repr(error)).partition("\n")[0]
    members = members_of(config.train.first_rates, config.train.num_seeds, config.seed)
    return [
        dataclasses.replace(
            description,
            status=f"{STATUS_FAILED}: {first_line}",
            split=Split.TEST.name.lower(),
            slice=ALL_EXAMPLES,
            learning_rate=rate.item(),
            seed=seed.item(),
        )
        for rate, seed in zip(*members, strict=True)
    ]
