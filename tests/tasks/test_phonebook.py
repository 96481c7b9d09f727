"""Numbers of names in a book."""

import numpy as np
import pytest
from solving import assert_refused, assert_solved, scored

from sandbox.tasks.phonebook import PhonebookConfig


def as_text(task, tokens):
    return "".join(task.describe_token(token).name for token in tokens if token)


def number_of_the_name(task):
    """Solver by text alone: the line of the book with the name of the last line, and its next digit."""

    def solve(visible):
        book, *_, question = as_text(task, visible).split("?")  # the book of the first pass
        numbers = dict(line.split(":") for line in book.split("|")[1:])
        name, shown = question.split(":")
        return next(t for t in range(task.vocab_size) if task.describe_token(t).name == numbers[name][len(shown)])

    return solve


@pytest.mark.parametrize("passes", [1, 3])
def test_the_digits_of_the_name_are_asked_for(passes, draw_batch):
    task = PhonebookConfig(pairs=(3, 5), name_size=3, number_size=3, alphabet_size=2, shots=2, num_passes=passes)
    batch = draw_batch(task, 64)
    assert_solved(batch, number_of_the_name(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        pairs, length = int(batch.slices["pairs"][row]), int(batch.slices["length"][row])
        text, once = as_text(task, tokens), 8 * (pairs + 3) - 3
        assert length == len(text) == passes * once + 2
        assert text[: passes * once] == passes * text[:once], "all is read in each pass"
        book, *shots, (*name, _) = text[:once].split("?")
        numbers = dict(line.split(":") for line in book.split("|")[1:])
        assert len(numbers) == pairs
        assert all(numbers[name] == number for name, number in (shot.split(":") for shot in shots))
        assert len({*(shot[:3] for shot in shots), "".join(name)}) == 3, "shots are of other names"
        assert [position for position, _ in scored(batch, row)] == list(range(length - 3, length))
        assert all(number[0] in "6789" for number in numbers.values())


def test_names_digits_and_questions_are_uniform(draw_batch):
    task = PhonebookConfig(pairs=4, name_size=2, number_size=2, alphabet_size=4)
    batch = draw_batch(task, 4000)
    lines = batch.tokens[:, : 4 * 6].reshape(-1, 4, 6)
    asked = (lines[:, :, 1:3] == batch.tokens[:, None, 25:27]).all(axis=2).mean(axis=0)
    assert np.abs(asked - 1 / 4).max() < 4.5 * np.sqrt(3 / 16 / 4000)
    names = np.bincount(((lines[:, 0, 1] - 14) * 4 + lines[:, 0, 2] - 14), minlength=16) / 4000
    assert np.abs(names - 1 / 16).max() < 4.5 * np.sqrt(15 / 256 / 4000)
    for place, smallest in ((4, 6), (5, 0)):
        share = np.bincount(lines[:, 0, place] - 4, minlength=10)[smallest:] / 4000
        assert share.sum() == pytest.approx(1)
        assert np.abs(share - 1 / (10 - smallest)).max() < 4.5 * np.sqrt(1 / (10 - smallest) / 4000)

    right = (lines[:, :, 4:6] == batch.targets[:, None, :]).mean(axis=(1, 2))
    assert abs(right.mean() - task.context_chance({"pairs": 4})) < 3 * right.std() / 4000**0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number_size": 0}, "task.number_size=0 must be a whole number of at least 1"),
        (
            {"name_size": 1, "test_pairs": [27]},
            "task.test_pairs=27, task.name_size=1 needs a larger task.alphabet_size than 26 (26 names)",
        ),
        ({"name_size": 7}, "task.alphabet_size ** task.name_size=8031810176 must be at most 2147483647"),
        ({"shots": 4}, "task.shots=4 needs task.pairs of at least 5 (shots + 1), got task.pairs=4"),
    ],
)
def test_impossible_options_are_refused(options, message):
    assert_refused(PhonebookConfig, options, message)
