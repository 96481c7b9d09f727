"""The tables of `sandbox-bench scans` in the terminal."""

import collections
import itertools
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from sandbox.bench.cases import ATTENTION, DIRECTIONS, Setting
from sandbox.bench.ceilings import Ceilings
from sandbox.bench.scans import ScanRow
from sandbox.cli.display import console
from sandbox.cli.machine import print_machine
from sandbox.cost.timing import crossovers


def print_header(setting: Setting, ceilings: Ceilings) -> None:
    """Prints the machine and the sizes."""
    print_machine()
    console.print(
        f"ceilings: {ceilings.flops_per_second / 1e9:.4g} GFLOP/s in a {setting.dtype} matrix product, "
        f"{ceilings.bytes_per_second / 1e9:.4g} GB/s in a copy"
    )
    console.print(
        f"{setting.dtype}, H={setting.heads} K={setting.rows} V={setting.columns}, as many sequences at each "
        f"length as make {setting.tokens_per_call} tokens"
    )


def print_speeds(rows: Sequence[ScanRow]) -> None:
    """Prints a line for each row that was timed, and the reasons why others were not."""
    title = "median, 10-90 % of rounds; speed in multiples of recurrent and attention; per cent of the ceilings"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("rule, kind of inputs")
    for head in ("", "T x B", "implementation"):
        table.add_column(head, no_wrap=True)
    for head in ("ms", "10-90 %", "recurrent", "attention", "matmul", "copy"):
        table.add_column(head, justify="right", no_wrap=True)
    timed = [row for row in rows if row.median_seconds is not None]
    for (rule, kind), of_case in _grouped(timed, "rule", "kind").items():
        ordered = sorted(of_case, key=lambda row: (DIRECTIONS.index(row.direction), row.length))
        for name, row in itertools.zip_longest((rule, kind), ordered):
            table.add_row(name, *([] if row is None else _cells(row)))
        table.add_section()
    console.print(table)
    reasons = collections.Counter((row.implementation, row.not_timed) for row in rows if row.not_timed)
    for (implementation, reason), count in reasons.items():
        console.print(f"not timed: {implementation} ({count} rows): {reason}")


def _cells(row: ScanRow) -> list[str]:
    direction = row.direction.replace("forward", "fwd").replace("backward", "bwd")
    labels = [direction, f"{row.length} x {row.batch}", row.implementation]
    spread = f"{_short(row.low_seconds, 1e3)}-{_short(row.high_seconds, 1e3)}"
    ratios = [_short(row.speed_to_recurrent), _short(row.speed_to_attention)]
    shares = [_short(row.matmul_share, 100.0), _short(row.copy_share, 100.0)]
    return [*labels, _short(row.median_seconds, 1e3), spread, *ratios, *shares]


def _short(number: float | None, scale: float = 1.0) -> str:
    """Three digits of `scale` times the number, without an exponent."""
    if number is None:
        return ""
    return f"{scale * number:.0f}" if scale * number >= 100 else f"{scale * number:.3g}"


def print_overtaking(rows: Sequence[ScanRow]) -> None:
    """Prints the length from which on each implementation is faster than softmax attention."""
    scans = [row for row in rows if row.rule != ATTENTION and row.speed_to_attention is not None]
    if not scans:
        return
    title = "T at which scans overtake softmax attention, interpolated between the measured lengths"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for head in ("rule", "kind of inputs", "implementation", *DIRECTIONS):
        table.add_column(head)
    for names, of_one in _grouped(scans, "rule", "kind", "implementation").items():
        by_direction: dict[str, dict[int, float]] = {direction: {} for direction in DIRECTIONS}
        for row in of_one:
            assert row.speed_to_attention is not None
            by_direction[row.direction][row.length] = row.speed_to_attention
        table.add_row(*names, *map(overtaking_in_words, by_direction.values()))
    console.print(table)


def overtaking_in_words(speeds: Mapping[int, float]) -> str:
    """The lengths from which on, or up to which, the speed is above one; or that there are none."""
    found = [f"{'from' if overtakes else 'up to'} {length:.0f}" for length, overtakes in crossovers(speeds)]
    if found or not speeds:
        return ", ".join(found) or "not timed"
    word = "faster" if min(speeds.values()) >= 1 else "slower"
    return f"none, {word} at {', '.join(map(str, sorted(speeds)))}"


def _grouped(rows: Sequence[ScanRow], *fields: str) -> dict[tuple[str, ...], list[ScanRow]]:
    groups: dict[tuple[str, ...], list[ScanRow]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, field) for field in fields), []).append(row)
    return groups
