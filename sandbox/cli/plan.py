"""What a sweep has to do: its runs that are done, to do or left alone; and `--dry-run`, which tells it."""

import collections
import contextlib
import dataclasses
import importlib.metadata
import pathlib
import re
import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sandbox.cli.grids import Job, what_differs
from sandbox.counted import counted
from sandbox.errors import InputError
from sandbox.run_folder import RunState, finished_runs, keep_label, read_summary, state_of

if TYPE_CHECKING:
    from sandbox.config import Config

Runs = Mapping[Job, "Config"]

RETRY = "retry_failed=true tries again"


def _by_numbers(path: pathlib.Path) -> list[tuple[int, str]]:
    """A key that sorts paths by name with version 9 before 10."""
    return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", path.name)]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the results of a run are, or will be, and what has become of it."""

    run_id: str
    """Its own; or that of another version of the code whose results it takes."""
    state: RunState
    reason: str = ""
    """Why it is neither finished nor just to do."""
    passed_over: str = ""
    """A finished run of another version of the code, whose results it does not take."""


class Plan:
    """The runs of a sweep, each once, and what is known about them before they start."""

    def __init__(self, runs: Runs):
        """Of equal runs, which differ in their names alone, the first stands for all."""
        self.runs: dict[Job, Config] = {}
        self.names: dict[str, list[str]] = {}
        """Run id -> the names under which the sweep has the run."""
        for job, config in runs.items():
            names = self.names.setdefault(config.run_id, [])
            if not names:
                self.runs[job] = config
            if config.resolved_label not in names:
                names.append(config.resolved_label)
        config = next(iter(self.runs.values()))
        self.folder = config.directory.parent
        self.retry_failed, self.any_version = config.retry_failed, config.versions.name == "any"
        found = collections.defaultdict(list)
        for path in sorted(self.folder.glob("*-*"), key=_by_numbers):
            found[path.name.partition("-")[0]].append(path)
        self.places = {job: self._place(config, found[config.config_id]) for job, config in self.runs.items()}

    def _place(self, config: "Config", of_later_versions: list[pathlib.Path]) -> Place:
        own = Place(config.run_id, *state_of(config.directory))
        if own.state is RunState.finished:
            return own
        others = [self.folder / config.config_id, *of_later_versions]
        finished = [path.name for path in others if path.name != own.run_id and _is_finished(path)]
        if not finished:
            return own
        if self.any_version:
            return Place(finished[-1], RunState.finished)
        return dataclasses.replace(own, passed_over=finished[-1])

    def in_state(self, *states: RunState) -> list[Job]:
        """The runs in any of these states."""
        return [job for job, place in self.places.items() if place.state in states]

    @property
    def left_alone(self) -> list[Job]:
        """The runs that killed their process again and again, unless they are to be tried again."""
        return [] if self.retry_failed else self.in_state(RunState.fatal)

    @property
    def waiting(self) -> list[Job]:
        """The runs to start."""
        kept = {*self.in_state(RunState.finished), *self.left_alone}
        return [job for job in self.runs if job not in kept]

    def finished_names(self) -> dict[str, list[str]]:
        """Run id -> names, of the runs that have records by now."""
        runs = {run.name for run in finished_runs(self.folder)}
        ids = {self.places[job].run_id: self.names[config.run_id] for job, config in self.runs.items()}
        return {run_id: names for run_id, names in ids.items() if run_id in runs}

    def keep_names(self) -> None:
        """Notes in the folders of finished runs the names that this sweep has for them."""
        for run_id, names in self.finished_names().items():
            for name in names:
                with contextlib.suppress(InputError, OSError):  # damaged meanwhile: the report says so
                    keep_label(self.folder / run_id, name)

    def notes(self) -> Iterator[str]:
        """What a person should know before the sweep starts: versions, runs that are left alone."""
        yield from self._other_versions_of_jax()
        passed_over = [place.passed_over for place in self.places.values() if place.passed_over]
        if passed_over:
            versions = ", ".join(sorted({name.partition("-")[2] or "the first" for name in passed_over}))
            yield (
                f"finished by another version of the code ({versions}), and done again: {len(passed_over)}; "
                "versions=any takes those results"
            )
        yield from (
            f"left alone: {what_differs(self.runs)[job]}: {self.places[job].reason}; {RETRY}"
            for job in self.left_alone
        )

    def _other_versions_of_jax(self) -> Iterator[str]:
        installed = importlib.metadata.version("jax")
        done = [self.folder / self.places[job].run_id for job in self.in_state(RunState.finished)]
        found = [read_summary(run)[0].versions.get("jax", installed) for run in done]
        if others := sorted({*found} - {installed}):
            count = sum(version in others for version in found)
            yield f"{count} of those done ran with jax {', '.join(others)}, not {installed}"


def print_dry_run(plan: Plan, impossible: Mapping[Job, str]) -> None:
    """Prints how many runs there are, what has become of each, and what the rest may take."""
    from sandbox.cli.display import console

    total, again = len(plan.runs) + len(impossible), [job for job in plan.waiting if plan.places[job].reason]
    counts = {
        "done": len(plan.in_state(RunState.finished)),
        "to do": len(plan.waiting) - len(again),
        "to do again": len(again),
        "left alone": len(plan.left_alone),
        "impossible": len(impossible),
    }
    console.print(f"{counted(total, 'run')}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    for note in plan.notes():
        console.print(note)
    names = what_differs([*plan.runs, *impossible])
    for job in plan.in_state(RunState.damaged):
        console.print(f"damaged: {names[job]}: {plan.places[job].reason}")
    for job, line in impossible.items():
        console.print(f"impossible: {names[job]}: {line}")
    for job in plan.waiting:
        place = plan.places[job]
        console.print(f"to do again: {names[job]}: {place.reason}" if place.reason else f"to do: {names[job]}")
    if plan.waiting:
        console.print(_forecast(plan))


def _forecast(plan: Plan) -> str:
    """Time and disk for the runs that are left, if they take what the finished ones of the study took."""
    from sandbox.cli.display import duration
    from sandbox.cli.shares import share_out

    seconds: dict[str, list[float]] = collections.defaultdict(list)
    sizes = []
    for run in finished_runs(plan.folder):
        if not _is_finished(run):
            continue
        record = read_summary(run)[0]
        seconds[record.label].append(record.seconds)
        sizes.append(sum(path.stat().st_size for path in run.rglob("*") if path.is_file()))
    if not sizes:
        return "time and disk: unknown until a run of this study is finished"
    typical = statistics.mean(value for values in seconds.values() for value in values)
    expected = [statistics.mean(seconds.get(plan.runs[job].resolved_label, [typical])) for job in plan.waiting]
    at_once = share_out(next(iter(plan.runs.values())).jobs, len(plan.runs), len(expected)).jobs
    return (
        f"about {duration(sum(expected) / at_once)} with {at_once} at once, and "
        f"{statistics.mean(sizes) * len(expected) / 1e6:.1f} MB of disk, as finished runs of this study took"
    )


def _is_finished(path: pathlib.Path) -> bool:
    return state_of(path)[0] is RunState.finished
