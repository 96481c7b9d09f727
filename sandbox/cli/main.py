"""`sandbox`: trains what the config describes. Without arguments it runs the quickstart."""

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sandbox.cli.compose import check, conf_dir, from_hydra, register_schema
from sandbox.cli.grids import LAPTOP
from sandbox.cli.input_errors import as_one_line
from sandbox.cli.memory import release_memory
from sandbox.cli.plan import Plan, print_dry_run
from sandbox.cli.report_axes import check_report
from sandbox.cli.startup import silence_third_parties, use_compile_cache, use_cores_as_devices
from sandbox.cli.sweep import POLL_SECONDS, SweepFailed
from sandbox.errors import InputError, NoSpace
from sandbox.files import make_writable
from sandbox.run_folder import RunBusy, RunState, is_locked, state_of
from sandbox.stopping import Stopped, check_stop, stop_when_told

if TYPE_CHECKING:
    from sandbox.config import Config

QUICKSTART = "experiment=quickstart"
DRY_RUN = "--dry-run"
"""The option that stands for the key `dry_run`, since Hydra has no room for options of ours."""
MULTIRUN = ("-m", "--multirun")


def main() -> None:
    """Console script. Exits with code 2 after one line for wrong input, with 1 if a run failed."""
    dry_run = DRY_RUN in sys.argv
    sys.argv = [text for text in sys.argv if text != DRY_RUN]
    sys.argv[1:] = sorted(
        sys.argv[1:], key=lambda text: text not in MULTIRUN
    )  # Hydra wants it before the overrides
    if len(sys.argv) == 1:
        sys.argv.append(QUICKSTART)
    if dry_run:
        sys.argv.append("dry_run=true")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors arrive here, and are printed once
    silence_third_parties()
    refuse_unknown_options()
    register_schema()
    stop_when_told(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        _configure_and_run()
    except (SweepFailed, NoSpace) as failed:
        sys.exit(str(failed))
    except Stopped as stopped:
        print("stopped; the same command goes on from the newest checkpoints", file=sys.stderr)
        sys.exit(stopped.code)
    except Exception as error:
        if (line := as_one_line(error)) is None:
            raise
        refuse(line)


def refuse_unknown_options() -> None:
    """Reads the options as Hydra will, which prints its usage before the line that says what is wrong."""
    parser = get_args_parser()
    setattr(parser, "error", refuse)  # noqa: B010 (a plain assignment is an error to mypy)
    parser.parse_args()


def refuse(line: str) -> NoReturn:
    """Ends the process with one line and code 2."""
    print(f"sandbox: {line}", file=sys.stderr)
    sys.exit(2)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def _configure_and_run(composed: DictConfig) -> None:
    """Trains one run, which stands alone or belongs to a sweep; jax is imported once it is known to be needed."""
    in_sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    try:
        config = check(composed)
        if not in_sweep and config.scale.name != LAPTOP:
            raise InputError(f"scale={config.scale.name}: experiments have scales, and this is one run")
        if not in_sweep:
            check_report([config])
            if not config.dry_run:
                make_writable(config.directory)
            _train_alone(composed, config)
    except Exception as error:  # here, because Hydra would print a line of its own about the job
        if (line := as_one_line(error)) is None:
            raise
        refuse(line)
    if in_sweep:
        _train(composed, config)


def _train_alone(composed: DictConfig, config: "Config") -> None:
    """Trains one run and reports on it; or waits for the command that trains it."""
    from sandbox.cli.display import console
    from sandbox.cli.summary import summarise_runs

    runs = {tuple(HydraConfig.get().overrides.task): config}
    if config.dry_run:
        return print_dry_run(Plan(runs), {})
    plan = Plan(runs)
    plan.retry_failed = True  # who asks for this one run means it
    for note in plan.notes():
        console.print(note)
    while not plan.in_state(RunState.finished):
        try:
            _train(composed, config)
        except RunBusy as busy:
            console.print(f"{busy}; waiting for it")
            while is_locked(config.directory):
                check_stop()
                time.sleep(POLL_SECONDS)
        plan = Plan(runs)
    plan.keep_names()
    summarise_runs(plan.folder, plan.finished_names(), config.report)


def _train(composed: DictConfig, config: "Config") -> None:
    """Trains a run, unless it is finished."""
    if state_of(config.directory)[0] is RunState.finished:
        return
    from sandbox.cli.display import sweep_progress, training
    from sandbox.cli.tracking import tracked
    from sandbox.run import run

    use_cores_as_devices()
    use_compile_cache()
    config = from_hydra(composed)
    overrides = HydraConfig.get().overrides.task
    if HydraConfig.get().mode is RunMode.MULTIRUN and sweep_progress.total == 1:  # perhaps in a process of its own
        same = HydraConfig.get().job.config.override_dirname.exclude_keys
        sweep_progress.begin(1, 0, {text.partition("=")[0] for text in overrides}.difference(same))
    try:
        with training(config, overrides) as listen, tracked(config, listen) as listen_and_track:
            run(config, listen_and_track)
    finally:
        release_memory()
