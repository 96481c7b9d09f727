"""Values of keys in contexts: read from a table, whichever way they are asked for."""

import collections

import numpy as np
import pytest
from solving import assert_refused, assert_solved, scored

from sandbox.tasks.joint_recall import SEP, JointRecallConfig, Order

BLOCKS = JointRecallConfig(vocab_size=20, contexts=2, keys=2)


def kinds(task, tokens):
    return ["|" if token == SEP else task.describe_token(token).kind for token in tokens]


def entries(task, tokens):
    """Values by (context, key); a context holds until the next."""
    table, context = {}, None
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        kind = task.describe_token(token).kind
        if kind == "context":
            context = token
        elif kind == "key":
            table[context, token] = after
    return table


def from_the_table(task):
    """Solver: the last context and the last key, and the value that stands behind them in the table."""

    def solve(visible):
        table = entries(task, visible[: visible.index(SEP)])
        last = dict(zip(kinds(task, visible), visible, strict=True))
        return table[last["context"], last["key"]]

    return solve


@pytest.mark.parametrize("order", [Order.blocks, Order.key_first])
def test_every_entry_is_asked_for_once(order, draw_batch):
    task = JointRecallConfig(vocab_size=17, contexts=(1, 3), keys=(2, 3), order=order)
    batch = draw_batch(task, 64)
    assert_solved(batch, from_the_table(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        contexts, keys = int(batch.slices["contexts"][row]), int(batch.slices["keys"][row])
        end = tokens.index(SEP)
        assert kinds(task, tokens[:end]) == contexts * ["context", *keys * ["key", "value"]]
        table = entries(task, tokens[:end])
        assert len(table) == contexts * keys
        assert len({key for _, key in table}) == keys, "every context has the same keys"

        last = dict(zip(batch.positions[row].tolist(), batch.targets[row].tolist(), strict=True))
        (*_, (final, _)) = scored(batch, row)
        asked = [*tokens[end + 1 : final + 1], last[final]]
        assert tokens[final + 1 :] == [0] * (task.max_len - final - 1)
        if order is Order.blocks:
            assert kinds(task, asked) == contexts * ["context", *keys * ["key", "value"]]
            assert entries(task, asked) == table
        else:
            assert kinds(task, asked) == contexts * keys * ["key", "context", "value"]
            parts = [tuple(asked[start : start + 2]) for start in range(0, len(asked), 3)]
            assert collections.Counter(parts) == collections.Counter((key, context) for context, key in table)


def assert_half(happened):
    assert abs(happened.mean() - 1 / 2) < 4.5 * (1 / 4 / len(happened)) ** 0.5


def test_the_order_of_questions_and_of_their_parts_is_drawn(draw_batch):
    task = JointRecallConfig(contexts=2, keys=2, order=Order.either)
    batch = draw_batch(task, 4000)
    assert_solved(batch._replace(tokens=batch.tokens[:50]), from_the_table(task))
    tokens = batch.tokens
    key_first = tokens[:, 11] >= task.first_key
    first_context = np.where(key_first, tokens[:, 12], tokens[:, 11])
    for happened in (key_first, first_context == tokens[:, 0], tokens[:, 1] == tokens[:, 6]):
        assert_half(happened)


def test_blocks_are_asked_for_in_another_order_than_they_are_listed(draw_batch):
    tokens = draw_batch(BLOCKS, 4000).tokens
    first_block = tokens[:, 11] == tokens[:, 0]
    same_key = tokens[:, 12] == np.where(first_block, tokens[:, 1], tokens[:, 6])
    for happened in (first_block, same_key, tokens[:, 12] == tokens[:, 17]):
        assert_half(happened)


def test_naming_the_value_of_a_random_entry(draw_batch):
    batch = draw_batch(BLOCKS, 4000)
    listed = batch.tokens[:, [2, 4, 7, 9]]
    right = (listed[:, :, None] == batch.targets[:, None, :]).mean(axis=(1, 2))
    assert abs(right.mean() - BLOCKS.context_chance({"contexts": 2, "keys": 2})) < 3 * right.std() / 4000**0.5


def test_other_sizes_may_be_tested():
    task = JointRecallConfig(test_contexts=[2, 8], test_keys=16)
    assert task.test_tasks() == (JointRecallConfig(contexts=2, keys=16), JointRecallConfig(contexts=8, keys=16))
    assert JointRecallConfig().test_tasks() == (JointRecallConfig(),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contexts": []}, "task.contexts=[] must have at least one entry"),
        ({"keys": [2, 0]}, "task.keys[1]=0 must be a whole number of at least 1"),
        (
            {"keys": 17},
            "task.keys=17 needs task.vocab_size of at least 53 (3 x keys + 2), got task.vocab_size=50",
        ),
        (
            {"test_keys": [4]},
            "task.test_contexts=[], task.test_keys=[4] must have equally many entries, at least one; "
            "a number holds for all",
        ),
    ],
)
def test_impossible_options_are_refused(options, message):
    assert_refused(JointRecallConfig, options, message)
