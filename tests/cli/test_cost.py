"""`sandbox-cost`: which models it measures, what it writes, and wrong input as one line."""

import subprocess
import sys

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from sandbox.cli import cost
from sandbox.cli.cost import main
from sandbox.cli.cost_tables import crossover_in_words
from sandbox.cost import model_cost

SMALL = ["model.d_model=8", "model.layout=[mixer]", "task.vocab_size=16", "task.pairs=2", "task.length=16"]


@pytest.fixture(autouse=True)
def fresh_hydra():
    yield
    GlobalHydra.instance().clear()


WRONG = {
    "an unknown mixer": (["mixer=softmax,gal"], "mixer=gal: no such choice (did you mean gla?); there are "),
    "a key that the mixer lacks": (["mixer=softmax", "mixer.d_stat=8"], "mixer.d_stat: no such key"),
    "an unknown implementation": (
        ["mixer=outer", "--implementations", "fast"],
        "mixer.implementation=fast must be",
    ),
    "no tokens": (["--lengths", "0"], "argument --lengths: 0 is not a whole number of at least 1"),
    "an unknown phase": (
        ["--time", "testing"],
        "--time: 'testing' is not one of 'training', ",
    ),
    "an unknown format": (["--formats", "gif"], "format 'gif': not one of pdf, png, svg"),
    "two of one name": (["mixer=outer", "task=mqar,copy"], "task=copy mixer=outer: a second model that is called"),
    "nothing to stand against": (
        ["--against", "gla"],
        "--against 'gla': no such series; there are softmax, outer",
    ),
    "a file for a folder": (["--out", "taken/costs"], "--out: "),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr(cost, "_measure", lambda *_: pytest.fail("something was measured"))
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sandbox-cost: {message}")


def test_help_does_not_wait_for_jax():
    program = """import sys; from sandbox.cli.cost import main
try: main(['--help'])
finally: print(*sys.modules)"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--contexts" in result.stdout
    assert "jax" not in result.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    ("arguments", "series"),
    [
        ([], ["softmax", "outer"]),
        (["mixer=gla", "mixer.d_state=8,16"], ["gla, d_state=8", "gla, d_state=16"]),
        (
            ["mixer=softmax,gla", "--implementations", "recurrent", "chunked"],
            ["softmax", "gla, recurrent", "gla, chunked"],
        ),
        (["experiment=quickstart", "mixer.update=delta", "mixer.d_state=8"], ["delta rule"]),
    ],
)
def test_the_models_that_are_asked_for(arguments, series, monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(cost, "_measure", lambda args, configs: found.extend(configs))
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert [name for name in found if name in series] == series


@pytest.mark.slow(seconds=5)
def test_counting(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_cost, "compile_call", lambda *_: pytest.fail("something was compiled"))
    options = [
        "--lengths",
        "8",
        "512",
        "--contexts",
        "8",
        "32",
        "--time",
        "--formats",
        "svg",
        "--out",
        str(tmp_path),
    ]
    assert main(["mixer=softmax,outer", *SMALL, *options]) == 0
    printed = capsys.readouterr().out
    assert "bytes to hand over a sequence of T tokens" in printed
    assert "time per token" not in printed

    costs = pd.read_csv(tmp_path / "costs.csv")
    assert len(costs) == 2 * (2 + 2 + 2)
    assert costs["median_seconds"].isna().all()
    decoding = costs[costs["phase"] == "decoding"].set_index(["series", "length"])["flops_per_token"]
    assert decoding["outer", 8] == decoding["outer", 32]
    assert decoding["softmax", 8] + 24 * 4 * 8 <= decoding["softmax", 32]

    states = pd.read_csv(tmp_path / "states.csv").set_index(["series", "state_kind", "length"])["bytes"]
    assert states["softmax", "all", 2**20] == 2 * 8 * 4 * 2**20 + 4
    assert states["outer", "all", 2**20] == states["outer", "all", 1] == 16 * 8 * 4

    crossovers = pd.read_csv(tmp_path / "crossovers.csv").set_index("measure")
    assert set(crossovers["series"]) == {"outer"}
    assert (crossovers["against"] == "softmax").all()
    # 16 rows of 8 columns are as much as 8 tokens' keys and values.
    carried = crossovers.loc["bytes carried"]
    assert (carried["cheaper"], carried["low"], carried["high"]) == ("beyond", 4, 8)
    assert carried["length"] == pytest.approx(8, rel=0.05)
    assert crossovers.loc["FLOPs of reading a sequence", "cheaper"] == "beyond"
    assert (tmp_path / "cumulative_flops.svg").is_file()
    assert not (tmp_path / "decoding_time.svg").exists()


@pytest.mark.slow
def test_timing(tmp_path, capsys):
    options = ["--lengths", "8", "16", "--contexts", "8", "16", "--time", "decoding", "--repeats", "2"]
    assert main(["mixer=softmax,outer", *SMALL, *options, "--formats", "svg", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "decoding: time per token, median and 10-90 % of rounds" in printed
    costs = pd.read_csv(tmp_path / "costs.csv")
    timed = costs[costs["median_seconds"].notna()]
    assert set(timed["phase"]) == {"decoding"}
    assert len(timed) == 4
    assert (timed["tokens_per_second"] * timed["median_seconds"]).to_numpy() == pytest.approx(1)
    crossovers = pd.read_csv(tmp_path / "crossovers.csv")
    assert "time per token, decoding" in set(crossovers["measure"])
    assert (tmp_path / "decoding_time.svg").is_file()


def test_crossovers_in_words():
    row = {"cheaper": "beyond", "length": 200.0, "low": 150.4, "high": 300.0, "share": 1.0}
    assert crossover_in_words(row) == "beyond 200 (150 to 300)"
    assert crossover_in_words(row | {"share": 0.6}) == "beyond 200 (150 to 300); in 60 % of resamples"
    nowhere = {"cheaper": "nowhere", "length": float("nan"), "low": 8.0, "high": 64.0, "share": float("nan")}
    assert crossover_in_words(nowhere) == "nowhere from 8 to 64"
