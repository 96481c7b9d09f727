"""Weight decay pulls at the matrices and convolutions that activations are multiplied by, and at nothing else."""

import fnmatch

import jax
import pytest
from flax import nnx

from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.layers.attention import Positions
from sandbox.models.layers.feature_maps import FeatureMap
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay

NO_MATRICES = {
    "*bias": "of each head or block; those of step sizes are `_no_weight_decay` in mamba_ssm",
    "*.log_rates": "decay rates: A_log is `_no_weight_decay` in mamba_ssm, and registered without decay in S4D",
    "*.frequencies": "imaginary parts of S4D's A, registered without decay in state-spaces/s4",
    "*.decay": "w of each head: RWKV-LM keeps it and the next five out of the group with decay",
    "*.bonus": "u of each head",
    "*.rate": "a0 of RWKV-7",
    "*.removal": "k_k of RWKV-7",
    "*.replacement": "k_a of RWKV-7",
    "*.shares": "of the token shift",
    "*.position_table": "added to activations; minGPT's pos_emb has no decay",
    "*.scale": "norms of each head, and weights of log-linear levels",
    "*.penalty": "λ of each row of MesaNet, made positive by softplus",
    "*.filter.*": "the network of Hyena's filter sees positions: `wd=0` in HazyResearch/safari",
}
"""Parameters of two or more axes that have no decay, and why."""

OPTIONS = {
    "softmax": [{"positions": Positions.learned, "use_bias": True}],
    "linear_attention": [{"feature_map": FeatureMap.hedgehog}],
    "outer": [{"decay": decay, "short_conv": 2} for decay in Decay],
}
"""Options that add parameters to those of the defaults."""

CASES = [
    *((name, {}, ChannelMixer.none) for name in MIXERS),
    *((name, options, ChannelMixer.none) for name in OPTIONS for options in OPTIONS[name]),
    *(("rnn", {}, channel_mixer) for channel_mixer in ChannelMixer),
]


@pytest.mark.parametrize(("name", "options", "channel_mixer"), CASES)
def test_a_parameter_decays_if_it_is_a_matrix(name, options, channel_mixer):
    config, mixer = ModelConfig(channel_mixer=channel_mixer), MIXERS[name](**options)
    model = nnx.eval_shape(lambda: config.make(mixer, 16, rngs=nnx.Rngs(0)))
    leaves = jax.tree_util.tree_leaves_with_path(
        nnx.state(model, nnx.Param), is_leaf=lambda node: isinstance(node, nnx.Variable)
    )
    for path, variable in leaves:
        parameter = jax.tree_util.keystr(path, simple=True, separator=".")
        matrix = variable.ndim >= 2 and not any(fnmatch.fnmatch(parameter, pattern) for pattern in NO_MATRICES)
        assert matrix != isinstance(variable, NoWeightDecay), parameter
