"""How the linear maps of a model start, where that is not left to their mixers."""

import enum
from collections.abc import Iterable

from flax import nnx

from sandbox.models.block import Block
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import FAN_IN_UNIFORM

GPT2_NORMAL = nnx.initializers.normal(0.02)


class DenseStart(enum.Enum):
    """The choices of `model.dense`."""

    own = "own"
    """As each mixer says; LeCun normal, N(0, 1 / fan-in) truncated, where it says nothing."""
    fan_in_uniform = "fan_in_uniform"
    """Uniform within ±fan-in^-1/2 where the mixer says nothing, as `nn.Linear` of PyTorch starts."""
    normal = "normal"
    """N(0, 0.02²) in every linear map, whatever its mixer says, as GPT-2 and the code of Zoology start."""


def start_dense(model: nnx.Module, start: DenseStart, *, rngs: nnx.Rngs) -> None:
    """Draws the weights of linear maps anew, as `start` says."""
    if start is DenseStart.own:
        return
    draw = GPT2_NORMAL if start is DenseStart.normal else FAN_IN_UNIFORM
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Dense) and (start is DenseStart.normal or module.starts_by_default):
            kernel = module.kernel[...]
            module.kernel[...] = draw(rngs.params(), kernel.shape, kernel.dtype)


def scale_outputs(blocks: Iterable[Block], factor: float) -> None:
    """Multiplies the output projections of all mixers and channel mixers, which write to the residual stream."""
    for block in blocks:
        for mixer in block.mixers:
            if isinstance(output := mixer.output_projection, Dense):
                output.kernel[...] = output.kernel[...] * factor
