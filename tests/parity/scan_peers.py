"""Scans in the plain PyTorch code of others, each with the call of ours that must compute the same.

flash-linear-attention (the package fla-core) has token-by-token references beside its kernels; transformers has a
plain form of the scans of its models. Both are in the extra `parity`; without it, tests that import this are
skipped.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from sandbox import scans

NEEDS = "needs the extra `parity`: no module named "
torch = pytest.importorskip("torch", reason=NEEDS + "torch")
pytest.importorskip("einops", reason=NEEDS + "einops")
pytest.importorskip("transformers", reason=NEEDS + "transformers")
if (FLA := importlib.util.find_spec("fla")) is None:
    pytest.skip(NEEDS + "fla (fla-core)", allow_module_level=True)

CHUNK = 8
"""Tokens per chunk on both sides, for functions that have the choice."""


def fla(operation: str) -> ModuleType:
    """The module of an operation's references, loaded by file: importing `fla` needs Triton."""
    path = Path(FLA.origin).parent / "ops" / f"{operation}.py"
    spec = importlib.util.spec_from_file_location(operation.replace("/", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def transformers(model: str) -> ModuleType:
    return importlib.import_module(f"transformers.models.{model}.modeling_{model}")


def unscaled(q):
    """Undoes the scale K^-1/2 of references that always scale queries; ours never do."""
    return q * q.shape[-1] ** 0.5


def heads_first(*arrays):
    """`[B, T, H, …]` to `[B, H, T, …]`, or back."""
    return [array.transpose(1, 2) for array in arrays]


# Each of these takes our arguments by our names, and returns (outputs, final state) in our layout.


def gla(q, k, v, log_decay, initial_state):
    recurrence = fla("gla/naive").naive_recurrent_gla
    return recurrence(unscaled(q), k, v, log_decay, initial_state, output_final_state=True)


def simple_gla(q, k, v, log_decay, initial_state):
    recurrence = fla("simple_gla/naive").naive_recurrent_simple_gla
    return recurrence(q, k, v, log_decay[..., 0], scale=1.0, initial_state=initial_state)


def linear_attn(q, k, v, initial_state):
    recurrence = fla("linear_attn/naive").naive_recurrent_linear_attn
    return recurrence(q, k, v, scale=1.0, initial_state=initial_state, output_final_state=True)


def retention(q, k, v):
    """Attention with the decays of RetNet; there is no state."""
    (outputs,) = heads_first(fla("retention/naive").naive_retention(*heads_first(unscaled(q), k, v)))
    return outputs, ()


def retention_by_us(q, k, v, implementation, chunk_size):
    """RetNet's heads decay by 1 - 2^-5, 1 - 2^-6, …"""
    log_decay = jnp.log1p(-(2.0 ** -(5.0 + jnp.arange(q.shape[2]))))[:, None]
    outputs, _ = scans.gated_linear_attention(
        q, k, v, log_decay, implementation=implementation, chunk_size=chunk_size
    )
    return outputs, ()


def mamba2(x, dt, A, Bm, Cm, initial_state):
    """Mamba-2's own names: B, C as k, q, and v as x before its step size. Its states are `[V, K]`."""
    outputs, final_state = transformers("mamba2").mamba2_chunk_scan(
        x, dt, A, Bm, Cm, CHUNK, initial_states=initial_state.mT, return_final_states=True
    )
    return outputs, final_state.mT


def mamba2_by_us(x, dt, A, Bm, Cm, **others):
    v, log_decay = dt[..., None] * x, (dt * A[None, None])[..., None]
    return scans.gated_linear_attention(Cm, Bm, v, log_decay, **others)


def rwkv6(q, k, v, log_decay, bonus, initial_state):
    q, k, v, log_decay = heads_first(q, k, v, log_decay)
    recurrence = fla("rwkv6/recurrent_naive").naive_recurrent_rwkv6
    outputs, final_state = recurrence(q, k, v, log_decay, bonus, 1.0, initial_state, output_final_state=True)
    return outputs.transpose(1, 2), final_state


def delta_rule(q, k, v, beta, initial_state):
    recurrence = fla("delta_rule/naive").delta_rule_recurrence
    outputs, final_state = recurrence(*heads_first(unscaled(q), k, v, beta), initial_state)
    return outputs.transpose(1, 2), final_state


def gated_delta_rule(q, k, v, beta, log_decay, initial_state):
    recurrence = fla("gated_delta_rule/naive").naive_recurrent_gated_delta_rule
    return recurrence(q, k, v, beta, log_decay[..., 0], 1.0, initial_state, output_final_state=True)


def kda(q, k, v, beta, log_decay, initial_state):
    recurrence = fla("kda/naive").naive_recurrent_kda
    return recurrence(q, k, v, log_decay, beta, 1.0, initial_state, output_final_state=True)


def iplr(q, k, v, a, b, initial_state):
    recurrence = fla("generalized_delta_rule/iplr/naive").iplr_recurrence
    outputs, final_state = recurrence(*heads_first(unscaled(q), k, v, a, b), initial_state)
    return outputs.transpose(1, 2), final_state


def dplr(q, k, v, a, b, log_decay, initial_state):
    """RWKV-7's recurrence: like ours, it reads the state with `a` before the state decays."""
    recurrence = fla("generalized_delta_rule/dplr/naive").dplr_recurrence
    outputs, final_state = recurrence(*heads_first(unscaled(q), k, v, a, b, log_decay), initial_state)
    return outputs.transpose(1, 2), final_state


def gated_deltanet2(q, k, v, erase, write, log_decay, initial_state):
    recurrence = fla("gdn2/naive").naive_recurrent_gdn2
    return recurrence(q, k, v, log_decay, erase, write, 1.0, initial_state, output_final_state=True)


def gated_deltanet2_by_us(q, k, v, erase, write, log_decay, **others):
    """It reads the state with erase ⊙ k after the decay, and writes write ⊙ v."""
    return scans.generalized_delta_rule(
        q, k, write * v, a=jnp.exp(log_decay) * erase * k, b=-k, log_decay=log_decay, **others
    )


def xlstm(q, k, v, input_gate, forget_gate, memory, normalizer, stabilizer):
    """The forget gate comes before its sigmoid; the 1e-6 in the denominator of the outputs is left out."""
    q, k, v, input_gate, forget_gate = heads_first(unscaled(q), k, v, input_gate, forget_gate)
    outputs, (memory, normalizer, stabilizer) = transformers("xlstm").mlstm_recurrent_sequence_native(
        q, k, v, input_gate, forget_gate, memory, normalizer, stabilizer, return_last_states=True, eps=0.0
    )
    unit = torch.exp(stabilizer)
    return outputs.transpose(1, 2), (unit[..., None] * memory, unit * normalizer)


def xlstm_by_us(q, k, v, input_gate, forget_gate, memory, normalizer, stabilizer, **others):
    state = scans.MLSTMState(memory, normalizer[:, :, None], stabilizer[:, :, None])
    outputs, state = scans.mlstm(
        q, k, v, input_gate, jax.nn.log_sigmoid(forget_gate), initial_state=state, **others
    )
    unit = jnp.exp(state.stabilizer)  # gradients agree for what does not depend on the unit
    return outputs, (unit * state.memory, (unit * state.normalizer)[:, :, 0])


def hgrn(log_a, x, initial_state):
    return fla("hgrn/naive").naive_recurrent_hgrn(x, log_a, initial_state, output_final_state=True)


def recurrent_gemma(log_a, x, initial_state):
    """The scan inside RG-LRU, without document boundaries: a method that does not use its object."""
    scan = transformers("recurrent_gemma").RecurrentGemmaRglru._rnn_scan
    return scan(None, x, torch.exp(log_a), torch.zeros(*x.shape[:2], 1, dtype=torch.bool), initial_state)


def diagonal_scan_by_us(log_a, x, **others):
    return scans.diagonal_scan(jnp.exp(log_a), x, **others)


def mamba(x, dt, A, Bm, Cm):
    """The form for whole sequences, which has no initial state."""
    x, dt, Bm, Cm = (array.mT for array in (x, dt, Bm, Cm))
    outputs, final_state = transformers("mamba").mamba_selective_scan(x, dt, A, Bm, Cm, return_last_state=True)
    return outputs.mT, final_state


def mamba_decode(x, dt, A, Bm, Cm, initial_state):
    """The form for one token, in a loop. It overwrites its state, and computes on a copy if that is float64."""
    state, outputs = initial_state.double(), []
    for t in range(x.shape[1]):
        update = transformers("mamba").mamba_selective_state_update
        outputs.append(update(state, x[:, t], dt[:, t], A, Bm[:, t], Cm[:, t]))
    return torch.stack(outputs, 1), state.float()


def rwkv4(k, v, w, u, numerator, denominator, maximum):
    """Takes the log of our w."""
    outputs, (numerator, denominator, maximum) = transformers("rwkv").rwkv_linear_attention_cpu(
        torch.log(w), u, k, v, (numerator, denominator, maximum)
    )
    unit = torch.exp(maximum)
    return outputs, (unit * numerator, unit * denominator)


def rwkv4_by_us(k, v, w, u, numerator, denominator, maximum, **others):
    state = scans.WKV4State(numerator, denominator, maximum)
    outputs, state = scans.wkv4(k, v, w, u, initial_state=state, **others)
    unit = jnp.exp(state.maximum)
    return outputs, (unit * state.numerator, unit * state.denominator)


@dataclass(frozen=True, eq=False)
class Peer:
    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: Mapping[str, str]
    """Name of each argument -> its axes by letter. The name decides how its values are drawn."""

    def __str__(self):
        return self.name


QKV = {"q": "BTHK", "k": "BTHK", "v": "BTHV"}
STATE = {"initial_state": "BHKV"}
HEAD, CHANNEL = {"log_decay": "BTH1"}, {"log_decay": "BTHK"}
BETA, AB = {"beta": "BTH"}, {"a": "BTHK", "b": "BTHK"}
GATES = {"input_gate": "BTH", "forget_gate": "BTH"}
SSM = {"x": "BTE", "dt": "BTE", "A": "EN", "Bm": "BTN", "Cm": "BTN"}
SSD = {"x": "BTHV", "dt": "BTH", "A": "H", "Bm": "BTHK", "Cm": "BTHK"}

PEERS = (
    Peer("fla gla", scans.gated_linear_attention, gla, QKV | CHANNEL | STATE),
    Peer("fla simple_gla", scans.gated_linear_attention, simple_gla, QKV | HEAD | STATE),
    Peer("fla linear_attn", scans.gated_linear_attention, linear_attn, QKV | STATE),
    Peer("fla retention", retention_by_us, retention, QKV),
    Peer("transformers mamba2", mamba2_by_us, mamba2, SSD | STATE),
    Peer("fla rwkv6", scans.gated_linear_attention, rwkv6, QKV | CHANNEL | {"bonus": "HK"} | STATE),
    Peer("fla delta_rule", scans.gated_delta_rule, delta_rule, QKV | BETA | STATE),
    Peer("fla gated_delta_rule", scans.gated_delta_rule, gated_delta_rule, QKV | BETA | HEAD | STATE),
    Peer("fla kda", scans.gated_delta_rule, kda, QKV | BETA | CHANNEL | STATE),
    Peer("fla iplr", scans.generalized_delta_rule, iplr, QKV | AB | STATE),
    Peer("fla dplr", scans.generalized_delta_rule, dplr, QKV | AB | CHANNEL | STATE),
    Peer(
        "fla gdn2",
        gated_deltanet2_by_us,
        gated_deltanet2,
        QKV | {"erase": "BTHK", "write": "BTHV"} | CHANNEL | STATE,
    ),
    Peer(
        "transformers xlstm",
        xlstm_by_us,
        xlstm,
        QKV | GATES | {"memory": "BHKV", "normalizer": "BHK", "stabilizer": "BH1"},
    ),
    Peer("fla hgrn", diagonal_scan_by_us, hgrn, {"log_a": "BTE", "x": "BTE", "initial_state": "BE"}),
    Peer(
        "transformers recurrent_gemma",
        diagonal_scan_by_us,
        recurrent_gemma,
        {"log_a": "BTE", "x": "BTE", "initial_state": "BE"},
    ),
    Peer("transformers mamba", scans.selective_scan, mamba, SSM),
    Peer("transformers mamba decode", scans.selective_scan, mamba_decode, SSM | {"initial_state": "BEN"}),
    Peer(
        "transformers rwkv",
        rwkv4_by_us,
        rwkv4,
        {"k": "BTE", "v": "BTE", "w": "E", "u": "E", "numerator": "BE", "denominator": "BE", "maximum": "BE"},
    ),
)
