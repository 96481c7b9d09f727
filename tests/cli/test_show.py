"""`sandbox-show`: every task is shown from its config alone, and what is printed is what is asked."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from rich.console import Console

from sandbox.cli import show_chance, show_tables
from sandbox.cli.show import main
from sandbox.tasks import TASKS
from sandbox.tasks.copy import CopyConfig
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.parity import ParityConfig
from sandbox.tasks.task import Example


@pytest.fixture
def show(monkeypatch, capsys):
    """Calls the command; returns its exit code, what it printed without colours, and its error lines."""
    console = Console(record=True, width=80, highlight=False, markup=False, soft_wrap=True)
    monkeypatch.setattr(show_tables, "console", console)
    monkeypatch.setattr(show_chance, "console", console)
    monkeypatch.setattr("sandbox.cli.main.use_compile_cache", lambda: None)

    def call(*arguments):
        try:
            code = main(arguments)
        except SystemExit as stopped:
            code = stopped.code
        return code, console.export_text().splitlines(), capsys.readouterr().err.splitlines()

    return call


@pytest.mark.slow
def test_a_task_is_explained_by_examples(show):
    options = ["task=copy", "task.min_length=3", "task.max_length=3", "task.test_lengths=[3,9]"]
    code, lines, errors = show(*options, "--examples", "2")
    assert (code, errors) == (0, [])
    assert lines[0] == "copy  Copying: read a string of random letters, then write it out again."
    assert "task.test_lengths=[3,9]  " in " ".join(lines)
    assert [line.split() for line in lines if re.match(r"0-3|4-29", line)] == [
        ["0-3", "mark", "PAD", "BOS", "SEP", "EOS"],
        ["4-29", "letter", "a", "b", "...", "z"],
    ]
    assert "accuracy is reported by length (3)" in lines
    assert "tested on length=3; length=9" in lines
    assert [line for line in lines if line.startswith("example")] == ["example 1, length=3", "example 2, length=3"]
    for start in (i for i, line in enumerate(lines) if line.startswith("position")):
        tokens, targets = lines[start + 1].split()[1:], lines[start + 2].split()[1:]
        string = tokens[1:4]
        assert tokens == ["BOS", *string, "SEP", *string]
        assert targets == [".", ".", ".", ".", *string, "EOS"]


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (
            ["task=mqar", "task.vocab_size=8", "task.length=8", "task.pairs=[1,2]"],
            [
                "chance, by the best constant answer: 0.25",
                "by naming the value of any pair of the sequence: 0.5 (length=8 pairs=2) to 1 (length=8 pairs=1)",
                "of 1,000 test examples, 100.0% occur among 50,000 of training",
            ],
        ),
        (
            ["task=parity", "task.max_length=9"],
            [
                "chance, by the best constant answer: 0.5",
                "of 1,000 test examples, 0.0% occur among 50,000 of training; splits are disjoint",
            ],
        ),
    ],
    ids=["pairs", "disjoint splits"],
)
def test_chance_and_shared_examples_are_told(show, options, printed):
    code, lines, errors = show(*options)
    assert (code, errors) == (0, [])
    first = lines.index(printed[0])
    assert lines[first : first + len(printed) + 1] == [*printed, ""]


@pytest.fixture(params=TASKS)
def example(request):
    """A task and a sequence of its shapes, with arbitrary tokens."""
    task = TASKS[request.param]()
    shapes = jax.eval_shape(task.sample, jax.random.key(0))
    rng = np.random.default_rng(0)
    positions = np.sort(rng.permutation(task.max_len)[: task.num_scored])
    example = Example(
        tokens=rng.integers(0, task.vocab_size, task.max_len),
        positions=positions,
        targets=rng.integers(0, task.vocab_size, task.num_scored),
        weights=np.ones(task.num_scored),
        slices={},
        legal=None if shapes.legal is None else rng.integers(0, 2, shapes.legal.shape).astype(bool),
    )
    return task, example


def test_every_task_has_words_and_meanings(example, monkeypatch):
    task, _ = example
    console = Console(record=True, width=300)
    monkeypatch.setattr(show_tables, "console", console)
    show_tables.print_task(task)
    text = console.export_text()
    name = next(name for name, kind in TASKS.items() if kind is type(task))
    assert re.match(rf"{name}  [A-Z][^\n]*[.?]\n", text), "the docstring of the module begins with one sentence"
    for field in dataclasses.fields(task):
        assert re.search(rf"^task\.{field.name}=\S+ +[A-Z]", text, re.MULTILINE), f"{field.name} has no meaning"
    assert text.count("\n") < 60


def test_every_position_of_every_task_is_shown(example, monkeypatch):
    task, example = example
    monkeypatch.setattr(show_tables, "MOST_BLOCKS", 10_000)
    monkeypatch.setattr(show_tables, "SHORTEST_RUN", 10_000)
    name = lambda token: task.describe_token(int(token)).name
    lines = [line.plain for line in show_tables.example_lines(task, example, width=80)]
    assert max(map(len, lines)) <= 80 or example.legal is not None
    rows = {}
    for line in lines:
        label, *cells = re.split(" +", line.strip())
        rows.setdefault(label, []).extend(cells)
    assert rows["position"] == [str(position) for position in range(task.max_len)]
    assert rows["token"] == [name(token) for token in example.tokens]
    targets = ["."] * task.max_len
    for position, target in zip(example.positions, example.targets, strict=True):
        targets[position] = name(target)
    assert rows["target"] == targets


def lines_of(task, tokens, positions, targets, width=80):
    example = Example(np.array(tokens), np.array(positions), np.array(targets), np.ones(len(positions)), {})
    return [line.plain for line in show_tables.example_lines(task, example, width)]


def test_runs_of_padding_are_one_column():
    task = MQARConfig(vocab_size=16, length=12, pairs=2, weights=1)
    assert lines_of(task, [5, 12, 3, 9, 5, 0, 0, 0, 0, 0, 3, 0], [4, 10], [12, 9]) == [
        "position   0  1 2 3  4  5-9 10 11",
        "token      5 12 3 9  5 0 x5  3  0",
        "target     .  . . . 12    .  9  .",
    ]


def test_runs_of_what_is_asked_or_means_something_are_shown():
    position = lines_of(ParityConfig(max_length=8), [1] * 8, [7], [1])[0]
    assert position.split() == ["position", *map(str, range(8))]
    position = lines_of(CopyConfig(min_length=3, max_length=3), [0] * 8, range(8), [0] * 8)[0]
    assert position.split() == ["position", *map(str, range(8))]


def test_a_long_example_is_cut():
    lines = lines_of(ParityConfig(max_length=1000), [1, 2] * 500, [999], [1])
    assert lines[-1].startswith("... and so on, from position ")
    assert sum(line.startswith("position") for line in lines) == show_tables.MOST_BLOCKS


def test_what_is_asked_stands_out():
    task = CopyConfig(min_length=1, max_length=1)
    example = Example(np.array([1, 4, 2, 4]), np.array([2, 3]), np.array([4, 3]), np.ones(2), {})
    console = Console(record=True, force_terminal=True, color_system="standard", width=80)
    for line in show_tables.example_lines(task, example, 80):
        console.print(line)
    _, tokens, targets = console.export_text(styles=True).splitlines()
    assert re.findall(r"\x1b\[([\d;]+)m(\w+)\x1b", tokens) == [
        ("2", "BOS"),
        ("36", "a"),
        ("1;2;4", "SEP"),
        ("1;4;36", "a"),
    ]
    assert re.findall(r"\x1b\[([\d;]+)m(\w+)\x1b", targets) == [("1;36", "a"), ("1;2", "EOS")]


WRONG = {
    "a misspelt key": (
        ["task=copy", "task.max_lenght=3"],
        r"task\.max_lenght: no such key \(did you mean max_length\?\); task=copy has min_length, ",
    ),
    "a misspelt key, added with +": (["+task.foo=3"], r"task\.foo: no such key; task=mqar has "),
    "an unknown task": (["task=recal"], r"task=recal: no such choice; there are .*copy, "),
    "an impossible value": (["task.pairs=20"], r"task\.pairs=20 needs task\.length of at least 80"),
    "a word for a number": (
        ["task=copy", "task.max_length=many"],
        r"task\.max_length=many must be a whole number",
    ),
    "a key of another group": (
        ["mixer.d_state=8"],
        r"mixer\.d_state=8: only task=NAME and task\.KEY=VALUE can be",
    ),
    "a word for the number of examples": (
        ["--examples", "few"],
        r"argument --examples: few is not a whole number of at least 1",
    ),
    "no examples": (["--examples", "0"], r"argument --examples: 0 is not a whole number of at least 1"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line(show, arguments, message):
    code, lines, errors = show(*arguments)
    assert (code, lines) == (2, [])
    assert len(errors) == 1, errors
    assert re.match(f"sandbox-show: {message}", errors[0]), errors[0]
