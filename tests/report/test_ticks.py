"""The ticks of an axis of sizes are values of the points where they are few, and never run into one another."""

import pytest
from matplotlib.figure import Figure

from sandbox.report.style import size_axis


@pytest.mark.parametrize(
    ("sizes", "texts"),
    [
        ([2**power for power in range(6, 14)], ["64", "128", "256", "512", "1024", "2048", "4096", "8192"]),
        ([2**power for power in range(6, 15)], ["64", "256", "1024", "4096", "16384"]),
        ([4**power for power in range(11)], ["1", "10", "100", "1k", "10k", "100k", "1M"]),
        ([100, 110, 500], ["100", "200", "500"]),
    ],
    ids=str,
)
def test_ticks_of_lengths(sizes, texts):
    figure = Figure()
    ax = figure.add_subplot()
    size_axis(ax, "length", sizes)
    figure.canvas.draw()
    low, high = ax.get_xlim()
    assert [tick.get_text() for tick in ax.get_xticklabels() if low <= tick.get_position()[0] <= high] == texts
