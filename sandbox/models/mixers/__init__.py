"""The registry of sequence mixers: the command line, the tests and the reports know every mixer listed here."""

from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers.bigbird import BigBirdConfig
from sandbox.models.mixers.comba import CombaConfig
from sandbox.models.mixers.deltanet import DeltaNetConfig
from sandbox.models.mixers.fox import FoXConfig
from sandbox.models.mixers.gated_deltanet import GatedDeltaNetConfig
from sandbox.models.mixers.gated_deltanet2 import GatedDeltaNet2Config
from sandbox.models.mixers.gated_deltaproduct import GatedDeltaProductConfig
from sandbox.models.mixers.gla import GLAConfig
from sandbox.models.mixers.h3 import H3Config
from sandbox.models.mixers.hgrn2 import HGRN2Config
from sandbox.models.mixers.hyena import HyenaConfig
from sandbox.models.mixers.kda import KDAConfig
from sandbox.models.mixers.linear_attention import BasedConfig, LinearAttentionConfig, PerformerConfig
from sandbox.models.mixers.linformer import LinformerConfig
from sandbox.models.mixers.log_linear_gated_deltanet import LogLinearGatedDeltaNetConfig
from sandbox.models.mixers.log_linear_gla import LogLinearGLAConfig
from sandbox.models.mixers.longformer import LongformerConfig
from sandbox.models.mixers.lru import LRUConfig
from sandbox.models.mixers.lstm import LSTMConfig
from sandbox.models.mixers.mamba import MambaConfig
from sandbox.models.mixers.mamba2 import Mamba2Config
from sandbox.models.mixers.mamba3 import Mamba3Config
from sandbox.models.mixers.mesanet import MesaNetConfig
from sandbox.models.mixers.mlstm import MLSTMConfig
from sandbox.models.mixers.momentum_deltanet import MomentumDeltaNetConfig
from sandbox.models.mixers.nsa import NSAConfig
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.path_attention import PaTHAttentionConfig
from sandbox.models.mixers.preconditioned_kda import PreconditionedKDAConfig
from sandbox.models.mixers.retnet import RetNetConfig
from sandbox.models.mixers.rglru import RGLRUConfig
from sandbox.models.mixers.rnn import RNNConfig
from sandbox.models.mixers.rwkv4 import RWKV4Config
from sandbox.models.mixers.rwkv5 import RWKV5Config
from sandbox.models.mixers.rwkv6 import RWKV6Config
from sandbox.models.mixers.rwkv7 import RWKV7Config
from sandbox.models.mixers.s4d import S4DConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.slstm import SLSTMConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.models.mixers.titans import TitansConfig
from sandbox.models.mixers.ttt_linear import TTTLinearConfig
from sandbox.models.mixers.ttt_mlp import TTTMLPConfig

MIXERS: dict[str, type[MixerConfig]] = {
    "softmax": SoftmaxConfig,
    "fox": FoXConfig,
    "path_attention": PaTHAttentionConfig,
    "nsa": NSAConfig,
    "sliding_window": SlidingWindowConfig,
    "longformer": LongformerConfig,
    "bigbird": BigBirdConfig,
    "linformer": LinformerConfig,
    "linear_attention": LinearAttentionConfig,
    "performer": PerformerConfig,
    "based": BasedConfig,
    "retnet": RetNetConfig,
    "rwkv4": RWKV4Config,
    "rwkv5": RWKV5Config,
    "rwkv6": RWKV6Config,
    "rwkv7": RWKV7Config,
    "gla": GLAConfig,
    "hgrn2": HGRN2Config,
    "mlstm": MLSTMConfig,
    "mamba": MambaConfig,
    "mamba2": Mamba2Config,
    "mamba3": Mamba3Config,
    "log_linear_gla": LogLinearGLAConfig,
    "s4d": S4DConfig,
    "lru": LRUConfig,
    "rglru": RGLRUConfig,
    "deltanet": DeltaNetConfig,
    "gated_deltanet": GatedDeltaNetConfig,
    "kda": KDAConfig,
    "preconditioned_kda": PreconditionedKDAConfig,
    "gated_deltanet2": GatedDeltaNet2Config,
    "comba": CombaConfig,
    "gated_deltaproduct": GatedDeltaProductConfig,
    "log_linear_gated_deltanet": LogLinearGatedDeltaNetConfig,
    "momentum_deltanet": MomentumDeltaNetConfig,
    "titans": TitansConfig,
    "ttt_linear": TTTLinearConfig,
    "ttt_mlp": TTTMLPConfig,
    "mesanet": MesaNetConfig,
    "outer": OuterConfig,
    "hyena": HyenaConfig,
    "h3": H3Config,
    "short_conv": ShortConvConfig,
    "slstm": SLSTMConfig,
    "lstm": LSTMConfig,
    "rnn": RNNConfig,
}
