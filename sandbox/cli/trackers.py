"""One member of a run in each tracker: opened or resumed, logged to, and finished.

The packages are extras and are imported when a member is opened. All files go to the folder of the study.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sandbox.config import Config, Tracker, flatten, plain
from sandbox.results import STATUS_FAILED

FINISH_SECONDS = 60.0
"""Longest wait for an upload at the end of a member; what is left of it stays on disk."""


class TrackedMember(Protocol):
    """One member in a tracker; every method may raise."""

    @property
    def next_step(self) -> int:
        """The first step that the tracker has no point of yet."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""

    def finish(self, scores: Mapping[str, float], facts: Mapping[str, Any]) -> None:
        """Adds the final scores and the facts of the record, and closes the member."""


class WandbMember:
    """A run of Weights & Biases, online or with WANDB_MODE=offline; its project is the study, or WANDB_PROJECT."""

    def __init__(self, config: Config, rate: float, seed: int):
        folder = config.directory.parent.resolve()
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder / ".wandb" / "cache"))
        os.environ.setdefault("WANDB_SILENT", "true")  # else it asks for a login while the run waits
        import wandb

        member = f"{config.run_id}-{rate:g}-{seed}"
        # Only the server can resume. Offline, a resumed run is logged again from its first step: the part goes.
        parts = list((folder / ".wandb").glob(f"offline-run-*-{member}"))
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", config.study),
            dir=folder,
            id=member,
            resume="allow",
            group=group_of(config),
            name=f"{group_of(config)} {name_of(rate, seed)}",
            config=config_of(config, rate, seed),
            reinit="create_new",  # the members of a population train at once
            settings=wandb.Settings(
                use_dot_wandb=True,  # hidden: it writes a config.yaml, which would count as a run of ours
                console="off",
                x_disable_stats=True,  # of the process, which all members share
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
            ),
        )
        for part in parts:
            shutil.rmtree(part)

    @property
    def next_step(self) -> int:
        """As wandb counts: of a resumed run, what the server has."""
        return int(self.run.step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        self.run.log(dict(values), step=step, commit=True)

    def finish(self, scores: Mapping[str, float], facts: Mapping[str, Any]) -> None:
        """Makes scores and facts the summary."""
        self.run.summary.update({**scores, **facts})
        self.run.finish(exit_code=int(str(facts.get("status")).startswith(STATUS_FAILED)))


class TensorboardMember:
    """A folder with one file of events, `<study>/tensorboard/<run>/<member>`.

    Written without tensorboardX's `SummaryWriter`, which has a thread per file: if that dies of a full disk, the
    program waits for it for ever.
    """

    next_step = 0

    def __init__(self, config: Config, rate: float, seed: int):
        from tensorboardX.event_file_writer import EventsWriter

        self.hparams = config_of(config, rate, seed)
        root, member = config.directory.parent / "tensorboard", name_of(rate, seed)
        # Events cannot be taken back, and a killed run resumes before its last ones: it writes all of them again.
        for events in root.glob(f"*{config.run_id}/{member}/events.*"):
            events.unlink()
        folder = root / re.sub(r"[^\w.,=-]+", "_", group_of(config)) / member
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = EventsWriter(str(folder / "events"))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        from tensorboardX.summary import scalar

        for name, value in values.items():
            self._write(step, scalar(name, value))
        self.writer.flush()
        self.next_step = step + 1

    def finish(self, scores: Mapping[str, float], facts: Mapping[str, Any]) -> None:
        """Makes the member a row of the HPARAMS tab: scores are its metrics, facts are beside its config."""
        from tensorboardX.summary import hparams

        if facts:
            for part in hparams({**self.hparams, **facts}, scores):
                self._write(0, part)
            self.log(facts["steps"], scores)
        self.writer.close()

    def _write(self, step: int, summary: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self.writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))


TRACKERS: dict[Tracker, Callable[[Config, float, int], TrackedMember]] = {
    Tracker.wandb: WandbMember,
    Tracker.tensorboard: TensorboardMember,
}


def group_of(config: Config) -> str:
    """The name of a population in a tracker."""
    return f"{config.resolved_label} {config.run_id}"


def name_of(rate: float, seed: int) -> str:
    """The name of a member among those of its population."""
    return f"lr={rate:g},seed={seed}"


def config_of(config: Config, rate: float, seed: int) -> dict[str, Any]:
    """The flat config of one member: that of the run, but with the member's own seed and learning rate."""
    own = {"run_id": config.run_id, "label": config.resolved_label, "learning_rate": rate, "seed": seed}
    return flatten(plain(config)) | own
