import pandas as pd
import pytest

from sandbox.report.costs import write_costs


def tables():
    """Attention is a square, a cache and a rise; linear a line, a constant and flat."""
    costs, states = [], []
    for length in (64, 256, 1024):
        for series, per_token, carried in (("attention", 100 * length, 8 * length), ("linear", 5000, 4096)):
            for phase in ("training", "prefill", "decoding"):
                seconds = None if phase == "prefill" else per_token * 1e-9
                row = {"series": series, "phase": phase, "length": length, "flops_per_token": per_token}
                low_and_high = {} if seconds is None else {"low_seconds": seconds / 2, "high_seconds": 2 * seconds}
                costs.append(row | {"median_seconds": seconds} | low_and_high)
            states += [
                {"series": series, "length": length, "state_kind": kind, "bytes": size}
                for kind, size in (("all", carried), ("counter", 4))
            ]
    return pd.DataFrame(costs), pd.DataFrame(states)


def test_every_figure_holds_its_numbers(tmp_path):
    files, notes = write_costs(*tables(), tmp_path, ["svg"])
    assert notes == ["prefill_time: not drawn, fewer than two lengths have values"]
    assert {path.name for path in files if path.suffix == ".svg"} == {
        "cumulative_flops.svg",
        "decode_memory.svg",
        "decoding_time.svg",
        "training_time.svg",
    }

    def column(name, series, y):
        numbers = pd.read_csv(tmp_path / f"{name}.csv")
        return numbers[numbers["series"] == series].set_index("length")[y].to_dict()

    assert column("cumulative_flops", "attention", "flops") == {n: 100 * n * n for n in (64, 256, 1024)}
    assert column("cumulative_flops", "linear", "flops") == {n: 5000 * n for n in (64, 256, 1024)}
    assert column("decode_memory", "attention", "bytes") == {n: 8 * n for n in (64, 256, 1024)}
    assert column("decode_memory", "linear", "bytes") == dict.fromkeys((64, 256, 1024), 4096)
    assert column("decoding_time", "linear", "high_seconds") == pytest.approx(dict.fromkeys((64, 256, 1024), 1e-5))


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_costs(*tables(), tmp_path / name, ["png", "pdf"])
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_a_figure_without_numbers_is_not_drawn_and_does_not_stay(tmp_path):
    costs, states = tables()
    write_costs(costs, states, tmp_path, ["svg"])
    write_costs(costs.assign(median_seconds=None), states, tmp_path, ["svg"])
    assert not (tmp_path / "decoding_time.svg").exists()
    assert not (tmp_path / "decoding_time.csv").exists()
