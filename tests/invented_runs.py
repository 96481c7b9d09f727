"""Folders of runs with invented numbers, for tests that know what must come out."""

import math
import pathlib
from collections.abc import Mapping, Sequence

import pandas as pd

from sandbox.results import Record
from sandbox.run_folder import write_summary

Scores = Mapping[str, float]


def write_run(
    root: pathlib.Path,
    run_id: str,
    members: Mapping[tuple[float, int], float | Scores],
    *,
    selected: float,
    label: str = "delta rule",
    state_bytes: int = 4096,
    diverged: Sequence[tuple[float, int]] = (),
    config: Mapping[str, object] = {},
    study: str = "invented",
    status: str = "ok",
    edge: str = "",
    chance: float = math.nan,
) -> pathlib.Path:
    """A finished run: `members` holds the test accuracy of (learning rate, seed), overall or per slice.

    Validation accuracies are a tenth of the test ones, so that a mix-up of the splits shows.
    """
    run = root / run_id
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\n")
    records = []
    for (rate, seed), scores in members.items():
        for split, factor in (("validation", 0.1), ("test", 1.0)):
            for name, accuracy in (scores if isinstance(scores, Mapping) else {"all": scores}).items():
                records.append(
                    Record(
                        study=study,
                        run_id=run_id,
                        label=label,
                        status="diverged" if (rate, seed) in diverged else status,
                        split=split,
                        slice=name,
                        learning_rate=rate,
                        seed=seed,
                        selected=rate == selected,
                        edge=edge,
                        chance=chance,
                        accuracy=factor * accuracy,
                        exact=factor * accuracy**2,
                        loss=1.5,
                        steps=100,
                        state_bytes=state_bytes,
                        parameters=1000 + state_bytes,
                        training_flops_per_token=300.0 * state_bytes,
                        decode_flops_per_token=100.0 * state_bytes,
                        seconds=2.5,
                        implementation="chunked",
                        population="map",
                        platform="cpu",
                        commit="0" * 40,
                        versions={"jax": "0.10", "numpy": "2.4.6"},
                        config={"seed": 0, "mixer.decay": "none", **config},
                    )
                )
    write_summary(run, records)
    return run


def write_metrics(run: pathlib.Path, rows: Sequence[tuple[int, float, int, float]]) -> None:
    """`metrics.csv` from (step, learning rate, seed, validation accuracy)."""
    frame = pd.DataFrame(rows, columns=["step", "learning_rate", "seed", "validation_accuracy"])
    frame.assign(train_loss=1.0, validation_loss=1.0).to_csv(run / "metrics.csv", index=False)
