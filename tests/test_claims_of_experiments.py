"""Each claim that an experiment is held to asks for one of its runs, before any of them has run."""

import pathlib

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from sandbox.cli.compose import conf_dir, from_hydra, register_schema
from sandbox.cli.compose_runs import compose_runs
from sandbox.report.claims import CLAIMS, read_claims, rows_with
from sandbox.results import RECORDS, SLICE

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
HELD = sorted(path.parent.name for path in EXPERIMENTS.glob(f"*/{CLAIMS}"))


@pytest.fixture
def runs_of():
    """Function from an experiment to a row per run at laptop scale: its options, its label and its overrides."""
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="sandbox"):
        hydra = GlobalHydra.instance().hydra

        def composed(experiment):
            asked = [f"experiment={experiment}"]
            base = hydra.compose_config("config", asked, RunMode.MULTIRUN, False, from_shell=False)
            sweeper = OmegaConf.to_container(base.hydra.sweeper)  # interpolations stay, for each run to resolve
            grids = {key: sweeper.get(key) for key in ("grids", "scales")}
            runs, impossible = compose_runs(base, hydra.config_loader, asked, **grids)
            assert not impossible
            return pd.DataFrame(
                [
                    {**config.options, "label": config.resolved_label, "job": [*asked, *job]}
                    for job, config in runs.items()
                ]
            )

        yield composed


def slices_of(job):
    tasks = from_hydra(compose("config", overrides=job)).task.test_tasks()
    values = [(name, value) for task in tasks for name, of_task in task.slice_values.items() for value in of_task]
    return {f"{name}={value}" for name, value in values}


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("experiment", HELD)
def test_each_claim_asks_for_one_run(experiment, runs_of):
    command, claims = read_claims(EXPERIMENTS / experiment / CLAIMS)
    assert command == f"sandbox experiment={experiment}"
    runs = runs_of(experiment)
    for claim in claims:
        if claim.file == RECORDS and claim.of:
            for differing in ({}, claim.ahead_of or {}, claim.learned_keys):
                keys = {**claim.of, **differing}
                wanted = keys.pop(SLICE, None)
                found = rows_with(keys, runs)
                assert len(found) == 1, (claim.claim, keys)
                assert wanted is None or wanted in slices_of(found["job"].iloc[0]), (claim.claim, wanted)
