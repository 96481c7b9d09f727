"""What a command imports: jax takes seconds, and pandas and matplotlib take one each."""

import subprocess
import sys

import pytest
from invented_runs import write_metrics, write_run

from sandbox.config import Config
from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS

HEAVY = {"jax", "flax", "numpy", "pandas", "matplotlib", "altair", "vl_convert", "rich"}
DRAWING = {"numpy", "pandas", "matplotlib", "altair", "vl_convert"}

PROGRAM = """
import atexit, sys
atexit.register(lambda: print("\\nimported", *{heavy} & sys.modules.keys()))
from sandbox.cli.{command} import main
sys.argv[0] = "sandbox"
sys.exit(main())
"""


def imported_by(command, *arguments, code=0):
    program = PROGRAM.format(heavy=HEAVY, command=command)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    marker, *packages = done.stdout.splitlines()[-1].split()
    assert marker == "imported"
    return set(packages)


@pytest.mark.parametrize("command", ["collect", "report", "show", "cost", "bench", "recommend", "tune", "inspect"])
def test_help_of_the_other_commands_imports_nothing_heavy(command):
    assert imported_by(command, "--help") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--cfg", "job", "mixer=mamba", "task=icll"],
        ["--info", "searchpath"],
    ],
    ids=" ".join,
)
def test_composing_a_config_imports_nothing_heavy(arguments):
    assert imported_by("main", *arguments) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["mixer.d_stat=8"],
        ["mixer=gal"],
        ["mixer=outer", "mixer.feature_map=dpfp"],
        ["mixer=retnet", "mixer.implementation=fast"],
        ["tracker=comet"],
        ["-m", "mixer.d_state=8,16", "train.steps=10,0"],
    ],
    ids=" ".join,
)
def test_wrong_input_is_refused_before_anything_heavy_is_imported(arguments):
    assert imported_by("main", *arguments, code=2) == set()


def test_a_wrong_search_is_refused_before_anything_heavy_is_imported():
    pytest.importorskip("optuna", reason="needs the extra `tune`")
    assert imported_by("tune", "mixer.d_state=choice(2,x)", code=2) == set()


def test_records_are_collected_and_drawn_without_jax(tmp_path):
    write_run(tmp_path, "a", {(1e-3, 0): 0.5}, selected=1e-3)
    assert imported_by("collect", tmp_path) == {"numpy", "pandas"}
    assert imported_by("report", tmp_path, "--formats", "svg") == DRAWING


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["a run", "a sweep"])
def test_a_finished_command_is_summarised_without_jax(mode, tmp_path):
    config = Config(MIXERS["outer"](), TASKS["mqar"](), output_dir=str(tmp_path))
    run = write_run(config.directory.parent, config.run_id, {(1e-3, 0): 0.5}, selected=1e-3)
    write_metrics(run, [(100, 1e-3, 0, 0.5)])
    packages = imported_by("main", *mode, f"output_dir={tmp_path}")
    assert packages == DRAWING | {"rich"}
    assert (config.directory.parent / "report" / "report.html").is_file()
    again = imported_by("main", *mode, f"output_dir={tmp_path}")
    assert again == packages - {"altair", "vl_convert"}, "the page is there"
