import pandas as pd
import pytest
from invented_runs import write_run

from sandbox.report import write_report
from sandbox.report.latex import escape

T = 12.7062047  # of Student's distribution with one degree of freedom, 97.5 %


def latex_rows(out):
    lines = (out / "table.tex").read_text().splitlines()
    return [line.removesuffix(r" \\").split(" & ") for line in lines if "&" in line]


def test_the_table_has_a_row_per_size_and_a_column_per_slice(sweep, tmp_path):
    write_report(sweep, tmp_path / "out", formats=())
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table[["label", "mixer.d_state", "state_bytes", "num_seeds", "num_diverged"]].values.tolist() == [
        ["delta rule", 8, 4096, 2, 0],
        ["delta rule", 16, 8192, 2, 1],
        ["linear_100%", 16, 8192, 2, 0],
    ]
    assert table["pairs=4"].tolist() == pytest.approx([0.7, 0.95, 0.7])
    assert table["pairs=16 low"].tolist() == pytest.approx([0, 0.85 - T * 0.05, 0])
    assert table["all high"].tolist() == pytest.approx([1, 1, 0.425 + T * 0.025])


def test_latex_has_the_best_of_a_column_bold_and_marks_who_diverged(sweep, tmp_path):
    write_report(sweep, tmp_path / "out", formats=())
    assert latex_rows(tmp_path / "out") == [
        ["Series", r"d\_state", "State", "Seeds", "Rate window", "pairs=4", "pairs=16", "all"],
        [
            "delta rule",
            "8",
            "4 KiB",
            "2",
            r"$\geq$ 10",
            r"70.0 $\pm$ 70.0",
            r"40.0 $\pm$ 60.0",
            r"55.0 $\pm$ 55.0",
        ],
        [
            "",
            "16",
            "8 KiB",
            r"2 (1\textsuperscript{\textdagger})",
            r"$\geq$ 10",
            r"\textbf{95.0} $\pm$ 63.5",
            r"\textbf{85.0} $\pm$ 63.5",
            r"\textbf{90.0} $\pm$ 63.5",
        ],
        [
            r"linear\_100\%",
            "16",
            "8 KiB",
            "2",
            r"$\geq$ 1",
            r"70.0 $\pm$ 0.0",
            r"15.0 $\pm$ 63.5",
            r"42.5 $\pm$ 31.8",
        ],
    ]


def test_means_that_print_the_same_are_both_best(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.91234}, selected=0.1, label="a")
    write_run(tmp_path, "b", {(0.1, 0): 0.91231}, selected=0.1, label="b")
    write_run(tmp_path, "c", {(0.1, 0): 0.9112}, selected=0.1, label="c")
    write_report(tmp_path, tmp_path / "out", formats=())
    assert [row[-1] for row in latex_rows(tmp_path / "out")[1:]] == [
        r"\textbf{91.2}",
        r"\textbf{91.2}",
        "91.1",
    ]


def test_a_slice_that_a_row_was_not_scored_on_is_a_dash(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): {"pairs=4": 0.5, "pairs=8": 0.4}}, selected=0.1, label="a")
    write_run(tmp_path, "b", {(0.1, 0): {"pairs=4": 0.5}}, selected=0.1, label="b")
    report = write_report(tmp_path, tmp_path / "out", formats=())
    assert latex_rows(tmp_path / "out")[2][-1] == "--"
    assert "frontier: b is left out, it was not scored on pairs=8" in report.notes


def test_latex_has_no_live_special_character():
    escaped = r"a\_b 50\% \& \$x\# \{y\} \textasciitilde{}\textasciicircum{} \textbackslash{}z"
    assert escape(r"a_b 50% & $x# {y} ~^ \z") == escaped
    assert (
        escape("[a] <b> | c---d '' – …")
        == r"{[}a] \textless{}b\textgreater{} \textbar{} c-{}-{}-d '{}' -- \dots{}"
    )
