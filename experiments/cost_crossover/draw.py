"""The figures of what models cost, from the tables that `sandbox-cost` left here.

Run: `python experiments/cost_crossover/draw.py`
"""

import pathlib

import pandas as pd

from sandbox.report.costs import write_costs

HERE = pathlib.Path(__file__).parent


def write_figures(out: pathlib.Path) -> None:
    """Writes the figures, and the numbers in each, into `out`."""
    write_costs(pd.read_csv(HERE / "costs.csv"), pd.read_csv(HERE / "states.csv"), out, ("pdf", "png"))


if __name__ == "__main__":
    write_figures(HERE)
