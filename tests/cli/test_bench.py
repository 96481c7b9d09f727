"""`sandbox-bench scans`: a tiny real run, its table, and wrong input as one line."""

import functools
import subprocess
import sys

import jax
import pandas as pd
import pytest

from sandbox.bench import cases, ceilings, peer_jla, scans
from sandbox.bench.cases import Case, Setting, make_cases
from sandbox.bench.ceilings import Ceilings, measure_ceilings
from sandbox.bench.scans import time_scans
from sandbox.cli.bench import main
from sandbox.cli.bench_tables import overtaking_in_words
from sandbox.scans import IMPLEMENTATIONS, RULES
from sandbox.scans.rms_error import relative_rms_errors

WRONG = {
    "an unknown rule": (["--rules", "gla"], r"--rules: 'gla' is not one of 'gated_linear_attention', "),
    "an unknown kind": (["--kinds", "fast"], r"--kinds: 'fast' is not one of 'no decay', 'scalar decay', "),
    "a kind that the rule lacks": (
        ["--rules", "gated_delta_rule", "--kinds", "complex"],
        "--kinds: 'complex' is not one of 'no decay', 'scalar decay', 'channel decay'",
    ),
    "an unknown implementation": (
        ["--implementations", "auto"],
        "--implementations: 'auto' is not one of 'recurrent', 'steps', 'chunked', 'pallas'",
    ),
    "no tokens": (["--lengths", "128", "0"], "argument --lengths: 0 is not a whole number of at least 1"),
    "a word for a number": (["--batch", "many"], "argument --batch: many is not a whole number of at least 1"),
    "a chunk size": (["--chunk-size", "48"], "--chunk-size: 48 is not a power of two"),
    "an unknown dtype": (["--dtype", "float64"], "argument --dtype: invalid choice: 'float64' (choose from "),
    "a folder that is not there": (["--out", "none/x.csv"], "--out: none is not a folder that can be written to"),
    "a folder for a file": (["--out", "."], "--out: . is a folder"),
    "an unknown option": (["--fast"], "unrecognized arguments: --fast"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ceilings, "measure_ceilings", lambda *_: pytest.fail("something was measured"))
    with pytest.raises(SystemExit) as stopped:
        main(["scans", *arguments])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.partition(": ")[2].startswith(message)


def test_help_does_not_wait_for_jax():
    program = """import sys; from sandbox.cli.bench import main
try: main(['scans', '--help'])
finally: print(*sys.modules)"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--implementations" in result.stdout
    assert "jax" not in result.stdout.splitlines()[-1].split()


@pytest.mark.slow(seconds=4)
def test_a_tiny_run(tmp_path, monkeypatch, capsys):
    tiny = functools.partial(measure_ceilings, rounds=1, matmul_sizes=(64,), copied_bytes=2**16)
    monkeypatch.setattr(ceilings, "measure_ceilings", tiny)
    monkeypatch.setattr(peer_jla, "PACKAGE", "no_such_package")
    monkeypatch.setattr(cases, "BATCH_LENGTH", 16)
    out = tmp_path / "scans.csv"
    sizes = ["--lengths", "8", "--batch", "1", "--rows", "4", "--columns", "4", "--repeats", "2"]
    which = ["--rules", "gated_linear_attention", "--kinds", "scalar decay"]
    assert main(["scans", *sizes, *which, "--peers", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "left out: no_such_package cannot be imported" in printed
    assert "left out: fla: its kernels need a GPU" in printed
    assert "not timed: pallas (2 rows): implementation='pallas' cannot run" in printed
    assert "T at which scans overtake softmax attention" in printed

    table = pd.read_csv(out)
    assert list(table["implementation"].unique()) == ["xla", *IMPLEMENTATIONS]
    timed = table[table["not_timed"].isna()]
    assert len(timed) == 2 * 4
    assert timed[["median_seconds", "flops", "bytes", "matmul_share", "copy_share"]].gt(0).all(axis=None)
    rates = timed["flops"] / timed["median_seconds"] / timed["ceiling_flops_per_second"]
    assert timed["matmul_share"].to_numpy() == pytest.approx(rates.to_numpy())
    recurrent = timed[timed["implementation"] == "recurrent"]
    assert recurrent[["speed_to_recurrent", "speed_to_recurrent_low"]].eq(1).all(axis=None)
    assert timed[timed["rule"] == "softmax attention"]["speed_to_attention"].eq(1).all()
    assert timed["difference"].max() < 1e-5

    # q, k, v and the outputs are 2 heads of 4 channels each, the decay is one float per head.
    tokens, leaves = 16, 4 * (4 * 2 * 4 + 2)
    by_direction = recurrent.groupby("direction")[["flops", "bytes"]].agg(["min", "max"])
    assert by_direction["bytes"].loc["forward"].tolist() == [tokens * leaves] * 2
    # Forward and backward moves each of them and its gradient.
    assert by_direction["bytes"].loc["forward+backward"].tolist() == [2 * tokens * leaves] * 2
    # k vᵀ, decay, sum, q ⊙ S and the sum over rows: 5 K V, less V for the last sum.
    assert by_direction["flops"].loc["forward"].tolist() == [tokens * 2 * (5 * 4 * 4 - 4)] * 2


def test_an_interruption_before_the_first_row_leaves_the_file(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ceilings, "measure_ceilings", lambda *_: Ceilings(1.0, 1.0))
    monkeypatch.setattr(scans, "time_scans", interrupt)
    out = tmp_path / "scans.csv"
    out.write_text("of another day")
    with pytest.raises(KeyboardInterrupt):
        main(["scans", "--out", str(out)])
    assert out.read_text() == "of another day"


def test_what_computes_something_else_or_cannot_run_is_not_timed():
    def refuse(inputs):
        raise NotImplementedError("too large\nfor this")

    functions = {
        "recurrent": lambda x: 2 * x,
        "same": lambda x: x + x,
        "other": lambda x: 2.01 * x,
        "none": refuse,
    }
    case = Case("doubling", "plain", jax.numpy.arange(8.0)[None], functions, {}, lambda direction: 8.0)
    said = []
    rows = list(
        time_scans(
            setting(lengths=[8]), Ceilings(1.0, 1.0), rounds=2, report=said.append, make_cases=lambda *_: [case]
        )
    )
    assert len(said) == 2
    reasons = {(row.implementation, row.not_timed) for row in rows}
    assert reasons == {
        ("recurrent", ""),
        ("same", ""),
        ("other", "differs by 5.0e-03 from recurrent"),
        ("none", "too large"),
    }
    assert all((row.median_seconds is None) == bool(row.not_timed) for row in rows)
    assert all(row.speed_to_attention is None for row in rows), "nothing to compare with"


def test_calls_have_equally_many_tokens_and_at_least_one_sequence():
    assert [setting(batch=16).batch_at(tokens) for tokens in (128, 512, 2048, 2**20)] == [64, 16, 4, 1]


def test_overtaking_in_words():
    assert overtaking_in_words({128: 0.5, 512: 2.0, 2048: 8.0}) == "from 256"
    assert overtaking_in_words({128: 2.0, 512: 0.5, 2048: 2.0}) == "up to 256, from 1024"
    assert overtaking_in_words({128: 0.5, 512: 0.9}) == "none, slower at 128, 512"
    assert overtaking_in_words({128: 1.5}) == "none, faster at 128"
    assert overtaking_in_words({}) == "not timed"


@pytest.mark.slow
def test_peers_compute_the_same(monkeypatch):
    """Skipped unless the package is installed, which needs one particular version of jax."""
    pytest.importorskip(f"{peer_jla.PACKAGE}.ops")
    monkeypatch.setattr(cases, "BATCH_LENGTH", 40)
    asked = setting(
        rules=list(RULES), kinds=[kind for rule in RULES.values() for kind in rule.examples], with_peers=True
    )
    compared = 0
    for case in list(make_cases(asked, 20))[1:]:
        for name in case.functions:
            if name.startswith(peer_jla.PACKAGE):
                ours, theirs = (jax.jit(case.functions[f])(case.inputs) for f in ("recurrent", name))
                assert relative_rms_errors(ours, theirs).max() < 1e-4, name
                compared += 1
    assert compared == 14


def setting(**changes):
    return Setting(
        **{
            "rules": ["gated_linear_attention"],
            "kinds": ["scalar decay"],
            "implementations": ["recurrent"],
            "lengths": [16],
            "batch": 1,
            "heads": 2,
            "rows": 4,
            "columns": 6,
            "chunk_size": None,
            "dtype": "float32",
            "with_peers": False,
        }
        | changes
    )
