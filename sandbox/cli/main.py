"""`sandbox`: trains what the config describes. Without arguments it runs the quickstart."""

import os
import sys
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sandbox.cli.compose import check, conf_dir, from_hydra, register_schema
from sandbox.cli.input_errors import as_one_line
from sandbox.cli.startup import silence_third_parties, use_compile_cache, use_cores_as_devices
from sandbox.cli.sweep import SweepFailed
from sandbox.errors import InputError
from sandbox.results import is_to_do, make_writable

QUICKSTART = "experiment=quickstart"


def main() -> None:
    """Console script. Exits with code 2 after one line for wrong input, with 1 if a run failed."""
    if len(sys.argv) == 1:
        sys.argv.append(QUICKSTART)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors arrive here, and are printed once
    silence_third_parties()
    register_schema()
    try:
        _configure_and_run()
    except SweepFailed as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the newest checkpoints")
    except Exception as error:
        if (line := as_one_line(error)) is None:
            raise
        refuse(line)


def refuse(line: str) -> NoReturn:
    """Ends the process with one line and code 2."""
    print(f"sandbox: {line}", file=sys.stderr)
    sys.exit(2)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def _configure_and_run(composed: DictConfig) -> None:
    """Trains one run, which stands alone or belongs to a sweep; jax is imported once it is known to be needed."""
    try:
        config = check(composed)
        make_writable(config.directory)
    except InputError as error:  # here, because Hydra would print a line of its own about the job
        refuse(str(error))
    if is_to_do(config.directory):
        _train(composed)
    if HydraConfig.get().mode is not RunMode.MULTIRUN:
        from sandbox.cli.summary import summarise_runs

        summarise_runs(config.directory.parent, [config.run_id])


def _train(composed: DictConfig) -> None:
    from sandbox.cli import display
    from sandbox.run import run

    use_cores_as_devices()
    use_compile_cache()
    config = from_hydra(composed)
    with display.training(config, HydraConfig.get().overrides.task) as listen:
        run(config, listen)
