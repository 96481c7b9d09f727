"""The progress of runs that train side by side: a live bar for each on a terminal, summary lines anywhere else."""

import time
from collections.abc import Sequence
from typing import Any

from rich.progress import Progress

from sandbox.cli import display
from sandbox.cli.display import Speed, console, duration, sweep_progress
from sandbox.cli.workers import End, Ended, Evaluated, Event, Started


class Board:
    """Shows events of workers while its context is open, and each run that ended as a line that stays."""

    def __init__(self, jobs: int, job_overrides: Sequence[Sequence[str]]):
        self.jobs, self.job_overrides = jobs, job_overrides
        self.running: dict[int, _Run] = {}
        self.ended = self.failed = 0
        self.last_line = time.monotonic()
        self.bars = Progress(*display.columns(), console=console, transient=True, disable=not console.is_terminal)
        self.sweep_bar = self.bars.add_task("sweep", total=len(job_overrides), note="")

    def __enter__(self) -> "Board":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def show(self, event: Event) -> None:
        """Takes in what a worker did."""
        match event:
            case Started():
                title = sweep_progress.begin_run(event.config, self.job_overrides[event.index])
                bar = self.bars.add_task(title, total=event.config.train.steps, note="starting")
                self.running[event.index] = _Run(event, title, bar)
            case Evaluated():
                self.running[event.index].update(event, self.bars)
            case Ended():
                self._end(self.running.pop(event.index), event)
        self._show_sweep()

    def _end(self, run: "_Run", event: Ended) -> None:
        self.bars.remove_task(run.bar)
        self.ended += 1
        if event.how is End.finished:
            display.finished(run.config, run.title, run.seconds)
        elif event.how is End.busy:
            console.print(f"{run.title} · left to another command, which trains it")
        elif event.how is End.died:
            console.print(f"{run.title} · its process was {event.reason} after {run.seconds:.0f} s", style="red")
        else:
            self.failed += 1
            console.print(f"{run.title} · failed after {run.seconds:.0f} s: {event.reason}", style="red")

    def _show_sweep(self) -> None:
        notes = [f"{self.failed} failed"] if self.failed else []
        if (left := self._left()) is not None:
            notes.append(f"{duration(left)} left")
        self.bars.update(self.sweep_bar, completed=self.ended, note=" · ".join(notes))
        if not console.is_terminal and self.running and time.monotonic() - self.last_line >= display.LINE_SECONDS:
            self.last_line = time.monotonic()
            done = ", ".join(f"{100 * run.step // run.steps} %" for run in self.running.values())
            parts = [f"sweep {self.ended}/{len(self.job_overrides)}", *notes, f"running: {done} of steps"]
            console.print(" · ".join(parts))

    def _left(self) -> float | None:
        """Expected seconds to the end, as if the runs to come took as long as those before; None: no idea yet."""
        known = [run.speed.left for run in self.running.values() if run.speed.left is not None]
        whole = [*sweep_progress.seconds, *(run.expected for run in self.running.values() if run.expected)]
        if not whole:
            return None
        typical = sum(whole) / len(whole)
        unknown = len(self.job_overrides) - self.ended - len(known)
        return max([(sum(known) + unknown * typical) / self.jobs, *known])


class _Run:
    """A run that is training."""

    def __init__(self, started: Started, title: str, bar: Any):
        self.title, self.bar = title, bar
        self.config, self.steps = started.config, started.config.train.steps
        self.speed, self.step = Speed(started.config), 0
        self.begun = time.monotonic()

    def update(self, event: Evaluated, bars: Progress) -> None:
        self.step = event.step
        self.speed.update(event.rates, event.step, event.best)
        bars.update(self.bar, completed=event.step, note=self.speed.note(self.speed.left))

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.monotonic() - self.begun

    @property
    def expected(self) -> float | None:
        """Wall time of the whole run."""
        return None if self.speed.left is None else self.seconds + self.speed.left
