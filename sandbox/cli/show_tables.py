"""Prints a task for `sandbox-show`: its description, options and vocabulary, and examples with their questions.

Nothing here knows any task: the words come from its docstrings, and `describe_token` names the tokens.
"""

import ast
import dataclasses
import inspect
import itertools
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from rich.table import Table
from rich.text import Text

from sandbox.cli.display import console
from sandbox.config import plain
from sandbox.tasks import TASKS, TaskConfig
from sandbox.tasks.streams import Split, sample_batch
from sandbox.tasks.task import Example

MARK = "mark"
"""The kind of tokens that only structure a sequence, as in `TokenMeaning.kind`."""

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
"""Colours of the parts of a vocabulary, cycled."""

SHORTEST_RUN = 5
"""At least this many equal marks in a row, such as padding, are shown as one if none of them is asked."""

MOST_NAMES = 8
"""Of a part of the vocabulary with more tokens than this, only the ends are shown."""

MOST_PARTS = 10
"""Largest number of parts of a vocabulary that are shown. If there are more, the first show how they alternate."""

MOST_BLOCKS = 12
"""Largest number of blocks of lines that an example is broken into; the rest of a longer one is left out."""


def print_task(task: TaskConfig) -> None:
    """Prints what the task is, its options, its vocabulary and what is reported."""
    name = next(name for name, config_type in TASKS.items() if config_type is type(task))
    first, *more = paragraphs(inspect.getdoc(sys.modules[type(task).__module__]) or "")
    console.print(Text.assemble((name, "bold"), f"  {first}"), soft_wrap=False)
    for paragraph in more:
        console.print()
        console.print(Text(paragraph), soft_wrap=False)

    _section("options")
    meanings = option_meanings(type(task))
    table = Table.grid(padding=(0, 2))
    for field in dataclasses.fields(task):
        value = plain(getattr(task, field.name))
        table.add_row(f"task.{field.name}={_as_typed(value)}", Text(meanings[field.name], "dim"))
    console.print(table, soft_wrap=False)

    _section(f"vocabulary of {task.vocab_size} tokens")
    table = Table.grid(padding=(0, 2))
    colours = _colours(task)
    parts = vocabulary_parts(task)
    for part, tokens in parts[:MOST_PARTS]:
        numbers = str(tokens[0]) if len(tokens) == 1 else f"{tokens[0]}-{tokens[-1]}"
        table.add_row(numbers, Text(part, colours[part]), Text(_names(task, tokens), colours[part]))
    console.print(table, soft_wrap=False)
    if len(parts) > MOST_PARTS:
        console.print(Text(f"... and so on up to {task.vocab_size - 1}", "dim"))

    _section("scoring")
    slices = ", ".join(f"{name} ({values_in_words(values)})" for name, values in task.slice_values.items())
    console.print(f"up to {_count(task.max_len, 'token')} and {_count(task.num_scored, 'question')} in a sequence")
    console.print(f"accuracy is reported by {slices}", soft_wrap=False)
    tests = [test for test in task.test_tasks() if test != task]
    if tests:
        conditions = [
            " ".join(f"{name}={values_in_words(values)}" for name, values in test.slice_values.items())
            for test in tests
        ]
        console.print(f"tested on {'; '.join(conditions)}", soft_wrap=False)


def print_examples(task: TaskConfig, count: int, seed: int) -> None:
    """Prints the first examples of the training data."""
    draw = jax.jit(sample_batch, static_argnames=("task", "split", "batch_size"))
    batch = draw(task, jax.random.key(seed), Split.TRAIN, 0, count)
    for number in range(count):
        example = jax.tree.map(lambda leaf, number=number: np.asarray(leaf[number]), batch)
        slices = " ".join(f"{name}={value}" for name, value in example.slices.items())
        _section(f"example {number + 1}, {slices}")
        for line in example_lines(task, example, console.width):
            console.print(line)
    console.print()
    legend = "underlined: asked; target: what is right once the token above it has been read; `.` is not scored"
    if batch.legal is not None:
        legend += "; legal: all tokens that count as right"
    console.print(Text(legend, "dim"), soft_wrap=False)


def paragraphs(docstring: str) -> list[str]:
    """The prose of a task's docstring up to its source, without drawings and the lines that announce them."""
    before_source = itertools.takewhile(lambda text: not text.startswith("Source"), docstring.split("\n\n"))
    prose = (text for text in before_source if not text.startswith(" ") and not text.endswith(":"))
    return [" ".join(text.split()) for text in prose]


