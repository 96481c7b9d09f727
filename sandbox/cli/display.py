"""Progress of training: a live bar on a terminal, a line every few seconds anywhere else."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

from sandbox.counted import counted
from sandbox.run_folder import read_summary
from sandbox.short_names import shortened

if TYPE_CHECKING:
    from sandbox.config import Config
    from sandbox.train.loop import Listener

LINE_SECONDS = 10.0
"""Least time between two lines if there is no terminal."""

console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)  # texts stay as they were typed
if not console.is_terminal:
    console.width = 120  # a log file has no width, and tables need one


@dataclasses.dataclass
class SweepProgress:
    """Progress of this process through a sweep; a single run is a sweep of one."""

    total: int = 1
    keys: Collection[str] = ()
    """The keys whose values tell the runs apart."""
    started: int = 0
    """Runs that were finished before this process, or started by it."""
    seconds: list[float] = dataclasses.field(default_factory=list)
    """Wall time of each run that this process has finished."""

    def left(self, seconds_of_this_run: float) -> float:
        """Expected seconds to the end, if the remaining runs take as long as those before."""
        typical = sum(self.seconds) / len(self.seconds) if self.seconds else 0.0
        return seconds_of_this_run + typical * (self.total - self.started)

    def begin(self, total: int, finished: int, keys: Collection[str]) -> None:
        """Starts a sweep of `total` runs, of which `finished` are done."""
        self.total, self.started, self.keys, self.seconds = total, finished, keys, []

    def begin_run(self, config: "Config", overrides: Iterable[str]) -> str:
        """Counts a run; the title that tells it from the others."""
        self.started += 1
        apart = [text for text in overrides if text.partition("=")[0] in self.keys]
        name = " ".join(map(shortened, [config.resolved_label, *apart]))
        return f"run {self.started}/{self.total} · {name}" if self.total > 1 else name


sweep_progress = SweepProgress()
"""The progress of this process. Hydra calls a launcher with overrides alone, and each run with its config alone,
so the runs of a sweep share it here. A process of another launcher, Slurm for instance, trains sweeps of one."""


def start_sweep(total: int, finished: int, keys: Collection[str]) -> None:
    """Prints how much there is to do; `keys` are those whose values tell the runs apart."""
    sweep_progress.begin(total, finished, keys)
    console.print(f"{counted(total, 'run')}: {finished} done already, {total - finished} to do")


@contextlib.contextmanager
def training(config: "Config", overrides: Iterable[str]) -> "Iterator[Listener]":
    """Shows one run while it trains; yields the listener of its training loop."""
    title = sweep_progress.begin_run(config, overrides)
    started = time.monotonic()
    if console.is_terminal:
        with _bar(config, title) as listen:
            yield listen
    else:
        console.print(f"{title} · {members_and_steps(config, len(config.train.first_rates))}")
        yield _lines(config, title)
    finished(config, title, time.monotonic() - started)


def finished(config: "Config", title: str, seconds: float) -> None:
    """Counts a run that has finished, and prints the line that stays of it."""
    sweep_progress.seconds.append(seconds)
    records = read_summary(config.directory)
    rates = {record.learning_rate for record in records}
    parts = [title, members_and_steps(config, len(rates)), f"finished in {seconds:.0f} s"]
    selected = next(record for record in records if record.selected)
    if selected.edge:
        parts.append(f"best learning rate {selected.learning_rate:g} is the {selected.edge} tried")
    console.print(" · ".join(parts))


@contextlib.contextmanager
def _bar(config: "Config", title: str) -> "Iterator[Listener]":
    with Progress(*columns(), console=console, transient=True) as progress:
        task = progress.add_task(title, total=config.train.steps, note="compiling")
        speed = Speed(config)

        def listen(rates: Sequence[float], step: int, history: list[dict[str, Any]]) -> None:
            progress.update(task, completed=step, note=_note(speed, rates, step, history))

        yield listen


def _lines(config: "Config", title: str) -> "Listener":
    speed, last = Speed(config), time.monotonic()

    def listen(rates: Sequence[float], step: int, history: list[dict[str, Any]]) -> None:
        nonlocal last
        note = _note(speed, rates, step, history)
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(f"{title} · step {step}/{config.train.steps} · {note}")

    return listen


def _note(speed: "Speed", rates: Sequence[float], step: int, history: list[dict[str, Any]]) -> str:
    """Of a run that trains in this process: the time that is left is that of the sweep."""
    speed.update(rates, step, best_accuracy(history))
    return speed.note(None if speed.left is None else sweep_progress.left(speed.left))


def columns() -> tuple[ProgressColumn, ...]:
    """The columns of a live bar."""
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )


def members_and_steps(config: "Config", num_rates: int) -> str:
    """How large a run with so many learning rates is."""
    return f"{num_rates * config.train.num_seeds} members x {config.train.steps} steps"


def best_accuracy(history: Sequence[Mapping[str, Any]]) -> float | None:
    """The best validation accuracy in the rows of `metrics.csv`; None if there are none yet."""
    return max((row["validation_accuracy"] for row in history), default=None)


class Speed:
    """How fast a population trains since its first evaluation, the only one that waits for compilation."""

    def __init__(self, config: "Config"):
        self.config = config
        self.rates: Sequence[float] = config.train.first_rates
        """The learning rates of the population."""
        self.first: tuple[int, float] | None = None
        self.steps_per_second: float | None = None
        self.left: float | None = None
        """Seconds to the end of the population."""
        self.best: float | None = None

    def update(self, rates: Sequence[float], step: int, best: float | None) -> None:
        """Takes in an evaluation: the rates and step of the population, and the run's best accuracy so far."""
        self.best = best
        if rates != self.rates:
            self.rates, self.first, self.steps_per_second, self.left = rates, None, None, None
        if best is None or step == 0:
            return
        if self.first is None:
            self.first = (step, time.monotonic())
        first_step, first_time = self.first
        if step > first_step:
            self.steps_per_second = (step - first_step) / (time.monotonic() - first_time)
            self.left = (self.config.train.steps - step) / self.steps_per_second

    def note(self, left: float | None) -> str:
        """Speed, the time that is left, and the best validation accuracy so far."""
        if self.best is None:
            return "compiling"
        parts = [f"best accuracy {self.best:.3f}"]
        if self.steps_per_second is not None and left is not None:
            speed = self.steps_per_second * len(self.rates) * self.config.train.num_seeds
            parts = [f"{speed:.0f} steps/s", f"{duration(left)} left", *parts]
        if self.rates != self.config.train.first_rates:
            parts = [f"learning rate {self.rates[0]:g} too", *parts]
        return " · ".join(parts)


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
