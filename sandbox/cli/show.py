"""`sandbox-show task=copy task.max_length=8`: explains a task by its options, vocabulary and examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.cli.options import Parser, positive

if TYPE_CHECKING:
    from sandbox.tasks import TaskConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the task and its examples; the exit code is 2 for wrong input."""
    args = _parser().parse_args(argv)

    # Not at the top: importing jax takes a second, which --help should not.
    from sandbox.cli.input_errors import as_one_line
    from sandbox.cli.show_chance import print_chance
    from sandbox.cli.show_tables import print_examples, print_task
    from sandbox.cli.startup import use_compile_cache

    try:
        task = _task(args.overrides)
    except Exception as error:
        if (line := as_one_line(error)) is None:
            raise
        _parser().error(line)
    use_compile_cache()
    print_task(task)
    print_chance(task, args.seed)
    print_examples(task, args.examples, args.seed)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="sandbox-show", description=__doc__)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="task=NAME task.KEY=VALUE",
        help="the task, and those of its options that differ from their defaults (default: task=mqar)",
    )
    parser.add_argument(
        "--examples", type=positive, default=3, metavar="N", help="number of examples (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the examples (default: %(default)s)")
    return parser


def _task(overrides: Sequence[str]) -> "TaskConfig":
    from hydra import compose, initialize_config_dir

    from sandbox.cli.compose import conf_dir, from_hydra, register_schema
    from sandbox.errors import InputError

    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key != "task" and not key.startswith("task."):
            raise InputError(f"{override}: only task=NAME and task.KEY=VALUE can be given")
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return from_hydra(compose("config", overrides=list(overrides))).task
