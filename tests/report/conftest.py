import pathlib

import pytest


@pytest.fixture
def sweep(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two labels, three runs: `delta rule` at two sizes, `linear` at one; two slices, two rates, two seeds.

    At the selected rate, seeds 0 and 1, slices pairs=4 and pairs=16 (test):
    delta 4096 bytes: 0.8, 0.6 and 0.5, 0.3; delta 8192: 1.0, 0.9 and 0.9, 0.8 (seed 1 diverged);
    linear 8192: 0.7, 0.7 and 0.2, 0.1. At the other rate everything is 1, which a wrong selection would show.
    """
    # Not at the top: the run-time type checks must be in place before the package is imported.
    from invented_runs import write_metrics, write_run

    root = tmp_path / "runs"

    def slices(easy: float, hard: float) -> dict[str, float]:
        return {"all": (easy + hard) / 2, "pairs=16": hard, "pairs=4": easy}

    perfect = {(0.01, 0): slices(1, 1), (0.01, 1): slices(1, 1)}
    small = write_run(
        root,
        "bb",
        {(0.001, 0): slices(0.8, 0.5), (0.001, 1): slices(0.6, 0.3), **perfect},
        selected=0.001,
        config={"mixer.d_state": 8, "mixer.gate": "None"},
    )
    write_run(
        root,
        "aa",
        {(0.001, 0): slices(1.0, 0.9), (0.001, 1): slices(0.9, 0.8), **perfect},
        selected=0.001,
        state_bytes=8192,
        diverged=[(0.001, 1)],
        config={"mixer.d_state": 16, "mixer.gate": "None"},
    )
    write_run(
        root,
        "12e4",
        {(0.001, 0): slices(0.7, 0.2), (0.001, 1): slices(0.7, 0.1), **perfect},
        selected=0.001,
        label="linear_100%",
        state_bytes=8192,
        config={"mixer.d_state": 16, "mixer.gate": "None"},
    )
    rows = [(100, 0.001, 0, 0.2), (200, 0.001, 0, 0.4), (100, 0.001, 1, 0.6), (100, 0.01, 0, 0.99)]
    write_metrics(small, rows)
    return root
