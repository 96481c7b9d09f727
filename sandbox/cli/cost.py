"""`sandbox-cost mixer=gla,softmax model.d_model=64`: what models cost against the length of a sequence.

Overrides are those of `sandbox`, several values by commas, or `experiment=NAME` for the models of one. Bytes and
arithmetic are counted in the models' own state and programs; times are measured, models in turns. Training is loss
and gradients at every position, without the optimiser's update; prefill gives logits at every position.
"""

import argparse
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sandbox.cli.bench import Parser, positive

if TYPE_CHECKING:
    from sandbox.config import Config

PHASES = ("training", "prefill", "decoding")
STATE_LENGTHS = tuple(4**power for power in range(11))
"""Lengths at which the state is counted for the figure: 1 to 1 048 576."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables and writes tables and figures; the exit code is 2 for wrong input."""
    parser = Parser(prog="sandbox-cost", description=__doc__)
    _add_options(parser)
    args = parser.parse_intermixed_args(argv)

    # Not at the top: jax takes a second, which --help should not.
    from sandbox.cli.input_errors import as_one_line
    from sandbox.cli.main import silence_third_parties, use_compile_cache
    from sandbox.errors import InputError
    from sandbox.report.drawing import check_formats

    silence_third_parties()
    use_compile_cache()
    try:
        check_formats(args.formats)
        configs = dict(_by_implementation(_by_series(args.overrides), args.implementations))
        if args.against is not None and args.against not in configs:
            raise InputError(f"--against {args.against!r}: no such series; there are {', '.join(configs)}")
        args.out.mkdir(parents=True, exist_ok=True)
        if not os.access(args.out, os.W_OK | os.X_OK):
            raise InputError(f"--out: {args.out} is not a folder that can be written to")
    except Exception as error:
        if (line := as_one_line(error)) is None and isinstance(error, OSError):
            line = f"--out: {error}"
        if line is None:
            raise
        parser.error(line)
    _measure(args, configs)
    return 0


def _add_options(parser: Parser) -> None:
    add = parser.add_argument
    add("overrides", nargs="*", metavar="KEY=VALUE", help="which models (default: mixer=softmax,outer)")
    text = "tokens of a sequence, in training and prefill (default: 64 256 1024)"
    add("--lengths", nargs="+", type=positive, default=[64, 256, 1024], metavar="T", help=text)
    text = "tokens of the context of one decoding step (default: 64 512 4096)"
    add("--contexts", nargs="+", type=positive, default=[64, 512, 4096], metavar="T", help=text)
    add("--tokens", type=positive, metavar="N", help="of all sequences of a call (default: the longest length)")
    add(
        "--implementations", nargs="+", metavar="NAME", help="of every mixer that is a scan: recurrent, chunked, …"
    )
    text = "phases that are timed, the others are only counted; none after the option: nothing is timed"
    add("--time", nargs="*", choices=PHASES, default=PHASES, help=text)
    add("--repeats", type=positive, default=15, metavar="N", help="timed rounds (default: %(default)s)")
    add("--against", metavar="SERIES", help="what the others cross (default: those whose state grows)")
    text = "folder of tables and figures (default: %(default)s)"
    add("--out", type=pathlib.Path, default=pathlib.Path("outputs/cost"), metavar="DIR", help=text)
    add("--formats", nargs="+", default=["pdf", "png"], metavar="NAME", help="of the figures: pdf, png, svg")


