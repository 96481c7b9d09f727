"""Earlier values of a key, and the ends of several links."""

import collections
import itertools

import numpy as np
import pytest
from solving import assert_refused, assert_solved, scored

from sandbox.tasks.multi_hop import MultiHopConfig
from sandbox.tasks.versions import VersionsConfig


def earlier_value(task):
    def solve(visible):
        context, (back, key) = visible[:-2], visible[-2:]
        written = [value for token, value in itertools.pairwise(context) if token == key]
        values = [value for value in written if value >= task.first_value]
        return values[-back]

    return solve


@pytest.mark.parametrize("versions", [2, 3])
def test_the_target_is_an_earlier_value(versions, draw_batch):
    task = VersionsConfig(pairs=(1, 3), num_versions=versions, vocab_size=40)
    batch = draw_batch(task, 256)
    assert_solved(batch, earlier_value(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        pairs, length = int(batch.slices["pairs"][row]), int(batch.slices["length"][row])
        assert length == 2 * pairs * (versions + 1)
        assert tokens[length:] == [0] * (task.max_len - length)
        assert [position for position, _ in scored(batch, row)] == list(range(2 * pairs * versions + 1, length, 2))
        keys = tokens[0 : 2 * pairs * versions : 2]
        assert set(collections.Counter(keys).values()) == {versions}
        assert len(set(tokens[1 : 2 * pairs * versions : 2])) == pairs * versions
        assert sorted(tokens[2 * pairs * versions + 1 : length : 2]) == sorted(set(keys))


def test_steps_back_and_the_order_of_pairs_are_uniform(draw_samples):
    batch = draw_samples(VersionsConfig(pairs=2), 4000)
    back, first_two_alike = batch.tokens[:, 8], batch.tokens[:, 0] == batch.tokens[:, 2]
    assert abs(np.mean(back == 1) - 1 / 2) < 4.5 * np.sqrt(1 / 4 / 4000)
    assert abs(np.mean(first_two_alike) - 1 / 3) < 4.5 * np.sqrt(2 / 9 / 4000)


def follow(visible):
    links, (hops, name) = dict(zip(visible[:-2:2], visible[1:-2:2], strict=True)), visible[-2:]
    for _ in range(hops):
        name = links[name]
    return name


def test_the_target_is_where_the_links_end(draw_batch):
    task = MultiHopConfig(hops=(1, 3), num_chains=3, chain_length=3, vocab_size=30)
    batch = draw_batch(task, 256)
    assert_solved(batch, follow)
    for tokens in batch.tokens.tolist():
        froms, tos = tokens[:-2:2], tokens[1:-2:2]
        assert len(set(froms)) == len(set(tos)) == 9
        assert len(set(froms) - set(tos)) == 3, "as many chains begin"
        assert tokens[-2] in (1, 3)


REFUSALS = {
    "task.num_versions=1 must be a whole number of at least 2": (VersionsConfig, {"num_versions": 1}),
    (
        "task.pairs=20, task.num_versions=2 needs task.vocab_size of at least 83 "
        "(1 + versions + 2 x pairs x versions), got task.vocab_size=64"
    ): (VersionsConfig, {"pairs": 20}),
    "task.chain_length=4 must be at least task.hops[1]=5": (MultiHopConfig, {"hops": (1, 5)}),
    "task.hops=[] must have at least one entry": (MultiHopConfig, {"hops": ()}),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(*REFUSALS[message], message)
