"""All sequence mixers. Listing one here makes it known to the command line, the tests and the reports."""

from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.softmax import SoftmaxConfig

MIXERS: dict[str, type[MixerConfig]] = {
    "softmax": SoftmaxConfig,
    "outer": OuterConfig,
    "short_conv": ShortConvConfig,
}
