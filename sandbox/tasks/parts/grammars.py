"""Random grammars whose states each stand for a symbol: the next symbol says what the next state is.

Source: `generate_grammar` in the code of SelectivBench (Bouhadjar et al. 2026, arXiv 2601.12598), of SymSeq.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

END = 0
"""The state, and the symbol, that ends a string."""
DENSITY = 0.4
"""The share of symbols that may follow a state."""
MOST_DRAWS = 1000


class Grammar(NamedTuple):
    """States and what may follow them; of each row of choices the first are used, as many as its number says.

    State 0 is the end of a string, which the states that begin one follow. State 1 + a x D + i is the i-th of D
    states of symbol 1 + a.
    """

    symbols: Int[np.ndarray, "Q"]
    next_states: Int[np.ndarray, "Q E"]
    num_next: Int[np.ndarray, "Q"]
    violations: Int[np.ndarray, "Q E"]
    """The symbols that may not follow."""
    num_violations: Int[np.ndarray, "Q"]

    def occupancy(self, steps: int) -> np.ndarray:
        """The mean share of each state in the first `steps` of a walk over equally likely choices."""
        share, total = np.eye(len(self.symbols))[END], np.zeros(len(self.symbols))
        used = np.arange(self.next_states.shape[1]) < self.num_next[:, None]
        for _ in range(steps):
            flow = np.where(used, (share / self.num_next)[:, None], 0)
            share = np.bincount(self.next_states.ravel(), flow.ravel(), minlength=len(share))
            total += share
        return total / steps


@functools.cache
def draw_grammar(num_symbols: int, states_per_symbol: int, num_starts: int, seed: int) -> Grammar:
    """The grammar of these sizes that is drawn from this seed, where `draw_successors` draws one."""
    drawn = draw_successors(num_symbols, states_per_symbol, num_starts, seed)
    assert drawn is not None, "refused before"
    allowed, successors = drawn
    order = np.argsort(~allowed, axis=1, kind="stable")
    return Grammar(
        symbols=np.append(END, 1 + np.arange(num_symbols * states_per_symbol) // states_per_symbol),
        next_states=np.take_along_axis(successors, order, axis=1),
        num_next=allowed.sum(axis=1),
        violations=order[:, ::-1],
        num_violations=(~allowed).sum(axis=1),
    )


@functools.cache
def draw_successors(
    num_symbols: int, states_per_symbol: int, num_starts: int, seed: int
) -> tuple[Bool[np.ndarray, "Q E"], Int[np.ndarray, "Q E"]] | None:
    """Draw which symbols may follow each state, and which state each would lead to.

    After each state each symbol may follow with probability `DENSITY`, in one of its states, all equally likely,
    and the end with `DENSITY / states_per_symbol`. Strings begin with `num_starts` states of different symbols.
    None if in no draw of many all states can end, and have a symbol that may not follow.
    """
    rng = np.random.default_rng(seed)
    num_states = 1 + num_symbols * states_per_symbol
    for _ in range(MOST_DRAWS):
        instance = rng.integers(states_per_symbol, size=(num_states, num_symbols))
        successors = 1 + states_per_symbol * np.arange(num_symbols) + instance
        successors = np.append(np.full((num_states, 1), END), successors, axis=1)  # by symbol, the end first
        allowed = rng.random(successors.shape) < DENSITY
        allowed[:, END] = rng.random(num_states) < DENSITY / states_per_symbol
        allowed[END] = np.isin(np.arange(num_symbols + 1), 1 + rng.permutation(num_symbols)[:num_starts])
        if _all_can_end(allowed, successors) and not allowed.all(axis=1).any():
            return allowed, successors
    return None


def _all_can_end(allowed: Bool[np.ndarray, "Q E"], successors: Int[np.ndarray, "Q E"]) -> bool:
    can_end = np.arange(len(allowed)) == END
    while True:
        more = can_end | (allowed & can_end[successors]).any(axis=1)
        if (more == can_end).all():
            return bool(more.all())
        can_end = more
