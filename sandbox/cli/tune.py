"""`sandbox-tune mixer=mamba 'mixer.d_state=choice(8,16)' --trials 30`: searches for the best knobs, with Optuna.

Overrides are those of `sandbox`. A searched key has log(LOW,HIGH), interval(LOW,HIGH) or choice(A,B,...) for its
value; without any, the learning rate is searched. A trial is one run; its value is the validation accuracy at its
best learning rate, averaged over seeds. The same command again resumes.
"""

import importlib.util
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.cli.options import Parser, positive

if TYPE_CHECKING:
    from sandbox.cli.search_space import SearchSpace
    from sandbox.config import Config


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trials that are left, and prints the best. Exits with 2 for wrong input, with 1 if all failed."""
    parser = _parser()
    args = parser.parse_intermixed_args(argv)

    # Not at the top: --help should not wait for Hydra.
    from hydra import initialize_config_dir

    from sandbox.cli.compose import conf_dir, register_schema
    from sandbox.cli.input_errors import as_one_line
    from sandbox.cli.startup import silence_third_parties
    from sandbox.errors import NoSpace
    from sandbox.run_folder import RunBusy
    from sandbox.stopping import Stopped, stop_when_told

    if importlib.util.find_spec("optuna") is None:
        parser.error("needs Optuna, the extra `tune`: uv run --extra tune sandbox-tune ..., or pip install optuna")
    silence_third_parties()
    register_schema()
    stop_when_told(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3", job_name=parser.prog):
            return _search(args.overrides, args.trials, pruning=args.pruning)
    except Stopped as stopped:
        print("stopped; the same command goes on with the trial that was training", file=sys.stderr)
        sys.exit(stopped.code)
    except (RunBusy, NoSpace) as error:
        sys.exit(str(error))
    except Exception as error:
        if (line := as_one_line(error)) is None:
            raise
        parser.error(line)


def _parser() -> Parser:
    parser = Parser(prog="sandbox-tune", description=__doc__)
    text = "of all runs, and the searched keys (default: train.learning_rates=log(1e-4,1e-1))"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)
    text = "trials of the search, those of earlier commands included (default: %(default)s)"
    parser.add_argument("--trials", type=positive, default=30, metavar="N", help=text)
    text = "train every trial to its end; else one is stopped when it is worse than the median of those before"
    parser.add_argument("--no-pruning", dest="pruning", action="store_false", help=text)
    return parser


def _search(overrides: Sequence[str], trials: int, *, pruning: bool) -> int:
    from sandbox.cli.search_space import read_space
    from sandbox.files import make_writable
    from sandbox.run_folder import locked

    space, first = read_space(overrides)
    folder = first.directory.parent
    make_writable(folder)
    with locked(folder):
        return _try(space, first, trials, pruning=pruning)


def _try(space: "SearchSpace", first: "Config", trials: int, *, pruning: bool) -> int:
    # Not before the input is known to be right.
    from sandbox.cli.display import console, start_sweep
    from sandbox.cli.startup import use_compile_cache, use_cores_as_devices
    from sandbox.cli.trial_tables import TRIALS, print_best, write_trials
    from sandbox.cli.trials import ended, next_trial, open_study, run_trial

    folder = first.directory.parent
    study = open_study(space, first)
    done = len(ended(study))
    start_sweep(max(trials, done), done, [knob.key for knob in space.knobs])
    if done < trials:
        use_cores_as_devices()
        use_compile_cache()
    try:
        while len(ended(study)) < trials:
            run_trial(study, next_trial(study, first.seed), space, pruning=pruning)
    finally:
        if ended(study):
            write_trials(study, folder)
    has_best = print_best(study)
    console.print(f"all trials: {folder / TRIALS}; figures: sandbox-report {folder}")
    return 0 if has_best else 1
