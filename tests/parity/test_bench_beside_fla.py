"""`sandbox-bench scans --peers` passes our inputs to fla's kernels under the kernels' names for them.

The kernels need a GPU. Plain references stand in for them here, called with the kernels' own parameters.
"""

import ast
import sys
from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pytest
import scan_peers as references
from scan_peers import FLA, torch

from sandbox.bench import cases, peer_fla
from sandbox.bench.cases import Setting, bind, make_cases
from sandbox.scans.check import QUICKLY_COMPILED
from sandbox.scans.rms_error import relative_rms_errors

REFERENCES = {
    ("simple_gla", "chunk_simple_gla"): lambda q, k, v, g=None: (
        references.linear_attn(q, k, v, None) if g is None else references.simple_gla(q, k, v, g[..., None], None)
    ),
    ("gla", "chunk_gla"): lambda q, k, v, g: references.gla(q, k, v, g, None),
    ("rwkv6", "chunk_rwkv6"): lambda r, k, v, w, u: references.rwkv6(r, k, v, w, u, None),
    ("delta_rule", "chunk_delta_rule"): lambda q, k, v, beta: references.delta_rule(q, k, v, beta, None),
    ("gated_delta_rule", "chunk_gated_delta_rule"): lambda q, k, v, g, beta: references.gated_delta_rule(
        q, k, v, beta, g[..., None], None
    ),
    ("kda", "chunk_kda"): lambda q, k, v, g, beta: references.kda(q, k, v, beta, g, None),
    ("rwkv7", "chunk_rwkv7"): lambda r, w, k, v, a, b: references.dplr(r, k, v, a, b, w, None),
}


def parameters(module: str, function: str) -> set[str]:
    """Parameters of a kernel's function, read from its source: importing it needs Triton."""
    source = (Path(FLA.origin).parent / "ops" / module / "chunk.py").read_text()
    (found,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return {argument.arg for argument in found.args.args}


def stand_in(module: str, function: str):
    def run(scale, **named):
        assert scale == 1.0
        assert {"scale", *named} <= parameters(module, function)
        return REFERENCES[module, function](**named)

    return run


@pytest.fixture
def plain_fla(monkeypatch):
    """Replaces the kernels by the references, on the CPU."""
    monkeypatch.setitem(sys.modules, "fla", ModuleType("fla"))
    monkeypatch.setitem(sys.modules, "fla.ops", ModuleType("fla.ops"))
    for module, function in REFERENCES:
        stands_for = ModuleType(f"fla.ops.{module}")
        setattr(stands_for, function, stand_in(module, function))
        monkeypatch.setitem(sys.modules, stands_for.__name__, stands_for)
    monkeypatch.setattr(peer_fla, "why_not", lambda: None)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)


@pytest.mark.usefixtures("plain_fla")
def test_kernels_are_given_our_inputs(monkeypatch):
    monkeypatch.setattr(cases, "BATCH_LENGTH", 6)
    setting = Setting(
        rules=["gated_linear_attention", "gated_delta_rule", "generalized_delta_rule"],
        kinds=["no decay", "scalar decay", "channel decay", "channel decay, fixed, bonus"],
        implementations=["recurrent"],
        lengths=[6],
        batch=2,
        heads=3,
        rows=4,
        columns=6,
        chunk_size=None,
        dtype="float32",
        with_peers=True,
    )
    compared = []
    for case in make_cases(setting, 6):
        for name, prepare in case.kernels.items():
            both, *arguments = bind("forward+backward", case.functions["recurrent"], case.inputs)
            ours = jax.jit(both, compiler_options=QUICKLY_COMPILED)(*arguments)
            theirs = prepare("forward+backward", tuple(arguments))()
            pairs = zip(jax.tree.leaves(ours), theirs, strict=True)
            errors = [float(relative_rms_errors(one, np.asarray(other)).max()) for one, other in pairs]
            assert max(errors) < 1e-5, (case.rule, case.kind, errors)
            forward = prepare("forward", (case.inputs,))()
            np.testing.assert_array_equal(np.asarray(forward[0]), np.asarray(theirs[0]))
            compared.append(name)
    assert set(compared) == {f"fla {module}" for module, _ in REFERENCES}
    assert len(compared) == 9, "all but the generalised delta rule without decay"
