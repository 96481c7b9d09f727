"""Splits an update by whether its parts need the state, so that only those which do wait for one another."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array

from sandbox.scans.rule import Inputs, Outputs, State, Update

Parts = list[Array]
"""Intermediate results of an update that do not depend on the state."""


def split_by_state(
    update: Update, state: State, inputs: Inputs
) -> tuple[Callable[[Inputs], Parts], Callable[[State, Parts], tuple[State, Outputs]]]:
    """`(prepare, finish)` with `finish(state, prepare(inputs)) = update(state, inputs)`, for these shapes.

    `prepare` holds every operation of `update` that can be done before the state is known.
    """
    closed, shapes = jax.make_jaxpr(update, return_shape=True)(state, inputs)
    jaxpr, num_states = closed.jaxpr, len(jax.tree.leaves(state))
    of_state, of_inputs = jaxpr.invars[:num_states], jaxpr.invars[num_states:]
    before, after = _equations_by_dependence(jaxpr, of_state)
    known = {*of_inputs, *(variable for equation in before for variable in equation.outvars)}
    used = [atom for equation in after for atom in equation.invars] + list(jaxpr.outvars)
    parts = list(dict.fromkeys(atom for atom in used if not isinstance(atom, Literal) and atom in known))

    def function_of(variables: Sequence[Var], equations: Sequence[JaxprEqn], results: Sequence[Any]) -> Any:
        names = jaxpr.debug_info.with_unknown_names()
        cut = jaxpr.replace(invars=list(variables), eqns=list(equations), outvars=list(results), debug_info=names)
        return jaxpr_as_fun(ClosedJaxpr(cut, closed.consts))

    prepare = function_of(of_inputs, before, parts)
    finish = function_of([*of_state, *parts], after, jaxpr.outvars)
    return (
        lambda inputs: prepare(*jax.tree.leaves(inputs)),
        lambda state, parts: jax.tree.unflatten(
            jax.tree.structure(shapes), finish(*jax.tree.leaves(state), *parts)
        ),
    )


def _equations_by_dependence(jaxpr: Jaxpr, variables: Sequence[Var]) -> tuple[list[JaxprEqn], list[JaxprEqn]]:
    """The equations that do not depend on `variables`, and those that do."""
    dependent = set(variables)
    before: list[JaxprEqn] = []
    after: list[JaxprEqn] = []
    for equation in jaxpr.eqns:
        if any(not isinstance(atom, Literal) and atom in dependent for atom in equation.invars):
            dependent.update(equation.outvars)
            after.append(equation)
        else:
            before.append(equation)
    return before, after
