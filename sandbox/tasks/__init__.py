"""Synthetic tasks, one per file; examples are drawn on the device from (task, key, split, index)."""

from sandbox.tasks.ar import ARConfig
from sandbox.tasks.compositional import CompositionalConfig
from sandbox.tasks.compression import CompressionConfig
from sandbox.tasks.copy import CopyConfig
from sandbox.tasks.duplicate_ngram import DuplicateNgramConfig
from sandbox.tasks.dyck import DyckConfig
from sandbox.tasks.forgetting import ForgettingConfig
from sandbox.tasks.fuzzy import FuzzyConfig
from sandbox.tasks.icll import ICLLConfig
from sandbox.tasks.induction import InductionConfig
from sandbox.tasks.joint_recall import JointRecallConfig
from sandbox.tasks.memorization import MemorizationConfig
from sandbox.tasks.modular_arithmetic import ModularArithmeticConfig
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.multi_hop import MultiHopConfig
from sandbox.tasks.needle import NeedleConfig
from sandbox.tasks.ngram_lookup import NgramLookupConfig
from sandbox.tasks.niah import NIAHConfig
from sandbox.tasks.noisy import NoisyConfig
from sandbox.tasks.parity import ParityConfig
from sandbox.tasks.phonebook import PhonebookConfig
from sandbox.tasks.reverse import ReverseConfig
from sandbox.tasks.selectiv import SelectivConfig
from sandbox.tasks.selective_copy import SelectiveCopyConfig
from sandbox.tasks.stacked import StackedConfig
from sandbox.tasks.swaps import SwapsConfig
from sandbox.tasks.task import TaskConfig
from sandbox.tasks.versions import VersionsConfig
from sandbox.tasks.word_problem import WordProblemConfig

TASKS: dict[str, type[TaskConfig]] = {
    "mqar": MQARConfig,
    "ar": ARConfig,
    "forgetting": ForgettingConfig,
    "versions": VersionsConfig,
    "multi_hop": MultiHopConfig,
    "compositional": CompositionalConfig,
    "joint_recall": JointRecallConfig,
    "stacked": StackedConfig,
    "noisy": NoisyConfig,
    "fuzzy": FuzzyConfig,
    "phonebook": PhonebookConfig,
    "memorization": MemorizationConfig,
    "compression": CompressionConfig,
    "selective_copy": SelectiveCopyConfig,
    "needle": NeedleConfig,
    "niah": NIAHConfig,
    "induction": InductionConfig,
    "copy": CopyConfig,
    "reverse": ReverseConfig,
    "ngram_lookup": NgramLookupConfig,
    "duplicate_ngram": DuplicateNgramConfig,
    "parity": ParityConfig,
    "modular_arithmetic": ModularArithmeticConfig,
    "word_problem": WordProblemConfig,
    "swaps": SwapsConfig,
    "dyck": DyckConfig,
    "selectiv": SelectivConfig,
    "icll": ICLLConfig,
}
"""Every task by the name that selects it: `task=mqar`."""
