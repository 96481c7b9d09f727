"""Fixtures for every rule, and the comparison of an implementation with the float64 definition."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from float64_definitions import gradients, outputs_and_final_state

from sandbox import scans

BATCH, KEY, VALUE = 2, 4, 6
CHUNK = 8
LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)
DECAY_KINDS = ("none", "head, fixed", "channel, fixed", "head, data", "channel, data")
RULES_WITH_BONUS = ("gated_linear_attention",)

# Below this a float32 gradient is zero: exp(-200) has no float32, and its gradient is no larger.
SMALLEST_SCALE = 1e-20


@dataclass(frozen=True)
class Case:
    rule: str
    decay: str = "channel, data"
    bonus: bool = False
    num_tokens: int = 3 * CHUNK + 5
    heads: int = 3
    initial_state: bool = True
    log_decays: tuple[float, ...] = (-0.02, -0.3, -2.0)
    distinct_keys: int | None = None
    beta: float | None = None
    dtype: str = "float32"

    def __str__(self):
        changed = [f"{k}={v}" for k, v in vars(self).items() if v != type(self).__dataclass_fields__[k].default]
        return ",".join(changed).replace("rule=", "")


@functools.cache
def arguments(case):
    """The arrays of a case by name, as float32 or bfloat16 values."""
    rng = np.random.default_rng(0)
    shape = (BATCH, case.num_tokens, case.heads)
    arrays = {name: rng.normal(size=(*shape, KEY)) for name in ("q", "k")}
    arrays["v"] = rng.normal(size=(*shape, VALUE))
    if case.rule == "gated_delta_rule":
        arrays["k"] /= np.linalg.norm(arrays["k"], axis=-1, keepdims=True)
        arrays["beta"] = rng.uniform(0, 1, shape) if case.beta is None else np.full(shape, case.beta)
    if case.distinct_keys is not None:
        which = rng.integers(case.distinct_keys, size=case.num_tokens)
        arrays["k"] = arrays["k"][:, which % case.num_tokens]
    if case.decay != "none":
        last = KEY if case.decay.startswith("channel") else 1
        leading = (case.heads,) if case.decay.endswith("fixed") else shape
        arrays["log_decay"] = rng.choice(case.log_decays, size=(*leading, last))
    if case.bonus:
        arrays["bonus"] = rng.normal(size=(case.heads, KEY))
    if case.initial_state:
        arrays["initial_state"] = rng.normal(size=(BATCH, case.heads, KEY, VALUE))
    low_precision = {"q", "k", "v", "beta"}
    return {
        name: jnp.asarray(array, case.dtype if name in low_precision else "float32")
        for name, array in arrays.items()
    }


def weights(case):
    """What the loss weighs the outputs and the final state with: every element counts differently."""
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(BATCH, case.num_tokens, case.heads, VALUE))
    return outputs.astype(np.float32), rng.normal(size=(BATCH, case.heads, KEY, VALUE)).astype(np.float32)


@functools.cache
def expected(case):
    """Outputs, final state and the gradient of every argument, by name, from the definition."""
    inputs = {name: np.asarray(array, np.float64) for name, array in arguments(case).items()}
    outputs, final_state = outputs_and_final_state(case.rule, inputs)
    by_argument = gradients(case.rule, inputs, weights(case))
    return {"outputs": outputs, "final state": final_state} | _as_gradients(by_argument)


def _as_gradients(by_argument):
    return {f"gradient of {name}": array for name, array in by_argument.items()}


@functools.cache
def compiled(rule, implementation, chunk_size):
    run = functools.partial(getattr(scans, rule), implementation=implementation, chunk_size=chunk_size)

    @jax.jit
    def values_and_gradients(inputs, cotangents):
        (outputs, final_state), pullback = jax.vjp(lambda inputs: run(**inputs), inputs)
        (by_argument,) = pullback((cotangents[0].astype(outputs.dtype), cotangents[1]))
        return outputs, final_state, by_argument

    return values_and_gradients


def actual(case, implementation, chunk_size=CHUNK):
    """The same by one implementation of the package."""
    run = compiled(case.rule, implementation, chunk_size)
    outputs, final_state, by_argument = run(arguments(case), weights(case))
    assert outputs.dtype == case.dtype
    assert final_state.dtype == jnp.float32
    return {"outputs": outputs, "final state": final_state} | _as_gradients(by_argument)


def relative_rms_error(reference, value):
    reference, value = np.asarray(reference, np.float64), np.asarray(value, np.float64)
    error = np.sqrt(np.mean((reference - value) ** 2))
    return error / max(np.sqrt(np.mean(reference**2)), SMALLEST_SCALE)


def assert_agrees(case, implementation):
    """Every tensor within 1e-5 of the definition in float32, 2e-2 in bfloat16, or an error that names it."""
    tolerance = {"float32": 1e-5, "bfloat16": 2e-2}[case.dtype]
    reference, value = expected(case), actual(case, implementation)
    assert reference.keys() == value.keys()
    problems = []
    for name in reference:
        error = relative_rms_error(reference[name], value[name])
        if not error <= tolerance:
            problems.append(f"{name}: relative RMS error {error:.1e} > {tolerance:.0e}")
    assert not problems, f"{case} by {implementation}: " + "; ".join(problems)
