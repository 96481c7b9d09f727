"""`docs/write_an_experiment.md`: its experiment composes, and its commands run, with sizes cut down."""

import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from test_commands import TINY

from sandbox.cli.compose_runs import runs_of

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "write_an_experiment.md").read_text()
COMMANDS = re.findall(r"^ {4}uv run sandbox (experiment=update_rules[^#\n]*)", PAGE, flags=re.MULTILINE)


@pytest.fixture
def conf(tmp_path):
    """A folder of configs with the experiment of the page."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (name,) = re.findall(r"`conf/experiment/(\w+)\.yaml`", PAGE)
    package, question, *_ = text.splitlines()
    assert package == "# @package _global_"
    assert question.startswith("# ")
    assert question.endswith("?")
    assert yaml.safe_load(text)["study"] == name
    file = tmp_path / "conf" / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    yield tmp_path / "conf"
    GlobalHydra.instance().clear()


@pytest.mark.slow(seconds=4)
def test_the_runs_are_as_many_as_the_page_says(conf):
    def count(*overrides):
        searchpath = f"hydra.searchpath=[file://{conf}]"
        return len(runs_of([searchpath, "experiment=update_rules", *overrides], command="sandbox"))

    assert f"`{count()} runs: 0 done already, {count()} to do`" in PAGE
    narrowed = re.findall(r"experiment=update_rules (\S+) +#.*: (\d+) runs$", PAGE, flags=re.MULTILINE)
    assert len(narrowed) == 2
    for override, number in narrowed:
        assert count(override) == int(number), override


@pytest.mark.slow(seconds=60)
def test_the_commands_run(conf, tmp_path):
    def sandbox(*arguments):
        program = "from sandbox.cli.main import main; main()"
        command = [sys.executable, "-c", program, "--config-dir", str(conf), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    printed = [sandbox(*command.split()) for command in COMMANDS if "--cfg" in command]
    assert "study: update_rules" in printed[0]
    assert "label: adding" in printed[1]

    sizes = [size for size in TINY if not size.startswith(("train.steps", "train.eval_every"))]
    cut = [*sizes, "train.steps=2", "mixer.d_state=2", f"output_dir={tmp_path}"]
    whole = next(command.split() for command in COMMANDS if "output_dir" in command)
    first = sandbox(*whole, *cut)
    assert first.splitlines()[0] == "4 runs: 0 done already, 4 to do"
    assert "adding" in first
    assert (tmp_path / "update_rules" / "report" / "records.csv").is_file()
    assert sandbox(*whole, *cut).splitlines()[0] == "4 runs: 4 done already, 0 to do"
