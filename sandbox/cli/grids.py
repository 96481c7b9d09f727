"""Unions of grids, and how the overrides of the command line narrow them.

An experiment is rarely one Cartesian product: softmax attention has no `d_state`, so it stands beside the grid
of the others. `hydra.sweeper.grids` is a list of grids, each a table from key to a value or to a list of values to
sweep:

    hydra:
      sweeper:
        grids:
          - {label: softmax attention, mixer: softmax}
          - {label: delta rule, mixer: outer, mixer.update: delta, mixer.d_state: [8, 16, 32]}

`mixer=outer` on the command line keeps the grids with that mixer; `mixer.d_state=8` replaces the values in the
grids that sweep this key, and leaves the others alone; a key that no grid has holds for all runs.

An experiment in the setting of a paper is too large for a laptop. `hydra.sweeper.scales` has a list of grids for
each value of `scale`, and every grid is combined with each of those; a key that both have is the scale's:

        scales:
          laptop: [{train.steps: 1000, model.d_model: [64, 128]}]
          paper: [{study: update_rules_paper, train.steps: 12800, model.d_model: [64, 128, 256, 512]}]
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from sandbox.errors import InputError

Grid = dict[str, Sequence[str]]
"""From key to the values it takes, each written as on the command line."""

Job = tuple[str, ...]
"""The overrides of one run."""


def read_grids(grids: Any, key: str = "hydra.sweeper.grids") -> list[Grid]:
    """The grids that stand under this key; raises InputError if they are not a list of tables of values."""
    if not isinstance(grids, list) or not all(isinstance(grid, Mapping) for grid in grids):
        raise InputError(
            f"{key}={grids} must be a list of tables, each from key to a value or to a list of values"
        )
    return [read_grid(grid, f"{key}[{i}]") for i, grid in enumerate(grids)]


LAPTOP = "laptop"
"""The default of `scale`; an experiment without scales has this one."""


def at_scale(grids: Sequence[Grid], scales: Any, scale: str) -> list[Grid]:
    """Each of these grids combined with each grid that `hydra.sweeper.scales` has for this scale.

    Raises InputError if that is not a table of lists of grids, or lacks this scale.
    """
    scales = {LAPTOP: [{}]} if scales is None else scales
    key = "hydra.sweeper.scales"
    if not isinstance(scales, Mapping):
        raise InputError(f"{key}={scales} must be a table from scale to a list of grids")
    if scale not in scales:
        raise InputError(f"scale={scale}: these runs have no such scale; there is {', '.join(map(str, scales))}")
    of_scale = read_grids(scales[scale], f"{key}.{scale}")
    return [setting | grid | setting for setting in of_scale for grid in grids]


def read_grid(grid: Mapping[str, Any], name: str = "") -> Grid:
    """A grid from YAML: a list is swept, anything else is one value. `name` is where it stands, for messages."""
    for key, value in grid.items():
        if isinstance(value, Mapping):
            raise InputError(f"{name}.{key} is a table; a grid has dotted keys, such as train.steps")
        if value == []:
            raise InputError(f"{name}.{key}=[] has no value to sweep")
    return {
        str(key): [as_override(value) for value in (values if isinstance(values, list) else [values])]
        for key, values in grid.items()
    }


NOT_TEXT = ("true", "false", "null", "nan", "inf")
"""Words that are something else than text in Hydra's grammar, in any case."""


def as_override(value: Any) -> str:
    """A YAML value as Hydra reads it on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(map(as_override, value)) + "]"
    if isinstance(value, str):
        plain = value.isascii() and value.isidentifier() and value.lower() not in NOT_TEXT
        return value if plain else quoted(value)
    return json.dumps(value)


def quoted(text: str) -> str:
    """The text in the quotes of Hydra's grammar, within which every character stands for itself."""
    return QuotedString(text, Quote.double).with_quotes()


def narrow(grids: Iterable[Grid], asked: Grid, is_group: Callable[[str], bool]) -> list[Grid]:
    """The grids after the overrides in `asked`; the module's docstring has the rules.

    `is_group` tells whether a key names a group of Hydra, such as `mixer`, whose values are choices.
    Raises InputError if no grid has a choice that was asked for.
    """
    grids = list(grids)
    swept = {key for grid in grids for key in grid}
    for key, values in asked.items():
        if key not in swept:
            grids = [{key: values, **grid} for grid in grids]
        elif is_group(key):
            choices = sorted({choice for grid in grids for choice in grid.get(key, [])})
            grids = [
                {**grid, key: kept}
                for grid in grids
                if (kept := [choice for choice in grid.get(key, []) if choice in values])
            ]
            if not grids:
                raise InputError(
                    f"{key}={','.join(values)}: the grids of this experiment have {', '.join(choices)}"
                )
        else:
            grids = [{**grid, key: values} if key in grid else grid for grid in grids]
    return grids


def jobs(grids: Iterable[Grid]) -> Iterator[Job]:
    """Every combination of values of every grid."""
    for grid in grids:
        for values in itertools.product(*grid.values()):
            yield tuple(f"{key}={value}" for key, value in zip(grid, values, strict=True))


def keys_apart(jobs: Collection[Job]) -> set[str]:
    """The dotted keys, such as `mixer.d_state`, that some of these runs set to different values."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        for key, _, value in (text.partition("=") for text in job):
            values.setdefault(key, set()).add(value)
    return {key for key, different in values.items() if "." in key and len(different) > 1}


def what_differs(jobs: Collection[Job]) -> dict[Job, str]:
    """What each run sets and not all others do; of a run alone, all it sets."""
    common = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return {job: " ".join(text for text in job if text not in common) for job in jobs}
