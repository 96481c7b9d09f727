"""Progress of training: a live bar on a terminal, a line every few seconds anywhere else."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from sandbox.config import Config
    from sandbox.train.loop import Listener

LINE_SECONDS = 10.0
"""Least time between two lines if there is no terminal."""

console = Console(highlight=False, markup=False, soft_wrap=True)
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


_sweep = SweepProgress()
"""The progress of this process. Hydra calls each run with its config alone, so the runs of a sweep share it here;
a worker process of a launcher has its own."""


def start_sweep(total: int, finished: int, keys: Collection[str]) -> None:
    """Prints how much there is to do; `keys` are those whose values tell the runs apart."""
    _sweep.begin(total, finished, keys)
    console.print(f"{total} runs: {finished} done already, {total - finished} to do")


@contextlib.contextmanager
def training(config: "Config", overrides: Iterable[str]) -> "Iterator[Listener]":
    """Shows one run while it trains; yields the listener of its training loop."""
    _sweep.started += 1
    apart = [text for text in overrides if text.partition("=")[0] in _sweep.keys]
    title = " · ".join([f"run {_sweep.started}/{_sweep.total}", " ".join([config.resolved_label, *apart])])
    members = f"{config.train.num_members} members x {config.train.steps} steps"
    started = time.monotonic()
    if console.is_terminal:
        with _bar(config, title) as listen:
            yield listen
    else:
        console.print(f"{title} · {members}")
        yield _lines(config, title)
    seconds = time.monotonic() - started
    _sweep.seconds.append(seconds)
    console.print(f"{title} · {members} · finished in {seconds:.0f} s")


@contextlib.contextmanager
def _bar(config: "Config", title: str) -> "Iterator[Listener]":
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=config.train.steps, note="compiling")
        speed = Speed(config)

        def listen(step: int, history: list[dict[str, Any]]) -> None:
            progress.update(task, completed=step, note=speed.note(step, history))

        yield listen


def _lines(config: "Config", title: str) -> "Listener":
    speed, last = Speed(config), time.monotonic()

    def listen(step: int, history: list[dict[str, Any]]) -> None:
        nonlocal last
        note = speed.note(step, history)
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(f"{title} · step {step}/{config.train.steps} · {note}")

    return listen


class Speed:
    """Steps per second since the first evaluation, the only one that waits for compilation."""

    def __init__(self, config: "Config"):
        self.config = config
        self.first: tuple[int, float] | None = None

    def note(self, step: int, history: list[dict[str, Any]]) -> str:
        """Speed, time that is left of the sweep, and the best validation accuracy so far."""
        if not history:
            return "compiling"
        best = f"best accuracy {max(row['validation_accuracy'] for row in history):.3f}"
        if self.first is None:
            self.first = (step, time.monotonic())
        first_step, first_time = self.first
        if step == first_step:
            return best
        rate = (step - first_step) / (time.monotonic() - first_time)
        left = _sweep.left((self.config.train.steps - step) / rate)
        return f"{rate * self.config.train.num_members:.0f} steps/s · {_duration(left)} left · {best}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
