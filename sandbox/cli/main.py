"""`sandbox`: trains what the config describes. Without arguments it runs the quickstart."""

import logging
import os
import pathlib
import sys
import warnings
from typing import NoReturn

import hydra
import jax
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sandbox.cli import display
from sandbox.cli.compose import from_hydra, register_schema
from sandbox.cli.input_errors import as_one_line
from sandbox.cli.summary import summarise
from sandbox.cli.sweeper import SweepFailed, register_sweeper
from sandbox.errors import InputError
from sandbox.run import make_writable, run, run_directory

QUICKSTART = "experiment=quickstart"


def main() -> None:
    """Console script. Exits with 2 after one line on wrong input, with 1 where a run failed."""
    if len(sys.argv) == 1:
        sys.argv.append(QUICKSTART)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors arrive here, and are printed once
    silence_third_parties()
    register_schema()
    register_sweeper()
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
    """Ends the process for wrong input."""
    print(f"sandbox: {line}", file=sys.stderr)
    sys.exit(2)


def conf_dir() -> str:
    """The folder of YAML files: inside the package when installed, beside it in a checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return str(folder)
    raise FileNotFoundError(f"conf/config.yaml: neither in {package} nor beside it")


def silence_third_parties() -> None:
    """Libraries that log to the root logger at INFO would bury the progress lines."""
    for name in ("jax", "orbax", "absl", "etils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def use_compile_cache() -> None:
    """A program compiled once is read from disk afterwards; JAX's own variable names another folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sandbox" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def _configure_and_run(composed: DictConfig) -> None:
    """One run: alone, or one of a sweep."""
    use_compile_cache()
    try:
        config = from_hydra(composed)
        make_writable(run_directory(config))
    except InputError as error:  # here, because Hydra would print a line of its own about the job
        refuse(str(error))
    with display.training(config, HydraConfig.get().overrides.task) as listen:
        run(config, listen)
    if HydraConfig.get().mode is not RunMode.MULTIRUN:
        summarise(run_directory(config).parent, [config.run_id])
