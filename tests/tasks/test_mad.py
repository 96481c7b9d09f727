"""MAD's tasks: noisy and fuzzy in-context recall, memorization, compression, selective copying."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_refused, assert_solved, scored, search

from sandbox.tasks import selective_copy
from sandbox.tasks.compression import END, CompressionConfig
from sandbox.tasks.fuzzy import FuzzyConfig
from sandbox.tasks.memorization import MemorizationConfig
from sandbox.tasks.noisy import NoisyConfig
from sandbox.tasks.selective_copy import SelectiveCopyConfig
from sandbox.tasks.streams import Split


@st.composite
def noisy_options(draw):
    noise_vocab_size = draw(st.integers(1, 4))
    return {
        "noise_vocab_size": noise_vocab_size,
        "vocab_size": noise_vocab_size + draw(st.integers(2, 11)),
        "noise": draw(st.sampled_from([0.0, 0.2, 0.9])),
        "length": 2 * draw(st.integers(2, 12)),
    }


@pytest.mark.slow(seconds=4)
@search(max_examples=4)
@given(options=noisy_options())
def test_keys_are_asked_for_among_noise(options, draw_batch):
    task = NoisyConfig(**options)
    batch = draw_batch(task, 64)
    assert_solved(batch, lambda visible: visible[2 * visible[0::2].index(visible[-1]) + 1])
    for row, tokens in enumerate(batch.tokens.tolist()):
        known, asked = {}, []
        for place in range(0, len(tokens), 2):
            key, *value = tokens[place : place + 2]
            if key >= task.first_noise:
                assert all(token >= task.first_noise for token in value)
                continue
            assert key < task.first_value
            if key in known:
                asked.append(place)
            assert value == [known.setdefault(key, *value)] or not value
        assert all(task.first_value <= value < task.first_noise for value in known.values())
        assert [position for position, _ in scored(batch, row)] == asked
        assert asked[-1] == len(tokens) - 1, "the last pair repeats a key"


def test_noise_is_as_frequent_as_it_says(draw_batch):
    """One pair of the 19 before the last is spared, and the last one always."""
    tokens = draw_batch(NoisyConfig(length=40, noise=0.4), 1000).tokens
    share = (tokens[:, 0:-1:2] >= 16).mean()
    assert abs(share - 0.4 * 18 / 19) < 4.5 * np.sqrt(0.24 / 19_000)
    assert (tokens[:, -1] < 8).all()


@st.composite
def fuzzy_options(draw):
    key_size, value_size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "vocab_size": 2 * max(key_size + 1, value_size) + draw(st.integers(0, 5)),
        "min_key_size": draw(st.integers(1, key_size)),
        "key_size": key_size,
        "value_size": value_size,
        "length": 2 * (key_size + value_size) - 1 + draw(st.integers(0, 30)),
    }


def motif_pairs(tokens, first_value):
    """The sequence cut into keys and the values after them; the last value may be empty."""
    pairs = []
    for token in tokens:
        if token < first_value and (not pairs or pairs[-1][1]):
            pairs.append(([], []))
        pairs[-1][token >= first_value].append(token)
    return [(tuple(key), value) for key, value in pairs]


@pytest.mark.slow(seconds=7)
@search(max_examples=5)
@given(options=fuzzy_options(), tested=st.booleans())
def test_motifs_are_asked_for(options, tested, draw_batch):
    task = FuzzyConfig(**options)
    if tested:
        (task,) = task.test_tasks()
    first_value = task.vocab_size // 2

    def solve(visible):
        *earlier, (asked, shown) = motif_pairs(visible, first_value)
        return next(value for key, value in earlier if key == asked)[len(shown)]

    batch = draw_batch(task, 64)
    assert_solved(batch, solve)
    for row, tokens in enumerate(batch.tokens.tolist()):
        sequence = [token for token in tokens if token]
        assert sequence == tokens[: len(sequence)], "padding comes last"
        questions = scored(batch, row)
        end, last_target = questions[-1]
        assert end == len(sequence) - 1, "the last token of the last value is due at the end"
        assert len(tokens) - len(sequence) < 2 * (task.key_size + task.value_size), "as many pairs as fit"

        known, due, place = {}, [], 0
        for key, value in motif_pairs([*sequence, last_target], first_value):
            for motif, least, most in ((key, task.min_key_size, task.key_size), (value, 1, task.value_size)):
                assert least <= len(set(motif)) == len(motif) <= most
            place += len(key)
            if key in known:
                assert value == known[key]
                due += range(place - 1, place - 1 + len(value))
            known.setdefault(key, value)
            place += len(value)
        assert [position for position, _ in questions] == due


def test_all_keys_of_tests_have_the_largest_size():
    assert FuzzyConfig(key_size=2).test_tasks() == (FuzzyConfig(key_size=2, min_key_size=2),)


def test_sizes_and_motifs_are_uniform(draw_batch):
    task = FuzzyConfig(vocab_size=10, length=40, key_size=2, value_size=2)
    keys = [motif_pairs(row.tolist(), 5)[0][0] for row in draw_batch(task, 4000).tokens]
    assert abs(np.mean([len(key) == 1 for key in keys]) - 1 / 2) < 4.5 * np.sqrt(1 / 4 / 4000)
    for size, motifs in ((1, 4), (2, 12)):
        of_size = [key for key in keys if len(key) == size]
        share = np.array([of_size.count(motif) for motif in set(of_size)]) / len(of_size)
        assert len(share) == motifs
        assert np.abs(share - 1 / motifs).max() < 4.5 * np.sqrt(1 / motifs / len(of_size))


@pytest.mark.slow(seconds=4)
@search(max_examples=3)
@given(vocab_size=st.integers(4, 20), length=st.integers(1, 8), map_seed=st.integers(0, 9))
def test_the_map_learned_in_training_holds_in_tests(vocab_size, length, map_seed, draw_batch):
    task = MemorizationConfig(vocab_size=vocab_size, length=2 * length, map_seed=map_seed)
    learned = {}
    batch = draw_batch(task, 256)
    for row, tokens in enumerate(batch.tokens.tolist()):
        assert not any(tokens[1::2])
        assert [position for position, _ in scored(batch, row)] == list(range(1, 2 * length, 2))
        for position, value in scored(batch, row):
            assert learned.setdefault(tokens[position - 1], value) == value
    assert set(learned) == set(range(1, vocab_size // 2)), "every key occurs"
    assert len(set(learned.values())) == len(learned)
    assert all(vocab_size // 2 <= value < vocab_size for value in learned.values())
    assert_solved(draw_batch(task, 64, seed=1, split=Split.TEST), lambda visible: learned[visible[-2]])


def test_another_map_has_another_seed():
    maps = [MemorizationConfig(map_seed=seed).value_of_key.tolist() for seed in (0, 1, 1)]
    assert maps[0] != maps[1] == maps[2]


@search(max_examples=3)
@given(length=st.integers(1, 9), alphabet_size=st.integers(1, 6))
def test_letters_are_asked_for_by_their_places(length, alphabet_size, draw_batch):
    task = CompressionConfig(length=length, alphabet_size=alphabet_size)
    batch = draw_batch(task, 64)
    assert_solved(batch, lambda visible: visible[visible[-1] - 1 - alphabet_size])
    for row, tokens in enumerate(batch.tokens.tolist()):
        assert all(1 <= letter <= alphabet_size for letter in tokens[:length])
        assert tokens[length:] == [END, *range(1 + alphabet_size, 1 + alphabet_size + length)]
        assert [position for position, _ in scored(batch, row)] == list(range(length + 1, 2 * length + 1))


@search(max_examples=3)
@given(num_letters=st.integers(1, 6), blanks=st.integers(0, 12), vocab_size=st.integers(3, 9))
def test_letters_are_copied_without_the_blanks(num_letters, blanks, vocab_size, draw_batch):
    task = SelectiveCopyConfig(vocab_size=vocab_size, length=2 * num_letters + 1 + blanks, num_letters=num_letters)

    def solve(visible):
        end = visible.index(selective_copy.COPY)
        letters = [token for token in visible[:end] if token != selective_copy.BLANK]
        return letters[len(visible) - end - 2]

    batch = draw_batch(task, 64)
    assert_solved(batch, solve)
    end = num_letters + blanks
    for row, tokens in enumerate(batch.tokens.tolist()):
        assert tokens.count(selective_copy.BLANK) == blanks + num_letters
        assert tokens[end - 1 : end + 1] == [scored(batch, row)[-1][1], selective_copy.COPY]
        assert not any(tokens[end + 1 :]), "the answer is not shown"
        assert [position for position, _ in scored(batch, row)] == list(range(end + 1, len(tokens)))


def test_blanks_are_equally_likely_before_every_letter(draw_batch):
    tokens = draw_batch(SelectiveCopyConfig(length=17, num_letters=4), 2000).tokens[:, :12]
    letters_before = np.cumsum(tokens != selective_copy.BLANK, axis=1)
    share = np.bincount(letters_before[tokens == selective_copy.BLANK], minlength=4) / (8 * 2000)
    assert np.abs(share - 1 / 4).max() < 4.5 * np.sqrt(3 / 16 / 16_000)


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (NoisyConfig, {"noise": 1.0}, "task.noise=1.0 must be at least 0 and below 1"),
        (NoisyConfig, {"length": 5}, "task.length=5 must be even"),
        (
            NoisyConfig,
            {"noise_vocab_size": 31},
            "task.noise_vocab_size=31 needs task.vocab_size of at least 33 (a key and a value besides), "
            "got task.vocab_size=32",
        ),
        (
            NoisyConfig,
            {"noise_vocab_size": 0},
            "task.noise=0.2 needs task.noise_vocab_size of at least 1, got task.noise_vocab_size=0",
        ),
        (FuzzyConfig, {"min_key_size": 4}, "task.key_size=3 must be at least task.min_key_size=4"),
        (
            FuzzyConfig,
            {"length": 10},
            "task.key_size=3, task.value_size=3 needs task.length of at least 11 (two pairs, less one), "
            "got task.length=10",
        ),
        (
            FuzzyConfig,
            {"vocab_size": 7},
            "task.key_size=3, task.value_size=3 needs task.vocab_size of at least 8 "
            "(two halves, either with a longest motif), got task.vocab_size=7",
        ),
        (MemorizationConfig, {"length": 7}, "task.length=7 must be even"),
        (MemorizationConfig, {"map_seed": -1}, "task.map_seed=-1 must be a whole number of at least 0"),
        (CompressionConfig, {"alphabet_size": 0}, "task.alphabet_size=0 must be a whole number of at least 1"),
        (
            SelectiveCopyConfig,
            {"length": 32},
            "task.num_letters=16 needs task.length of at least 33 (2 x letters + 1), got task.length=32",
        ),
    ],
)
def test_impossible_options_are_refused(config, options, message):
    assert_refused(config, options, message)