def _by_series(overrides: Sequence[str]) -> "dict[str, Config]":
    """The configs that the overrides make, each under a name of its own."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from sandbox.cli.compose import register_schema
    from sandbox.cli.main import conf_dir
    from sandbox.cli.sweeper import GridSweeper, keys_apart, register_sweeper
    from sandbox.errors import InputError

    register_schema()
    register_sweeper()
    if not any(text.lstrip("+").startswith(("mixer=", "experiment=")) for text in overrides):
        overrides = ["mixer=softmax,outer", *overrides]
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="sandbox-cost"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        base = hydra.compose_config(
            "config", list(overrides), RunMode.MULTIRUN, with_log_configuration=False, from_shell=False
        )
        options = OmegaConf.to_container(base.hydra.sweeper)
        assert isinstance(options, dict)
        sweeper = GridSweeper(options["grids"], options["params"])
        sweeper.base, sweeper.config_loader = base, hydra.config_loader
        runs = sweeper.configs(list(base.hydra.overrides.task))
    apart = keys_apart(runs)
    named: dict[str, Config] = {}
    for job, config in runs.items():
        name = ", ".join(
            [config.resolved_label, *(short_override(text) for text in job if text.partition("=")[0] in apart)]
        )
        if name in named:
            raise InputError(f"{' '.join(job)}: a second model that is called {name!r}; measure them one by one")
        named[name] = config
    return named


def short_override(text: str) -> str:
    """`mixer.d_state=8` as `d_state=8`."""
    key, _, value = text.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def _by_implementation(
    configs: "dict[str, Config]", implementations: Sequence[str] | None
) -> "Iterator[tuple[str, Config]]":
    """Each config with every implementation that was asked for, where its mixer has the choice."""
    import dataclasses

    from sandbox.errors import InputError
    from sandbox.models.mixer import ScanConfig

    for series, config in configs.items():
        if implementations is None or not isinstance(config.mixer, ScanConfig):
            yield series, config
            continue
        for name in implementations:
            try:
                mixer = dataclasses.replace(config.mixer, implementation=name)
            except ValueError as error:
                raise InputError(str(error)) from error
            yield f"{series}, {name}", dataclasses.replace(config, mixer=mixer)


def _measure(args: argparse.Namespace, configs: "dict[str, Config]") -> None:
    from flax import nnx

    from sandbox.cli.cost_tables import (
        crossings_frame,
        print_costs,
        print_crossings,
        print_machine,
        print_states,
        to_frame,
    )
    from sandbox.cli.display import console
    from sandbox.cost.model_cost import Row, count_states, measure_models
    from sandbox.cost.timing import Seconds
    from sandbox.report.costs import write_costs
    from sandbox.results import to_csv, write_atomically

    models = {
        series: config.model.make(config.mixer, config.task.vocab_size, rngs=nnx.Rngs(params=config.seed))
        for series, config in configs.items()
    }
    growing = [s for s, config in configs.items() if any(m.grows for m in config.model.layer_mixers(config.mixer))]
    against = [args.against] if args.against is not None else growing or list(configs)[:1]
    lengths, contexts = sorted({*args.lengths}), sorted({*args.contexts})
    print_machine()
    states = list(count_states(models, sorted({*STATE_LENGTHS, *lengths, *contexts})))
    print_states(states, contexts)
    rows: list[Row] = []
    seconds: dict[str, dict[str, dict[int, Seconds]]] = {}
    try:
        for phase in PHASES:
            for row, rounds in measure_models(
                models,
                phase,
                contexts if phase == "decoding" else lengths,
                tokens_per_call=args.tokens or lengths[-1],
                rounds=args.repeats if phase in args.time else 0,
                report=console.print,
            ):
                rows.append(row)
                if rounds is not None:
                    seconds.setdefault(phase, {}).setdefault(row.series, {})[row.length] = rounds
    finally:  # what was measured before an interruption is worth keeping
        print_costs(rows)
        crossings = crossings_frame(against, rows, states, seconds)
        print_crossings(crossings)
        costs, carried = to_frame(rows), to_frame(states)
        for name, table in {"costs": costs, "states": carried, "crossovers": crossings}.items():
            write_atomically(args.out / f"{name}.csv", to_csv(table))
        if rows:
            files, notes = write_costs(costs, carried, args.out, args.formats)
            for note in notes:
                console.print(note)
            for path in files:
                console.print(f"wrote {path}")
