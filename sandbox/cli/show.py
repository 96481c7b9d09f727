"""`sandbox-show task=copy task.max_length=8`: what a task asks, explained by a few of its examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.cli.bench import Parser

if TYPE_CHECKING:
    from sandbox.tasks import TaskConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the task; the exit code is 2 for wrong input."""
    parser = Parser(prog="sandbox-show", description=__doc__)
    text = "the task, and its options where they differ from their defaults (default: task=mqar)"
    parser.add_argument("overrides", nargs="*", metavar="task=NAME task.KEY=VALUE", help=text)
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="other examples (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.examples < 1:
        parser.error(f"--examples: {args.examples} is not at least 1")

    # Not at the top: jax takes a second, which --help should not.
    from sandbox.cli.example_tables import print_examples, print_task
    from sandbox.cli.input_errors import as_one_line
    from sandbox.cli.main import use_compile_cache

    try:
        task = _task(args.overrides)
    except Exception as error:
        if (line := as_one_line(error)) is None:
            raise
        parser.error(line)
    use_compile_cache()
    print_task(task)
    print_examples(task, args.examples, args.seed)
    return 0


def _task(overrides: Sequence[str]) -> "TaskConfig":
    """The task that training with these overrides would have."""
    from hydra import compose, initialize_config_dir

    from sandbox.cli.compose import from_hydra, register_schema
    from sandbox.cli.main import conf_dir
    from sandbox.cli.sweeper import register_sweeper
    from sandbox.errors import InputError

    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key != "task" and not key.startswith("task."):
            raise InputError(f"{override}: only task=NAME and task.KEY=VALUE can be given")
    register_schema()
    register_sweeper()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return from_hydra(compose("config", overrides=list(overrides))).task
