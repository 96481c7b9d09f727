"""Synthetic recall tasks, one per file; examples are drawn on the device from (task, key, split, index)."""

from sandbox.tasks.copy import CopyConfig
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.task import TaskConfig

TASKS: dict[str, type[TaskConfig]] = {
    "mqar": MQARConfig,
    "copy": CopyConfig,
}
"""Every task by the name that selects it: `task=mqar`."""
