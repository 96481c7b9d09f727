"""Values of needles hidden in a text."""

import numpy as np
import pytest
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored

from sandbox.tasks.niah import FIRST_WORD, NEEDLE, PHRASE, QUESTION, Distractor, NIAHConfig, Variant


def behind_the_needle(visible):
    """Solver: what stands behind the mark and the key that the question has, after as much as is shown."""
    question = visible.index(QUESTION)
    key, *shown = visible[question + 1 :]
    places = [at for at in range(question) if visible[at : at + 2] == [NEEDLE, key]]
    assert len(places) == 1
    return visible[places[0] + 2 + len(shown)]


def parts_of(task, tokens):
    """The text, and the needles with their keys and values, of the tokens before the question."""
    text, needles, alone = [], {}, []
    tokens = iter(tokens[: tokens.index(QUESTION)])
    for token in tokens:
        if token == NEEDLE:
            key = next(tokens)
            needles[key] = [next(tokens) for _ in range(task.value_size)]
        elif token >= task.first_value:
            alone.append([token, *(next(tokens) for _ in range(task.value_size - 1))])
        else:
            text.append(token)
    return text, needles, alone


@pytest.mark.parametrize(
    ("variant", "distractors", "distractor"),
    [
        (Variant.single_1, 0, Distractor.needles),
        (Variant.single_2, 3, Distractor.needles),
        (Variant.single_3, 2, Distractor.values),
    ],
)
def test_the_value_of_the_needle_is_asked_for(variant, distractors, distractor, draw_batch):
    task = NIAHConfig(
        vocab_size=24,
        min_length=22,
        max_length=30,
        variant=variant,
        **({"uuid_size": 3} if variant is Variant.single_3 else {}),
        distractors=distractors,
        distractor=distractor,
    )
    batch = draw_batch(task, 128)
    assert_solved(batch, behind_the_needle)
    size = 3 if variant is Variant.single_3 else 1
    for row, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][row])
        text, needles, alone = parts_of(task, tokens)
        assert [position for position, _ in scored(batch, row)] == list(range(length - size, length))
        assert (len(needles), len(alone)) == ((1, distractors) if alone else (1 + distractors, 0))
        assert all(FIRST_WORD <= word < task.first_key for word in text)
        assert all(task.first_key <= key < task.first_value for key in needles)
        assert all(value >= task.first_value for hidden in (*needles.values(), *alone) for value in hidden)
        if variant is Variant.single_1:
            assert text == [FIRST_WORD + number % PHRASE for number in range(len(text))]
        key = tokens[length - size]
        before = [token for token in tokens[: tokens.index(key)] if FIRST_WORD <= token < task.first_key]
        assert batch.slices["depth"][row] == 25 * (4 * len(before) // (len(text) + 1))


def test_places_lengths_and_words_follow_their_laws(draw_batch):
    task = NIAHConfig(min_length=14, max_length=16, distractors=1)
    batch = draw_batch(task, 4000)
    assert_lengths_are_uniform(batch, range(14, 17))
    ours = batch.slices["length"] == 14
    marks = (batch.tokens[ours] == NEEDLE).mean(axis=0)
    starts = np.flatnonzero(marks)
    assert starts.tolist() == list(range(10)), "6 words and 2 needles of 3 tokens"
    first = marks[0]
    assert abs(first - 2 / 8) < 4.5 * np.sqrt(3 / 16 / ours.sum())
    depths = np.bincount(batch.slices["depth"][ours] // 25) / ours.sum()
    assert np.abs(depths - np.array([2, 2, 2, 1]) / 7).max() < 4.5 * np.sqrt(1 / 4 / ours.sum())
    words = batch.tokens[(batch.tokens >= FIRST_WORD) & (batch.tokens < task.first_key)]
    share = np.mean(words == FIRST_WORD) / np.mean(words == FIRST_WORD + 3)
    assert 3.5 < share < 4.5, "the fourth word is a fourth as frequent as the first"


def test_naming_any_value(draw_batch):
    task = NIAHConfig(min_length=14, max_length=16, distractors=1)
    batch = draw_batch(task, 4000)
    listed = (batch.tokens >= task.first_value) & (np.arange(16) < batch.slices["length"][:, None] - 1)
    right = ((batch.tokens == batch.targets) & listed).sum(axis=1) / listed.sum(axis=1)
    assert abs(right.mean() - task.context_chance({})) < 3 * right.std() / 4000**0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uuid_size": 0}, "task.uuid_size=0 must be a whole number of at least 1"),
        (
            {"distractors": 9, "vocab_size": 32},
            "task.distractors=9 needs task.vocab_size of at least 33 "
            "(3 marks, and 3 x the larger of 5 words and distractors + 1), got task.vocab_size=32",
        ),
        (
            {"variant": Variant.single_3, "test_lengths": [21]},
            "task.test_lengths[0]=21 must be at least 22 "
            "(needles, question and 3 words at task.variant=single_3, task.distractors=0)",
        ),
    ],
)
def test_impossible_options_are_refused(options, message):
    assert_refused(NIAHConfig, options, message)
