"""Inputs that break scans in practice, for every rule: extreme decays, none, repeated keys, extreme gates.

Each entry changes inputs by name: those of a rule, `[T, H, …]`, or those of its public function, `[B, T, H, …]`,
which have the same names. It returns None if the inputs lack what it changes.
"""

import jax
import numpy as np

from sandbox.scans import RULES
from sandbox.scans.check import draw_fixture


def repeat(name, distinct):
    """Cycles over the first `distinct` vectors; the time axis is the third last."""

    def change(inputs):
        tokens = inputs[name].shape[-3]
        return inputs | {name: inputs[name].take(np.arange(tokens) % min(distinct, tokens), axis=-3)}

    return change


def choose(name, *values):
    """Values from a short list, drawn for every entry."""

    def change(inputs):
        if name not in inputs:
            return None
        chosen = np.random.default_rng(0).choice(values, np.shape(inputs[name]))
        return inputs | {name: chosen.astype(inputs[name].dtype)}

    return change


def where_there_is_one(change):
    return lambda inputs: change(inputs) or inputs


def scale(name, factor):
    return lambda inputs: inputs | {name: inputs[name] * factor}


def positive(name):
    return lambda inputs: inputs | {name: abs(inputs[name])}


def opposite(name, other, factor):
    return lambda inputs: inputs | {name: -factor * inputs[other]}


def both(*changes):
    def change(inputs):
        for one in changes:
            inputs = None if inputs is None else one(inputs)
        return inputs

    return change


DECAYS = {
    "as drawn": lambda inputs: inputs,
    "forgets nothing": choose("log_decay", 0.0),
    "forgets within a token": choose("log_decay", -20.0),
    "far below the smallest float32": choose("log_decay", -200.0),
    "keeps some and loses others": choose("log_decay", 0.0, -1e-4, -20.0, -200.0),
}

REMEMBERS = where_there_is_one(choose("log_decay", 0.0, -0.01))

# With large input gates only |n·q| bounds h, so it must not be near zero, where it has no digits to compare.
ABOVE_ZERO = both(positive("q"), positive("k"))
BELOW_ZERO = both(ABOVE_ZERO, scale("q", -1.0))

HARD_INPUTS = {
    "gated_linear_attention": DECAYS | {"one key": both(repeat("k", 1), REMEMBERS)},
    "gated_delta_rule": DECAYS
    | {
        "one key": repeat("k", 1),
        "one key, beta near one": both(repeat("k", 1), choose("beta", 0.999), REMEMBERS),
        "one key, beta near two": both(repeat("k", 1), choose("beta", 1.99), REMEMBERS),
        "four keys, beta near two": both(repeat("k", 4), choose("beta", 1.99), REMEMBERS),
    },
    "generalized_delta_rule": DECAYS
    | {
        "one direction": both(repeat("k", 1), repeat("a", 1), repeat("b", 1)),
        "one direction, removed once": both(repeat("a", 1), opposite("b", "a", 0.999), REMEMBERS),
        "one direction, removed twice over": both(repeat("a", 1), opposite("b", "a", 1.99), REMEMBERS),
        "four directions, removed twice over": both(repeat("a", 4), opposite("b", "a", 1.99), REMEMBERS),
    },
    "mlstm": {
        "as drawn": lambda inputs: inputs,
        "one key, nothing forgotten": both(ABOVE_ZERO, repeat("k", 1), choose("log_forget", 0.0)),
        "forget gates shut": choose("log_forget", -20.0),
        "forget gates far below the smallest float32": choose("log_forget", 0.0, -1e-4, -20.0, -200.0),
        "nothing written": both(choose("input_gate", -60.0), choose("log_forget", 0.0, -0.1)),
        "every gate shut": both(choose("input_gate", -60.0), choose("log_forget", -60.0)),
        "every gate wide open": both(BELOW_ZERO, choose("input_gate", 60.0), choose("log_forget", 0.0)),
        "input gates open and shut": both(ABOVE_ZERO, choose("input_gate", -60.0, 0.0, 60.0)),
    },
    "momentum_delta_rule": DECAYS
    | {
        "no momentum": choose("log_momentum", -200.0),
        "keeps some and loses others of both": both(
            choose("log_decay", 0.0, -1e-4, -20.0, -200.0), choose("log_momentum", -0.5, -1e-4, -20.0, -200.0)
        ),
        "one key": both(repeat("k", 1), repeat("p", 1), REMEMBERS),
        "one key, no momentum": both(repeat("k", 1), repeat("p", 1), choose("log_momentum", -200.0), REMEMBERS),
    },
    "diagonal_scan": {
        "as drawn": lambda inputs: inputs,
        "forgets everything": choose("a", 0.0),
        "changes sign": choose("a", -1.0),
        "keeps some and loses others": choose("a", 1.0, 0.999, 1e-9, 1e-30, 0.0),
    },
    "selective_scan": {
        "as drawn": lambda inputs: inputs,
        "forgets nothing": choose("dt", 0.0),
        "keeps some tokens and loses others": choose("dt", 0.0, 1e-4, 20.0, 200.0),
        "keeps everything it is given": choose("A", 0.0),
        "keeps some numbers and loses others": choose("A", 0.0, -1.0, -40.0, -400.0),
    },
    "wkv4": {
        "as drawn": lambda inputs: inputs,
        "equal keys": choose("k", 3.0),
        "large keys": scale("k", 10.0),
        "forgets nothing": choose("w", 1e-6),
        "keeps some and loses others": choose("w", 1e-4, 0.3, 20.0, 200.0),
        "the current token is all, nothing, or some": choose("u", 30.0, -30.0, 0.5),
    },
}


def harden(rule, inputs):
    """The inputs as each entry changes them, by the name of the entry."""
    changed = {name: change(inputs) for name, change in HARD_INPUTS[rule].items()}
    return {name: inputs for name, inputs in changed.items() if inputs is not None}


def hard_fixture(rule, kind, *, tokens, heads=2, rows=5, columns=6):
    """Every change that applies to this kind of inputs, one per sequence of a batch, and their names."""
    sizes = {"tokens": tokens, "heads": heads, "rows": rows, "columns": columns}
    drawn = draw_fixture(RULES[rule], RULES[rule].examples[kind], **sizes)
    named = {name: np.asarray(leaf[0]) for name, leaf in drawn.inputs._asdict().items() if leaf is not None}
    changed = harden(rule, named)
    inputs = {name: np.stack([inputs[name] for inputs in changed.values()]) for name in named}
    state, weights = (
        jax.tree.map(lambda leaf: np.stack([leaf[0]] * len(changed)), tree)
        for tree in (drawn.state, drawn.weights)
    )
    return drawn._replace(state=state, inputs=drawn.inputs._replace(**inputs), weights=weights), list(changed)
