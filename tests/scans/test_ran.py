"""`sandbox.ran`: what is noted while a program is traced is what runs in it."""

import jax
import jax.numpy as jnp
import pytest

from sandbox.ran import note_implementation, noted_implementations
from sandbox.scans import IMPLEMENTATIONS, gated_linear_attention
from sandbox.target import interpreted_kernels

Q = jnp.ones((1, 5, 2, 3))


def loss(q, **options):
    return jnp.sum(gated_linear_attention(q, Q, Q, **options)[0])


def after_a_scan(q):
    """A sum over three steps, each of which runs the rule."""
    return jax.lax.scan(lambda total, _: (total + loss(q), None), 0.0, None, length=3)[0]


def one_token(q):
    return jnp.sum(gated_linear_attention(q[:, :1], Q[:, :1], Q[:, :1])[0])


PROGRAMS = {
    "plain": (loss, ["recurrent"]),
    "differentiated": (jax.grad(loss), ["chunked"]),
    "forward and backward": (jax.value_and_grad(loss), ["chunked"]),
    "under jit": (jax.jit(jax.grad(lambda q: loss(q))), ["chunked"]),
    "a jit inside": (jax.grad(jax.jit(lambda q: loss(q))), ["chunked"]),
    "under checkpoint": (jax.grad(jax.checkpoint(lambda q: loss(q))), ["chunked"]),
    "in a scan": (after_a_scan, ["recurrent"]),
    "in a scan, differentiated": (jax.grad(after_a_scan), ["chunked"]),
    "mapped": (jax.vmap(jax.grad(lambda q: loss(q[None]))), ["chunked"]),
    "by name": (lambda q: loss(q, implementation="chunked"), ["chunked"]),
    "by name, differentiated": (jax.grad(lambda q: loss(q, implementation="recurrent")), ["recurrent"]),
    "one token, differentiated": (jax.grad(one_token), ["recurrent"]),
    "both": (lambda q: loss(q) + loss(q, implementation="chunked"), ["recurrent", "chunked"]),
    "nothing": (jnp.sum, []),
}


@pytest.fixture
def drivers_that_execute(monkeypatch):
    """Names of the drivers whose results a compiled program computes, noted when it is executed."""
    names = []

    def reporting(name, driver):
        def run(*arguments, **options):
            jax.debug.callback(lambda: names.append(name))
            return driver(*arguments, **options)

        return run

    for name, driver in IMPLEMENTATIONS.items():
        monkeypatch.setitem(IMPLEMENTATIONS, name, reporting(name, driver))
    return names


@pytest.mark.parametrize(("program", "expected"), PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_noted_is_what_runs(program, expected, drivers_that_execute):
    jax.clear_caches()  # what jit has traced before is not traced again
    with noted_implementations() as noted:
        compiled = jax.jit(lambda q: program(q)).trace(Q).lower().compile()
    assert noted.names == expected
    assert not drivers_that_execute
    jax.block_until_ready(compiled(Q))
    jax.effects_barrier()
    assert set(drivers_that_execute) == set(expected)


def test_kernels_are_noted():
    with interpreted_kernels("tpu"), noted_implementations() as noted:
        jax.eval_shape(jax.grad(lambda q: loss(q)), Q)
    assert noted.names == ["pallas"]


def test_an_inner_scope_has_its_own_notes():
    with noted_implementations() as outer:
        note_implementation("before")
        with noted_implementations() as inner:
            note_implementation("within")
        note_implementation("after")
        note_implementation("before")
    assert inner.names == ["within"]
    assert outer.names == ["before", "after"]


def test_a_choice_can_be_replaced():
    with noted_implementations() as noted:
        choice = note_implementation("recurrent")
        choice.name = "chunked"
    assert noted.names == ["chunked"]


def test_outside_a_scope_nothing_is_noted():
    with noted_implementations() as noted:
        pass
    assert note_implementation("chunked").name == "chunked"
    assert noted.names == []


def test_a_scope_ends_with_an_error():
    with pytest.raises(RuntimeError, match="stop"), noted_implementations() as noted:
        raise RuntimeError("stop")
    note_implementation("chunked")
    assert noted.names == []
