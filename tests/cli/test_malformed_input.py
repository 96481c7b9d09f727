"""Wrong input: one line with the key, the value and what is allowed, before anything runs or is written."""

import itertools
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from sandbox.cli import main as cli
from sandbox.cli.compose import check, conf_dir, register_schema
from sandbox.cli.compose_runs import runs_of
from sandbox.cli.input_errors import as_one_line

TABLE = pathlib.Path(__file__).with_name("malformed_inputs.txt").read_text().splitlines()
ROWS = [
    (typed, line.strip())
    for typed, line in itertools.pairwise(TABLE)
    if line.startswith("    ") and not typed.startswith("#")
]
COMMANDS = {typed: line for typed, line in ROWS if typed.startswith("sandbox ")}
SETTINGS = {typed: line for typed, line in ROWS if typed not in COMMANDS}

PROCESSES = [
    "sandbox =3",
    "sandbox --foo",
    "sandbox '~mixer'",
    "sandbox -m mixer=gla,gal",
    "sandbox experiment=quickstart jobs=many",
]
"""Commands of the table that are started as a user starts them."""


def matches(expected, line):
    return re.fullmatch(".+".join(map(re.escape, expected.split("…"))), line)


@pytest.fixture
def sandbox(monkeypatch, capsys, tmp_path):
    """Calls the console script with these arguments; returns exit code and error lines. Nothing may train."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sandbox", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().err.splitlines()

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sandbox.run.run", lambda *_: pytest.fail("a run was started"))
    monkeypatch.setattr("sandbox.cli.display.start_sweep", lambda *_: pytest.fail("a sweep was started"))
    yield call
    GlobalHydra.instance().clear()
    assert not list(pathlib.Path().iterdir()), "something was written"


def test_the_table_is_long_and_has_each_input_once():
    assert len(dict(ROWS)) == len(ROWS) >= 60
    assert {*PROCESSES} <= COMMANDS.keys()


@pytest.fixture(scope="module")
def composed():
    """Composes and checks a run with these settings."""
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra

    def call(*settings):
        config = hydra.compose_config("config", [*settings], RunMode.RUN, with_log_configuration=False)
        with open_dict(config):
            del config["hydra"]
        return check(config)

    return call


@pytest.mark.parametrize("typed", SETTINGS)
def test_wrong_settings_are_one_line(composed, typed):
    with pytest.raises(Exception) as refused:  # noqa: PT011
        composed(*shlex.split(typed))
    line = as_one_line(refused.value)
    assert line is not None, refused.value
    assert matches(SETTINGS[typed], line), line


@pytest.mark.parametrize("typed", [typed for typed in COMMANDS if typed not in PROCESSES])
def test_a_wrong_command_is_one_line(sandbox, typed):
    code, errors = sandbox(*shlex.split(typed)[1:])
    assert (code, len(errors)) == (2, 1), errors
    assert matches(f"sandbox: {COMMANDS[typed]}", errors[0]), errors[0]


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("typed", PROCESSES)
def test_a_wrong_command_in_its_own_process_is_one_line(typed, tmp_path):
    program = "from sandbox.cli.main import main; main()"
    command = [sys.executable, "-c", program, *shlex.split(typed)[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert matches(f"sandbox: {COMMANDS[typed]}\n", done.stderr), done.stderr
    assert not list(tmp_path.iterdir()), "something was written"


IN_FILE = "conf/experiment/mine.yaml: "
HEAD = "# @package _global_\n"
GRIDS = HEAD + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    grids:\n      - "
FILES = {
    "half a list": (HEAD + "study: [a\n", "…/experiment/mine.yaml, line 3: expected ',' or ']', but got …"),
    "a tab": (HEAD + "study:\n\ta: 3\n", "…/mine.yaml, line 3: found character '\\t' that cannot start any token"),
    "a key twice": (HEAD + "study: a\nstudy: b\n", "…/experiment/mine.yaml, line 3: found duplicate key study"),
    "a Python object": (HEAD + "study: !!python/name:os.system\n", "…/mine.yaml, line 2: could not determine …"),
    "no text": (b"\xff\xfe", IN_FILE + "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    "a character that YAML lacks": (HEAD + "study: \x01\n", IN_FILE + "unacceptable character #x0001: …"),
    "nothing": ("", IN_FILE + "must be a table of keys, under the line `# @package _global_`"),
    "no package": ("study: a\n", IN_FILE + "must be a table of keys, under the line `# @package _global_`"),
    "a list in place of a table": (
        "- study\n",
        IN_FILE + "must be a table of keys, under the line `# @package _global_`",
    ),
    "a list": (HEAD + "- study\n", IN_FILE + "a table stands where a list belongs, or …"),
    "a wrong key": (
        HEAD + "train: {step: 3}\n",
        IN_FILE + "train.step: no such key (did you mean steps?); train …",
    ),
    "a key of another task": (
        HEAD + "task: {min_length: 3}\n",
        IN_FILE + "task.min_length: no such key (did you mean length?); …",
    ),
    "a float for a whole number": (
        HEAD + "train: {steps: 1e3}\n",
        IN_FILE + "train.steps=1000.0 must be a whole number",
    ),
    "null for options": (HEAD + "train:\n", IN_FILE + "train=null must be a table of options"),
    "a name for options": (
        HEAD + "mixer: gla\n",
        IN_FILE
        + "mixer=gla must be a table of options; `override /mixer: NAME` under `defaults:` makes another choice",
    ),
    "text for a list": (HEAD + "model: {layout: mixer}\n", IN_FILE + "model.layout=mixer must be a list"),
    "a table for a list": (
        HEAD + "train: {learning_rates: {a: 1}}\n",
        IN_FILE + "a table stands where a list belongs, or …",
    ),
    "a mode": (HEAD + "hydra: {mode: MANY}\n", IN_FILE + "hydra.mode=MANY must be one of RUN, MULTIRUN, or null"),
    "an unknown default": (
        HEAD + "defaults: [override /mixer: gal]\n",
        "mixer=gal: no such choice (did you mean gla?); there are …",
    ),
    "no such file": (HEAD + "defaults: [common]\n", IN_FILE + "Could not load 'experiment/common'."),
    "defaults": (
        HEAD + "defaults: 3\n",
        "Invalid defaults list in 'experiment/mine', defaults must be a list (got int)",
    ),
    "a grid with a wrong key": (
        GRIDS + "{mixer: gla, mixer.d_stat: 8}\n",
        "mixer.d_stat: no such key (did you mean d_state?); mixer=gla has …",
    ),
    "a grid that is a list": (
        GRIDS + "[mixer, gla]\n",
        "hydra.sweeper.grids=[['mixer', 'gla']] must be a list of …",
    ),
    "a grid with a table": (
        GRIDS + "{train: {steps: 3}}\n",
        "hydra.sweeper.grids[0].train is a table; a grid has dotted keys, such as train.steps",
    ),
    "a grid with null for a mixer": (GRIDS + "{mixer: null}\n", "mixer=null must be the name of a choice"),
    "a study with a slash": (GRIDS + "{study: a/b}\n", "study='a/b' must be the name of one folder, …"),
}


@pytest.mark.parametrize(("content", "line"), FILES.values(), ids=FILES.keys())
def test_a_wrong_experiment_is_one_line_that_says_where(sandbox, tmp_path, content, line):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    code, errors = sandbox(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine")
    assert (code, len(errors)) == (2, 1), errors
    assert matches(f"sandbox: {line}", errors[0]), errors[0]


def test_numbers_and_texts_of_an_experiment_are_what_they_look_like(tmp_path):
    """YAML 1.1 has 1e-5 as text; Hydra's grammar has the text true, without quotes, as a flag."""
    (tmp_path / "experiment").mkdir()
    text = GRIDS + "{study: 'null', label: 'true', train.weight_decay: 1e-5}\ntrain: {learning_rates: [1e-5]}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    (config,) = runs_of([f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"], command="test").values()
    assert (config.study, config.label) == ("null", "true")
    assert (config.train.learning_rates, config.train.weight_decay) == ([1e-5], 1e-5)
