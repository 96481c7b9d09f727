"""`sandbox-inspect` looks inside the member that was asked for, and refuses what it cannot read."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sandbox.cli.inspect import main
from sandbox.config import Config
from sandbox.errors import InputError
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay
from sandbox.probes import load_trained
from sandbox.probes.recall import first_tests, right_answers
from sandbox.run import run
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig

pytestmark = [pytest.mark.slow(seconds=60), pytest.mark.xdist_group("inspect")]

TRAIN = TrainConfig(steps=60, learning_rates="auto", most_rates=4, num_seeds=2, test_examples=256)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a finished run whose grid was widened, and its records."""
    config = Config(
        MIXERS["outer"](d_state=8, decay=Decay.data_channel),
        TASKS["mqar"](vocab_size=16, length=12, pairs=2),
        ModelConfig(d_model=16, layout=["short_conv", "mixer"]),
        TRAIN,
        output_dir=str(tmp_path_factory.mktemp("outputs")),
    )
    records = run(config)
    return config.directory, [record for record in records if record.split == "test" and record.slice == "all"]


def test_every_member_is_the_one_of_its_record(trained):
    directory, records = trained
    assert len({record.learning_rate for record in records}) == 4, "the grid was not widened"
    for record in records:
        member = load_trained(directory, learning_rate=record.learning_rate, seed=record.seed)
        batch = first_tests(member.task)
        assert right_answers(member.model, batch).mean() == pytest.approx(record.accuracy, abs=1e-6)
    chosen = load_trained(directory)
    assert chosen.learning_rate == next(record.learning_rate for record in records if record.selected)


def test_the_command_writes_figures_tables_and_a_page(trained, tmp_path, capsys):
    directory, _ = trained
    assert main([str(directory), "-o", str(tmp_path), "--sequences", "4", "--formats", "png"]) == 0
    names = {"attention", "half_lives", "gates", "recall", "held", "rank", "singular_values", "writes", "keys"}
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.{s}" for n in names for s in ("png", "csv")} | {
        "inside.html"
    }
    assert (tmp_path / "inside.html").read_text().count("data:image/png") == len(names)
    weights = pd.read_csv(tmp_path / "attention.csv")
    assert set(weights["layer"]) == {1}
    assert weights.groupby("query")["weight"].apply(lambda row: np.abs(row).sum()).max() <= 1 + 1e-5
    assert pd.read_csv(tmp_path / "half_lives.csv").groupby("layer")["share"].sum().tolist() == pytest.approx([1])
    assert "layer 2: on the answer 0." in capsys.readouterr().out


def test_what_is_not_there_is_named(trained, tmp_path, capsys):
    directory, _ = trained
    with pytest.raises(InputError, match=r"seed=7: this run has 0, 1"):
        load_trained(directory, seed=7)
    with pytest.raises(InputError, match=r"learning_rate=0.5: this run has 0.001, 0.003, 0.01"):
        load_trained(directory, learning_rate=0.5)
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "no such file" in capsys.readouterr().err


def test_a_lost_or_damaged_checkpoint_is_named_and_left_alone(trained, tmp_path):
    directory, _ = trained
    (file,) = (directory / "checkpoints").rglob("sha256.json")
    text = file.read_text()
    try:
        file.write_text(text.replace(":", ": 1,", 1))
        with pytest.raises(InputError, match="its checkpoint cannot be read"):
            load_trained(directory, learning_rate=1e-3)
        assert file.is_file()
    finally:
        file.write_text(text)
    moved = (directory / "checkpoints").rename(tmp_path / "checkpoints")
    try:
        with pytest.raises(InputError, match="has no checkpoint"):
            load_trained(directory, learning_rate=1e-3)
    finally:
        moved.rename(directory / "checkpoints")
    assert dataclasses.asdict(load_trained(directory, learning_rate=1e-3).config.train)["most_rates"] == 4
