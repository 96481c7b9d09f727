"""Claims get the verdict that their interval gives, and what is wrong with a file of them is one line."""

import numpy as np
import pandas as pd
import pytest
import yaml
from invented_runs import write_run

from sandbox.errors import InputError
from sandbox.report.claims import AGREES, CLAIMS, DISAGREES, NOT_REACHED, NOT_SETTLED, claims_table

SEEDS = {"good": (0.9, 0.92, 0.94), "bad": (0.5, 0.55, 0.45), "mixed": (0.1, 0.5, 0.9), "same": (0.1,) * 3}
SEEDS |= {"lone": (0.95,)}
TEXTS = {"claim": "One is so.", "source": "Someone et al. 2023, figure 2", "printed": 0.93}


@pytest.fixture
def experiment(tmp_path):
    """A folder with three models, and a function that writes these claims and makes the table."""
    for number, (label, scores) in enumerate(SEEDS.items()):
        members = {(0.1, seed): {"all": 0.0, "pairs=4": score} for seed, score in enumerate(scores)}
        half_life = None if label == "good" else 16.0
        config = {
            "mixer.d_state": 2**number,
            "mixer.half_life": half_life,
            "train.num_examples": 1_234_567 + number,
        }
        write_run(tmp_path / "runs", label, members, selected=0.1, label=label, config=config)

    def table(*claims):
        claims = [TEXTS | claim for claim in claims]
        (tmp_path / CLAIMS).write_text(yaml.safe_dump({"command": "sandbox", "claims": claims}))
        return claims_table(tmp_path)

    return table


def of(label, **options):
    return {"of": {"label": label, "slice": "pairs=4"}, **options}


@pytest.mark.parametrize(
    ("claim", "ours", "verdict"),
    [
        (of("good", at_least=0.8), 0.92, AGREES),
        (of("good", at_least=0.95), 0.92, NOT_SETTLED),
        (of("good", at_least=0.8, at_most=0.9), 0.92, NOT_SETTLED),
        (of("good", at_most=0.5), 0.92, DISAGREES),
        (of("bad", at_least=0.8), 0.5, DISAGREES),
        (of("mixed", at_least=0.8), 0.5, NOT_SETTLED),
        (of("good", ahead_of={"label": "bad"}, more_than=0), 0.42, AGREES),
        (of("good", ahead_of={"label": "good"}, at_least=0), 0, AGREES),
        (of("good", ahead_of={"label": "good"}, more_than=0), 0, DISAGREES),
        (of("lone", at_least=0.5), 0.95, NOT_SETTLED),
        (of("same", at_most=0.1), 0.1, AGREES),
        (of("bad", ahead_of={"label": "good"}, at_least=0), -0.42, DISAGREES),
        (of("good", ahead_of={"label": "mixed"}, at_least=0), 0.42, NOT_SETTLED),
        ({"of": {"mixer.d_state": 1, "mixer.half_life": None, "slice": "pairs=4"}, "at_least": 0.8}, 0.92, AGREES),
        ({"of": {"train.num_examples": 1234568, "slice": "pairs=4"}, "at_most": 0.8}, 0.5, AGREES),
        ({"of": {"label": "good"}, "column": "steps", "at_most": 100}, 100, AGREES),
        ({"not_reached": "8 GPUs"}, np.nan, NOT_REACHED),
        (of("bad", at_most=0.7, learned={"slice": "all", "at_least": 0.9}), 0.5, NOT_SETTLED),
        (of("bad", at_most=0.7, learned={"label": "good", "at_least": 0.9}), 0.5, AGREES),
        (of("bad", at_most=0.1, learned={"label": "good", "at_least": 0.9}), 0.5, DISAGREES),
    ],
    ids=str,
)
def test_verdicts(experiment, claim, ours, verdict):
    (row,) = experiment(claim).to_dict("records")
    assert row["ours"] == pytest.approx(ours, nan_ok=True)
    assert row["verdict"] == verdict
    assert (row["printed"], row["command"]) == ("0.93", "sandbox")
    if "slice" in str(claim) and "lone" not in str(claim):
        assert row["low"] <= row["ours"] <= row["high"]
        assert row["num_seeds"] == 3


def test_another_table_answers_with_its_own_interval(experiment, tmp_path):
    rows = {"rule": ["add", "delta"], "slope": [0.4, 1.0], "low": [0.3, 0.9], "high": [0.5, 1.1], "pairs": [4, 9]}
    pd.DataFrame(rows).to_csv(tmp_path / "capacity.csv", index=False)
    claim = {"of": {"rule": "delta"}, "file": "capacity.csv", "column": "slope", "at_least": 0.8}
    (row,) = experiment(claim).to_dict("records")
    assert (row["ours"], row["low"], row["high"], row["verdict"]) == (1.0, 0.9, 1.1, AGREES)
    assert row["wanted"] == "0.8 ≤ slope"
    (row,) = experiment(claim | {"column": "pairs", "at_least": 9}).to_dict("records")
    assert (row["ours"], row["verdict"]) == (9, AGREES), "the interval is that of slope"


@pytest.mark.parametrize(
    ("claim", "line"),
    [
        (
            {"of": {"slice": "pairs=4"}, "at_least": 0},
            "slice=pairs=4 are several runs, which differ in mixer.d_state",
        ),
        (
            of("goood", at_least=0),
            "no row has label=goood of slice=pairs=4, label=goood; there are ",
        ),
        ({"of": {"lable": "good"}, "at_least": 0}, "lable: no such column (did you mean label?)"),
        (of("good", column="acuracy", at_least=0), "acuracy: no such column (did you mean accuracy?)"),
        (of("good"), "give numbers for `at_least`, `more_than` or `at_most`"),
        (of("good", at_least=float("nan")), "give numbers for `at_least`, `more_than` or `at_most`"),
        (of("good", at_least=0.9, at_most=0.8), "no value is at least 0.9 and at most 0.8"),
        (of("good", interval=["low"], at_least=0), "`interval` names two columns"),
        (of("good", ahead_of={}, at_least=0), "`ahead_of` names keys of other runs in records.csv"),
        (of("good", learned={"slice": "all"}, at_least=0), "`learned` names keys in records.csv and a number as"),
        (of("good", file="no.csv", at_least=0), "no.csv: cannot be read"),
        (of("good", column="platform", at_least=0), "platform is not a column of numbers"),
        ({"of": {1: 2}, "at_least": 0}, "1: no such column"),
        ({}, "give either `of` or `not_reached`"),
        (of("good", at_leest=0), "claim 1: at_leest: no such key (did you mean at_least?)"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_claim_is_one_line(experiment, claim, line):
    with pytest.raises(InputError) as raised:
        experiment(claim)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert CLAIMS in str(raised.value)


def test_a_claim_lacks_its_source(experiment):
    with pytest.raises(InputError, match=r"claims\.yaml: claim 1: source is missing$"):
        experiment({"source": None} | of("good", at_least=0))
