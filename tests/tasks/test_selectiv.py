"""The state of a grammar through gaps, and the grammars."""

import numpy as np
import pytest
from solving import assert_refused, assert_solved, scored

from sandbox.tasks.parts.grammars import DENSITY, END, draw_grammar
from sandbox.tasks.selectiv import BLANK, FIRST_SYMBOL, PAD, Gap, SelectivConfig


def successors(grammar, state):
    """The state that each possible symbol leads to."""
    following = grammar.next_states[state, : grammar.num_next[state]].tolist()
    return {int(grammar.symbols[after]): after for after in following}


def state_so_far(task):
    """Solver: what is blank or may not follow is ignored."""

    def solve(visible):
        state = END
        for token in visible:
            state = successors(task.grammar, state).get(token - FIRST_SYMBOL, state) if token != BLANK else state
        return task.first_state + state - 1 if state else FIRST_SYMBOL

    return solve


@pytest.mark.parametrize("gap", Gap)
def test_the_state_is_asked_for_at_the_end_of_each_gap(gap, draw_batch):
    task = SelectivConfig(elements=9, gap=gap, min_gap=1, max_gap=3, gap_share=0.5, gap_start=2)
    batch = draw_batch(task, 400)
    assert_solved(batch._replace(tokens=batch.tokens[:50]), state_so_far(task))
    lengths = []
    for row, tokens in enumerate(batch.tokens.tolist()):
        ends = [position for position, _ in scored(batch, row)]
        assert tokens[ends[-1] + 1 :] == [PAD] * (task.max_len - 1 - ends[-1])
        lengths.append(np.diff([-1, *ends]) - 1)
        if gap is Gap.blank:
            shown = [token for token in tokens[: ends[-1] + 1] if token != BLANK]
            assert len(shown) == task.elements
            assert tokens.count(BLANK) == lengths[-1].sum()
    lengths = np.array(lengths)
    assert not lengths[:, :2].any()
    share = np.bincount(lengths[:, 2:].ravel()) / lengths[:, 2:].size
    assert np.abs(share - np.array([3, 1, 1, 1]) / 6).max() < 4.5 * np.sqrt(1 / 4 / lengths[:, 2:].size)


def test_violations_and_next_states_are_equally_likely(draw_batch):
    task = SelectivConfig(elements=2, gap=Gap.violating, min_gap=1, max_gap=1)
    tokens, targets = draw_batch(task, 6000).tokens, draw_batch(task, 6000).targets
    first = int(successors(task.grammar, END)[int(task.grammar.symbols[task.grammar.next_states[END, 0]])])
    ours = targets[:, 0] == task.first_state + first - 1
    assert abs(ours.mean() - 1 / task.num_starts) < 4.5 * np.sqrt(1 / 4 / 6000)
    may_follow = {symbol + FIRST_SYMBOL for symbol in successors(task.grammar, first)}
    for drawn, expected in ((tokens[ours, 1], {*range(2, 9)} - may_follow), (tokens[ours, 2], may_follow)):
        share = np.bincount(drawn, minlength=9)[sorted(expected)] / ours.sum()
        assert share.sum() == pytest.approx(1)
        assert np.abs(share - 1 / len(expected)).max() < 4.5 * np.sqrt(1 / 4 / ours.sum())


def test_a_grammar_is_that_of_its_source():
    grammar = draw_grammar(20, 20, 4, seed=1)
    assert len(grammar.symbols) == 401
    tables = [successors(grammar, state) for state in range(401)]
    assert len(tables[END]) == 4
    assert END not in tables[END]
    assert abs(np.mean([len(table) for table in tables[1:]]) - (20 + 1 / 20) * DENSITY) < 0.5
    assert 2 <= sum(END in table for table in tables) <= 20, "one in fifty may end"
    for table, forbidden, count in zip(tables, grammar.violations, grammar.num_violations, strict=True):
        assert {*table, *forbidden[:count].tolist()} == {*range(21)}
        assert len(table) + count == 21
    can_end = {END}
    while more := {state for state in range(401) if can_end & {*tables[state].values()}} - can_end:
        can_end |= more
    assert len(can_end) == 401
    assert draw_grammar(20, 20, 4, seed=2).next_states.tolist() != grammar.next_states.tolist()


def test_gaps_of_tests_may_be_longer():
    task = SelectivConfig(test_gaps=[0, 10])
    assert [(test.min_gap, test.max_gap, test.max_len) for test in task.test_tasks()] == [
        (0, 0, 32),
        (10, 10, 352),
    ]
    assert SelectivConfig().test_tasks() == (SelectivConfig(),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_gap": 5}, "task.max_gap=4 must be at least task.min_gap=5"),
        ({"num_starts": 7}, "task.num_symbols=6 must be at least task.num_starts=7"),
        ({"gap_share": 1.5}, "task.gap_share=1.5 must be at most 1"),
        (
            {"num_symbols": 1, "num_starts": 1, "states_per_symbol": 30},
            "task.num_symbols=1, task.states_per_symbol=30: no grammar found whose states can all end; "
            "more symbols make it likelier",
        ),
    ],
)
def test_impossible_options_are_refused(options, message):
    assert_refused(SelectivConfig, options, message)
