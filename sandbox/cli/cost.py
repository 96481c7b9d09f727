"""`sandbox-cost mixer=gla,softmax model.d_model=64`: what models cost against the length of a sequence.

Overrides are those of `sandbox`, several values separated by commas, or `experiment=NAME` for its models. Bytes
and operations are counted in the models' own states and programs. Times are measured, all models interleaved.
Training is loss and gradients at every position, without the optimiser's update; prefill gives logits at every
position.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sandbox.cli.options import Parser, add_formats, chosen, is_writable_folder, positive

if TYPE_CHECKING:
    from sandbox.config import Config
    from sandbox.cost.model_cost import CostRow, StateRow
    from sandbox.cost.timing import Seconds

STATE_LENGTHS = tuple(4**power for power in range(11))
"""Lengths at which the state is counted for the figure: 1 to 1 048 576."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables, writes tables and figures. Exits with 2 for wrong input."""
    parser = Parser(prog="sandbox-cost", description=__doc__)
    _add_options(parser)
    args = parser.parse_intermixed_args(argv)

    # Not at the top: jax takes a second, which --help should not.
    from sandbox.cli.input_errors import as_one_line
    from sandbox.cli.startup import silence_third_parties, use_compile_cache
    from sandbox.cost.programs import PHASES
    from sandbox.errors import InputError
    from sandbox.report.drawing import check_formats

    args.time = chosen(parser, "--time", args.time, PHASES) if args.time != [] else []
    silence_third_parties()
    use_compile_cache()
    try:
        check_formats(args.formats)
        configs = dict(_by_implementation(_by_series(args.overrides), args.implementations))
        if args.against is not None and args.against not in configs:
            raise InputError(f"--against {args.against!r}: no such series; there are {', '.join(configs)}")
        args.out.mkdir(parents=True, exist_ok=True)
        if not is_writable_folder(args.out):
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
    text = "tokens of all sequences of a call together (default: the longest length)"
    add("--tokens", type=positive, metavar="N", help=text)
    text = "implementations of every mixer that is a scan: recurrent, chunked, … (default: as configured)"
    add("--implementations", nargs="+", metavar="NAME", help=text)
    text = "phases to time: training, prefill, decoding; the others are only counted. --time alone times none"
    add("--time", nargs="*", metavar="PHASE", help=f"{text} (default: all)")
    add("--repeats", type=positive, default=15, metavar="N", help="timed rounds (default: %(default)s)")
    text = "model that the others are compared with (default: each whose state grows)"
    add("--against", metavar="SERIES", help=text)
    text = "folder of tables and figures (default: %(default)s)"
    add("--out", type=pathlib.Path, default=pathlib.Path("outputs/cost"), metavar="DIR", help=text)
    add_formats(parser)


def _by_series(overrides: Sequence[str]) -> "dict[str, Config]":
    """The configs that the overrides make, each under its label and the keys that vary."""
    from sandbox.cli.compose_runs import runs_of
    from sandbox.cli.grids import keys_apart
    from sandbox.errors import InputError

    if not any(text.lstrip("+").startswith(("mixer=", "experiment=")) for text in overrides):
        overrides = ["mixer=softmax,outer", *overrides]
    runs = runs_of(overrides, command="sandbox-cost")
    apart = keys_apart(runs)
    named: dict[str, Config] = {}
    for job, config in runs.items():
        differing = [short_override(text) for text in job if text.partition("=")[0] in apart]
        series = ", ".join([config.resolved_label, *differing])
        if series in named:
            raise InputError(f"{' '.join(job)}: a second model that is called {series!r}; measure them one by one")
        named[series] = config
    return named


def short_override(text: str) -> str:
    """`mixer.d_state=8` as `d_state=8`."""
    key, _, value = text.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def _by_implementation(
    configs: "Mapping[str, Config]", implementations: Sequence[str] | None
) -> "Iterator[tuple[str, Config]]":
    """Each config with each implementation asked for, if its mixer has that option."""
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


def _measure(args: argparse.Namespace, configs: "Mapping[str, Config]") -> None:
    """Counts and times all models; prints and writes the results, also after an interruption."""
    from flax import nnx

    from sandbox.cli.cost_tables import print_states
    from sandbox.cli.display import console
    from sandbox.cli.machine import print_machine
    from sandbox.cost.model_cost import count_states, measure_models
    from sandbox.cost.programs import PHASES

    models = {
        series: config.model.make(config.mixer, config.task.vocab_size, rngs=nnx.Rngs(params=config.seed))
        for series, config in configs.items()
    }
    lengths, contexts = sorted({*args.lengths}), sorted({*args.contexts})
    print_machine()
    states = list(count_states(models, sorted({*STATE_LENGTHS, *lengths, *contexts})))
    print_states(states, contexts)
    rows: list[CostRow] = []
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
    finally:  # keep what was measured before an interruption
        _conclude(args, _baselines(args.against, configs), rows, states, seconds)


def _baselines(against: str | None, configs: "Mapping[str, Config]") -> list[str]:
    """The series that the others are compared with: `against`, or those whose state grows, or the first."""
    growing = [
        series
        for series, config in configs.items()
        if any(mixer.grows for mixer in config.model.layer_mixers(config.mixer))
    ]
    return [against] if against is not None else growing or list(configs)[:1]


def _conclude(
    args: argparse.Namespace,
    baselines: Sequence[str],
    rows: "Sequence[CostRow]",
    states: "Sequence[StateRow]",
    seconds: "Mapping[str, Mapping[str, Mapping[int, Seconds]]]",
) -> None:
    from sandbox.cli.cost_tables import crossovers_frame, print_costs, print_crossovers
    from sandbox.cli.display import console
    from sandbox.cli.machine import with_machine
    from sandbox.files import write_atomically
    from sandbox.report.costs import write_costs
    from sandbox.tables import to_csv

    print_costs(rows)
    crossovers = crossovers_frame(baselines, rows, states, seconds)
    print_crossovers(crossovers)
    costs, carried = with_machine(rows), with_machine(states)
    for name, table in {"costs": costs, "states": carried, "crossovers": crossovers}.items():
        write_atomically(args.out / f"{name}.csv", to_csv(table))
    if rows:
        files, notes = write_costs(costs, carried, args.out, args.formats)
        for note in notes:
            console.print(note)
        for path in files:
            console.print(f"wrote {path}")
