"""Arguments of every public function, for every kind of inputs that it distinguishes."""

import functools

import numpy as np

from sandbox.scans import MLSTMState, MomentumState, WKV4State

B, H, K, V, E, N = 2, 3, 4, 6, 6, 4
CHUNK = 8
LONG = 3 * CHUNK + 5

DECAYS = ("no decay", "[H, 1]", "[H, K]", "[B, T, H, 1]", "[B, T, H, K]")


def matrix_state(rng, tokens, decay="no decay"):
    """The common arguments of the functions with a matrix state; keys of norm one."""
    q, k = rng.normal(size=(2, B, tokens, H, K))
    arguments = {
        "q": q,
        "k": k / np.linalg.norm(k, axis=-1, keepdims=True),
        "v": rng.normal(size=(B, tokens, H, V)),
        "initial_state": rng.normal(size=(B, H, K, V)),
    }
    if decay != "no decay":
        leading, last = (B, tokens, H) if "T" in decay else (H,), K if "K" in decay else 1
        arguments["log_decay"] = rng.choice([-0.02, -0.3, -2.0], size=(*leading, last))
    return arguments


def with_bonus(rng, tokens, decay):
    return matrix_state(rng, tokens, decay) | {"bonus": rng.normal(size=(H, K))}


def gated_delta_rule(rng, tokens, decay):
    return matrix_state(rng, tokens, decay) | {"beta": rng.uniform(size=(B, tokens, H))}


def generalized_delta_rule(rng, tokens, decay):
    """As in RWKV-7: what is removed lies in one direction, a different fraction of it in every channel."""
    removed = matrix_state(rng, tokens)["k"]
    rate = rng.uniform(size=removed.shape)
    return matrix_state(rng, tokens, decay) | {"a": -removed, "b": rate * removed}


def mlstm(rng, tokens):
    input_gate, log_forget = rng.normal(size=(B, tokens, H)), rng.choice([-0.02, -0.3, -2.0], (B, tokens, H))
    arguments = matrix_state(rng, tokens) | {"input_gate": input_gate, "log_forget": log_forget}
    normalizer, stabilizer = rng.normal(size=(B, H, 1, K)), rng.normal(size=(B, H, 1, 1))
    return arguments | {"initial_state": MLSTMState(arguments["initial_state"], normalizer, stabilizer)}


def momentum_delta_rule(rng, tokens):
    arguments = matrix_state(rng, tokens)
    arguments["p"] = rng.uniform(size=(B, tokens, H, 1)) * arguments["k"]
    arguments |= {name: rng.choice([-0.02, -0.3, -2.0], (B, tokens, H)) for name in ("log_decay", "log_momentum")}
    arguments |= {name: rng.uniform(size=(B, tokens, H)) for name in ("share", "rate")}
    state = arguments["initial_state"]
    return arguments | {"initial_state": MomentumState(rng.normal(size=state.shape), state)}


def diagonal_scan(rng, tokens, *, fixed=False, complex_a=False, complex_x=False):
    a = rng.uniform(size=(1, 1, E) if fixed else (B, tokens, E))
    x, state = rng.normal(size=(B, tokens, E)), rng.normal(size=(B, E))
    if complex_a:
        a = a * np.exp(2j * np.pi * rng.uniform(size=a.shape))
    if complex_x:
        x, state = x + 1j * rng.normal(size=x.shape), state + 1j * rng.normal(size=state.shape)
    return {"a": a, "x": x, "initial_state": state}


def selective_scan(rng, tokens):
    return {
        "x": rng.normal(size=(B, tokens, E)),
        "dt": rng.uniform(size=(B, tokens, E)),
        "A": -np.exp(rng.normal(size=(E, N))),
        "Bm": rng.normal(size=(B, tokens, N)),
        "Cm": rng.normal(size=(B, tokens, N)),
        "initial_state": rng.normal(size=(B, E, N)),
    }


def wkv4(rng, tokens):
    k, v = rng.normal(size=(2, B, tokens, E))
    state = WKV4State(rng.normal(size=(B, E)), rng.uniform(size=(B, E)), rng.normal(size=(B, E)))
    return {"k": k, "v": v, "w": np.exp(rng.normal(size=E)), "u": rng.normal(size=E), "initial_state": state}


def with_decays(draw, decays=DECAYS, suffix=""):
    return {decay + suffix: functools.partial(draw, decay=decay) for decay in decays}


KINDS = {
    "gated_linear_attention": with_decays(matrix_state)
    | with_decays(with_bonus, ("no decay", "[H, 1]", "[B, T, H, K]"), ", bonus"),
    "gated_delta_rule": with_decays(gated_delta_rule),
    "generalized_delta_rule": with_decays(generalized_delta_rule),
    "mlstm": {"gates": mlstm},
    "momentum_delta_rule": {"gates": momentum_delta_rule},
    "diagonal_scan": {
        "real": diagonal_scan,
        "real, fixed decay": functools.partial(diagonal_scan, fixed=True),
        "complex": functools.partial(diagonal_scan, complex_a=True, complex_x=True),
        "complex fixed decay, real input": functools.partial(diagonal_scan, fixed=True, complex_a=True),
        "real decay, complex input": functools.partial(diagonal_scan, complex_x=True),
    },
    "selective_scan": {"fixed A": selective_scan},
    "wkv4": {"fixed w and u": wkv4},
}
"""A function that draws the arguments of each kind, by the name of the public function."""

EXAMPLES = {name: list(kinds)[-1] for name, kinds in KINDS.items()} | {
    "gated_linear_attention": "[H, 1], bonus",
    "diagonal_scan": "complex fixed decay, real input",
}
"""One kind for each function; some have arrays that all sequences share, that all tokens share, and neither."""


def draw(function, kind, tokens=LONG):
    """Arguments by name, float64."""
    return KINDS[function][kind](np.random.default_rng(0), tokens)
