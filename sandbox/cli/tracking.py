"""The seam between a run and a tracker: `tracked` wraps the listener of a run, which knows nothing of trackers.

Each member is a run of the tracker, and the population their group: people compare learning rates there and
average over seeds, which trackers do for runs with a config and one curve per metric. Names are the same in every
tracker: those of `metrics.csv` for curves, `test_accuracy` and `test_accuracy/pairs_4` (a slice) for final scores.
"""

import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sandbox.errors import InputError
from sandbox.results import ALL_EXAMPLES, FIELDS, MEMBER, Record
from sandbox.run_folder import read_summary

if TYPE_CHECKING:
    from sandbox.cli.trackers import TrackedMember
    from sandbox.config import Config, Tracker
    from sandbox.train.loop import Listener

SCORES = ("accuracy", "exact", "loss", "chance")
"""The fields of a record that differ between splits and slices."""


def check_installed(tracker: "Tracker") -> None:
    """Raises InputError if the package of this tracker is not installed; imports nothing."""
    if tracker.value and importlib.util.find_spec(tracker.value) is None:
        install = f"`uv sync --extra {tracker.name}` or `pip install {tracker.value}`"
        raise InputError(f"tracker={tracker.name} needs the package {tracker.value}: {install}")


@contextlib.contextmanager
def tracked(config: "Config", listen: "Listener") -> "Iterator[Listener]":
    """Yields a listener for `run(config, listen)` that also tells the config's tracker, if it has one.

    The scores and facts of the records follow at the end, also if the run failed. A stopped run has none yet,
    and is resumed in the same runs of the tracker. A tracker that fails costs one line on stderr.
    """
    if not config.tracker.value:
        yield listen
        return
    population = _TrackedPopulation(config)

    def listen_and_track(rates: Sequence[float], step: int, history: list[dict[str, Any]]) -> None:
        listen(rates, step, history)
        population.attempt(population.log, rates, history)

    try:
        yield listen_and_track
    except Exception:
        population.attempt(population.finish)
        raise
    population.attempt(population.finish)


class _TrackedPopulation:
    """All members of one run in a tracker, until the tracker fails."""

    def __init__(self, config: "Config"):
        self.config = config
        self.members: dict[tuple[float, int], TrackedMember] = {}
        self.failed = False

    def attempt(self, act: Callable[..., None], *arguments: Any) -> None:
        """Calls the tracker until its first error, which is one line on stderr; a network takes long to fail."""
        if self.failed:
            return
        try:
            act(*arguments)
        except Exception as error:
            self.failed = True
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            name = f"tracker={self.config.tracker.name} of run {self.config.run_id}"
            print(f"sandbox: {name} failed, the run goes on without it ({reason})", file=sys.stderr)

    def log(self, rates: Sequence[float], history: Sequence[Mapping[str, Any]]) -> None:
        """Opens the members of these learning rates, and logs what is new in the rows of `metrics.csv`."""
        from sandbox.cli.trackers import TRACKERS
        from sandbox.train.population import members_of

        for rate, seed in zip(*members_of(rates, self.config.train.num_seeds, self.config.seed), strict=True):
            key = rate.item(), seed.item()
            if key not in self.members:
                self.members[key] = TRACKERS[self.config.tracker](self.config, *key)
        for row in history:
            member = self.members[row["learning_rate"], row["seed"]]
            if row["step"] >= member.next_step:
                # a loss that is not a number is left out, as in metrics.csv
                values = {name: value for name, value in row.items() if value == value and name not in MEMBER}
                member.log(values.pop("step"), values)

    def finish(self) -> None:
        """Logs what the records say of each member, and closes all."""
        records = read_summary(self.config.directory) if self.members else []
        for key, member in self.members.items():
            own = [record for record in records if (record.learning_rate, record.seed) == key]
            member.finish(scores_of(own), facts_of(own))


def scores_of(records: Sequence[Record]) -> dict[str, float]:
    """The scores of one member on test data, by their names in a tracker; without those that are not numbers.

    A character that a name in TensorBoard cannot have is `_` everywhere.
    """
    scores = {}
    for record in records:
        if record.split == "test":
            part = "" if record.slice == ALL_EXAMPLES else f"/{record.slice}"
            for name in SCORES:
                scores[re.sub(r"[^\w./-]", "_", f"test_{name}{part}")] = getattr(record, name)
    return {name: value for name, value in scores.items() if value == value}


def facts_of(records: Sequence[Record]) -> dict[str, Any]:
    """What the records of one member say beside its scores: its status, steps, bytes, commit, and so on."""
    fields = [name for name in FIELDS if name not in (*MEMBER, *SCORES, "label", "split", "slice")]
    return {name: value for record in records[:1] for name in fields if (value := getattr(record, name)) == value}
