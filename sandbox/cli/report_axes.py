"""The axes of a report, checked before there are any records for it to show."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sandbox.errors import InputError, did_you_mean
from sandbox.renamed import renamed
from sandbox.results import MEASURES, ON_REQUEST, SHARES, SLICE

if TYPE_CHECKING:
    from sandbox.config import Config


def check_report(configs: "Iterable[Config]") -> None:
    """Raises InputError for a `report.x` that is no number of these runs, or a `y` or `columns` that they lack.

    A run may lack the key, or have None there, as long as another has a number.
    """
    configs = list(configs)
    values: dict[str, list[Any]] = {}
    for config in configs:
        for key, value in config.options.items():
            if "." in key:  # `seed` alone has none
                values.setdefault(key, []).append(value)
    varying = [key for key, found in values.items() if len(set(map(str, found))) > 1]
    numbers = [key for key, found in values.items() if _are_numbers(found)]
    report = configs[0].report if configs else None  # all have the same
    if report and report.y not in SHARES:
        raise InputError(f"report.y={report.y}: must be one of {', '.join(SHARES)}")
    if report and report.y in ON_REQUEST and not any(getattr(config.train, report.y) for config in configs):
        raise InputError(f"report.y={report.y}: no run measures it; give train.{report.y}=true")
    if report and report.x not in (SLICE, *MEASURES, *numbers):
        there = ", ".join([SLICE, *MEASURES, *(key for key in numbers if key in varying)])
        hint = "" if report.x in values else renamed(report.x) or did_you_mean(report.x, [*MEASURES, *values])
        raise InputError(f"report.x={report.x}: no number of these runs{hint}; there are {there}")
    if report and report.columns not in (SLICE, *values):
        there = ", ".join([SLICE, *varying])
        hint = renamed(report.columns) or did_you_mean(report.columns, [SLICE, *values])
        raise InputError(f"report.columns={report.columns}: no option of these runs{hint}; there are {there}")


def _are_numbers(values: Iterable[Any]) -> bool:
    kinds = {type(value) for value in values} - {type(None)}
    return bool(kinds) and kinds <= {int, float}
