"""What is timed: programs that take turns, so that whatever slows the machine down slows all of them."""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from sandbox.cost.flops import analyse, count_flops
from sandbox.cost.timing import Call, measure, speed_ratio, spread
from sandbox.scans import gated_linear_attention

ROUNDS = 15
Name = TypeVar("Name", bound=tuple[Any, ...])
Order = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

ORDERS: dict[str, Order] = {
    "(Q Kᵀ) V": lambda q, k, v: (q @ k.T) @ v,
    "Q (Kᵀ V)": lambda q, k, v: q @ (k.T @ v),
}
WITH_SOFTMAX: Order = lambda q, k, v: jax.nn.softmax(q @ k.T / q.shape[-1] ** 0.5) @ v


def orders() -> pd.DataFrame:
    """Both orders of the product of queries, keys and values of 64 numbers: counts, bytes, times, differences."""
    rows: list[dict[str, Any]] = []
    calls: dict[tuple[str, int], Call] = {}
    d = 64
    for n in (32, 64, 128, 256, 512, 1024, 2048):
        q, k, v = jax.random.normal(jax.random.key(n), (3, n, d))
        results = {}
        for order, function in ORDERS.items():
            compiled = jax.jit(function).lower(q, k, v).compile()
            found = analyse(compiled)
            results[order] = np.asarray(compiled(q, k, v))
            calls[order, n] = functools.partial(compiled, q, k, v)
            counts = {"multiplications": int(found.flops or 0) // 2, "bytes": found.peak_bytes}
            rows.append({"n": n, "d": d, "rounds": ROUNDS, "order": order} | counts)
        largest = np.abs(results["Q (Kᵀ V)"]).max()
        off = np.abs(results["(Q Kᵀ) V"] - results["Q (Kᵀ V)"]).max() / largest
        sharp = np.asarray(WITH_SOFTMAX(q, k, v))
        apart = np.abs(sharp / np.abs(sharp).max() - results["Q (Kᵀ V)"] / largest).max()
        for row in rows[-len(ORDERS) :]:
            row |= {"difference": off, "difference_of_softmax": apart}
    seconds = _seconds(calls, lambda name: ("(Q Kᵀ) V", name[1]))
    return pd.DataFrame([row | seconds[row["order"], row["n"]] for row in rows])


def chunks() -> pd.DataFrame:
    """Time per token of gated linear attention, against the tokens that it takes at once."""
    batch, length, heads, size = 4, 1024, 2, 64
    q, k, v = jax.random.normal(jax.random.key(0), (3, batch, length, heads, size)) / size**0.25
    decays: dict[str, Any] = {
        "no decay": None,
        "one decay per head": -jnp.full((batch, length, heads, 1), 0.01),
        "a decay per row": -jnp.full((batch, length, heads, size), 0.01),
    }
    rows: list[dict[str, Any]] = []
    calls: dict[tuple[str, str, int], Call] = {}
    for (decay, log_decay), chunk in itertools.product(decays.items(), [2**power for power in range(11)]):

        def read(
            q: jax.Array, k: jax.Array, v: jax.Array, chunk: int = chunk, log_decay: Any = log_decay
        ) -> jax.Array:
            return gated_linear_attention(q, k, v, log_decay, implementation="chunked", chunk_size=chunk)[0].sum()

        directions = {"forward": read, "forward and backward": jax.value_and_grad(read, argnums=(0, 1, 2))}
        for direction, function in directions.items():
            calls[decay, direction, chunk] = functools.partial(jax.jit(function), q, k, v)
            operations = count_flops(function, q, k, v) / (batch * length)
            row = {"decay": decay, "direction": direction, "chunk": chunk, "operations": round(operations)}
            setting = {"batch": batch, "length": length, "heads": heads, "size": size, "rounds": ROUNDS}
            rows.append(row | setting)
    seconds = _seconds(calls, lambda name: (*name[:2], 1))
    frame = pd.DataFrame([row | seconds[row["decay"], row["direction"], row["chunk"]] for row in rows])
    times = ["low_seconds", "seconds", "high_seconds"]
    frame[times] /= batch * length
    return frame


def _seconds(calls: Mapping[Name, Call], slower: Callable[[Name], Name]) -> dict[Name, dict[str, float]]:
    """Seconds of each call with their spread over rounds, and its speed in multiples of that of `slower`."""
    timed = measure(calls, rounds=ROUNDS)
    return {
        name: dict(zip(("low_seconds", "seconds", "high_seconds"), spread(of_call), strict=True))
        | dict(zip(("speed_low", "speed", "speed_high"), speed_ratio(of_call, timed[slower(name)]), strict=True))
        for name, of_call in timed.items()
    }


TABLES: dict[str, Callable[[], pd.DataFrame]] = {"orders": orders, "chunks": chunks}