def option_meanings(config_type: type[TaskConfig]) -> dict[str, str]:
    """The docstring under each field of a config, in its class or in the base that declares it."""
    meanings = {}
    for base in reversed([base for base in config_type.__mro__ if dataclasses.is_dataclass(base)]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, below in itertools.pairwise(definition.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(below, ast.Expr):
                assert isinstance(statement.target, ast.Name)
                meanings[statement.target.id] = " ".join(ast.literal_eval(below.value).split())
    return meanings


def vocabulary_parts(task: TaskConfig) -> list[tuple[str, list[int]]]:
    """The parts of the vocabulary, in order: the kind of their tokens (see `TokenMeaning`), and the tokens."""
    tokens = range(task.vocab_size)
    return [(kind, list(part)) for kind, part in itertools.groupby(tokens, lambda t: task.describe_token(t).kind)]


def values_in_words(values: Sequence[int]) -> str:
    """Ascending whole numbers as text: consecutive ones by their ends, others one by one."""
    if len(values) > 2 and list(values) == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


class Cell(NamedTuple):
    """One token of an example, or a run of equal marks that are not asked, with what is written under it."""

    position: str
    token: Text
    target: Text
    legal: Text

    @property
    def width(self) -> int:
        """Number of characters of the widest entry, and a space."""
        return max(len(self.position), *map(len, (self.token, self.target, self.legal))) + 1


def example_lines(task: TaskConfig, example: Example, width: int) -> Iterator[Text]:
    """The lines that show an example, broken at `width`: positions, tokens, targets, and legal answers if any."""
    labels = ("position", "token", "target") + (("legal",) if example.legal is not None else ())
    indent = max(map(len, labels)) + 2
    blocks = list(_blocks(_cells(task, example), width - indent))
    for number, block in enumerate(blocks[:MOST_BLOCKS]):
        if number > 0:
            yield Text()
        for label, entries in zip(labels, zip(*block, strict=True), strict=False):
            line = Text.assemble((label.ljust(indent), "dim"))
            for cell, entry in zip(block, entries, strict=True):
                entry = Text(entry, "dim") if isinstance(entry, str) else entry
                line.append(" " * (cell.width - len(entry)))
                line.append_text(entry)
            yield line
    left_out = blocks[MOST_BLOCKS:]
    if left_out:
        yield Text(f"... and so on, from position {left_out[0][0].position}", "dim")


def _cells(task: TaskConfig, example: Example) -> Iterator[Cell]:
    colours = _colours(task)

    def written(token: int, extra: str = "") -> Text:
        kind, name = task.describe_token(token)
        return Text(name, f"{colours[kind]} {extra}")

    tokens = example.tokens.tolist()
    asked = {int(p): i for i, p in enumerate(example.positions) if example.weights[i]}
    nothing = Text(".", "dim")
    runs = itertools.groupby(range(len(tokens)), lambda t: (tokens[t], t if t in asked else None))
    for (token, position), run in runs:
        positions = list(run)
        if position is not None:
            question = asked[position]
            right = [] if example.legal is None else np.flatnonzero(example.legal[question]).tolist()
            legal = Text(",").join(map(written, right))
            yield Cell(
                str(position),
                written(token, "bold underline"),
                written(int(example.targets[question]), "bold"),
                legal,
            )
        elif len(positions) >= SHORTEST_RUN and task.describe_token(token).kind == MARK:
            times = Text.assemble(written(token), (f" x{len(positions)}", "dim"))
            yield Cell(f"{positions[0]}-{positions[-1]}", times, nothing, nothing)
        else:
            yield from (Cell(str(position), written(token), nothing, nothing) for position in positions)


def _blocks(cells: Iterable[Cell], width: int) -> Iterator[list[Cell]]:
    block: list[Cell] = []
    for cell in cells:
        if block and sum(other.width for other in block) + cell.width > width:
            yield block
            block = []
        block.append(cell)
    yield block


def _colours(task: TaskConfig) -> dict[str, str]:
    """A style for each kind of token; marks are dim."""
    kinds = dict.fromkeys(kind for kind, _ in vocabulary_parts(task))
    kinds.pop(MARK, None)
    return {MARK: "dim", **dict(zip(kinds, itertools.cycle(COLOURS), strict=False))}


def _names(task: TaskConfig, tokens: Sequence[int]) -> str:
    names = [task.describe_token(token).name for token in tokens]
    return " ".join(names if len(names) <= MOST_NAMES else [*names[:2], "...", names[-1]])


def _as_typed(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return "[" + ",".join(map(_as_typed, value)) + "]"
    return str(value)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _section(title: str) -> None:
    console.print()
    console.print(Text(title, "bold"))
