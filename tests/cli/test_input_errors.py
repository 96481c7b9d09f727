"""Wrong input: one line with the key, the value and what is allowed, before anything runs."""

import re
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from sandbox.cli import main as cli


@pytest.fixture
def sandbox(monkeypatch, capsys, tmp_path):
    """Calls the console script with these arguments; returns exit code and error lines. Nothing may train."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sandbox", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().err.splitlines()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sandbox.run.run", lambda *_: pytest.fail("a run was started"))
    monkeypatch.setattr("sandbox.cli.display.start_sweep", lambda *_: pytest.fail("a sweep was started"))
    yield call
    GlobalHydra.instance().clear()


WRONG = {
    "a misspelt key": (
        ["mixer.d_stat=8"],
        r"mixer\.d_stat: no such key \(did you mean d_state\?\); mixer=outer has .*d_state, ",
    ),
    "a misspelt key, added with +": (
        ["+mixer.d_stat=8"],
        r"mixer\.d_stat: no such key \(did you mean d_state\?\)",
    ),
    "a key that is now an entry of another": (
        ["model.attention=gla"],
        r"model\.attention: no such key \(now the entry `attention` of model\.mixers, as in \+mixer@model",
    ),
    "a key of one mixer that was renamed": (
        ["mixer=performer", "mixer.d_state=8"],
        r"mixer\.d_state: no such key \(now key_dim; the size knob is favor_features\); mixer=performer has",
    ),
    "a column in place of a group": (
        ["task.kind=ar"],
        r"task\.kind: no such key \(now task\.name in tables; task=N",
    ),
    "a study under its former name": (
        ["experiment=mine"],
        r"experiment=mine: no such choice; there are .* \(the folder that collects runs is now study=NAME\)$",
    ),
    "a feature map that is now a mixer": (
        ["mixer=linear_attention", "mixer.feature_map=favor"],
        r"mixer\.feature_map=favor: .*\[identity, .*\] \(now mixer=performer\)$",
    ),
    "an implementation that was removed": (
        ["mixer.implementation=pallas_mosaic_gpu"],
        r"mixer\.implementation=pallas_mosaic_gpu must be one of .* \(removed; `pallas` has kernels for GPUs\)$",
    ),
    "a misspelt group": (
        ["trian.steps=3"],
        r"trian: no such key \(did you mean train\?\); the config has mixer, task",
    ),
    "a key that the config lacks": (["+depth=3"], r"depth: no such key; the config has mixer, task"),
    "a key of another mixer": (
        ["mixer=softmax", "mixer.decay=none"],
        r"mixer\.decay: no such key; mixer=softmax has num_heads",
    ),
    "a word for a number": (["mixer.d_state=abc"], r"mixer\.d_state=abc: .*Integer"),
    "a fraction for a whole number": (["mixer.d_state=3.5"], r"mixer\.d_state=3\.5: .*Integer"),
    "a number for a list": (["train.learning_rates=3"], r"train\.learning_rates=3 must be auto or a list of"),
    "an unknown choice": (["mixer.decay=vectr"], r"mixer\.decay=vectr: .*\[none, fixed, learned_scalar"),
    "an unknown implementation": (
        ["mixer.implementation=fast"],
        r"mixer\.implementation=fast must be one of auto, recurrent, steps, chunked, pallas",
    ),
    "a chunk that is no power of two": (["mixer.chunk_size=12"], r"mixer\.chunk_size=12 must be a power of two"),
    "an unknown mixer": (["mixer=gal"], r"mixer=gal: no such choice; there are .*gla, .*softmax"),
    "an unknown task": (["task=recal"], r"task=recal: no such choice; there are .*copy, "),
    "an unknown experiment": (
        ["experiment=quick"],
        r"experiment=quick: no such choice; there are .*quickstart",
    ),
    "too many pairs": (
        ["task.pairs=20"],
        r"task\.pairs=20 needs task\.length of at least 80 .* got",
    ),
    "a width that heads do not divide": (
        ["model.d_model=65", "mixer.num_heads=2"],
        r"model\.d_model=65 must be divisible by mixer\.num_heads=2",
    ),
    "no learning rates": (
        ["train.learning_rates=[]"],
        r"train\.learning_rates=\[\] is empty: give at least one",
    ),
    "a path for a study": (["study=a/b"], r"study='a/b' must be the name of one folder"),
    "no name for a study": (["study="], r"study='' must be one line of text"),
    "a negative seed": (["seed=-1"], r"seed=-1 must be at least 0"),
    "an unknown name in the layout": (
        ["model.layout=[mixer,foo]"],
        r"model\.layout has 'foo': .* names: mixer, attention, softmax",
    ),
    "no value": (["train.steps"], r"train\.steps: cannot be read as key=value"),
    "a letter that Hydra's grammar lacks": (
        ["label=Größe"],
        r"label=Größe: cannot be read as key=value; text needs quotes inside .*: 'label=\"Größe\"'$",
    ),
    "quotes in a text": (["label=\"a' (b)"], r"""label=.*: 'label="\\"a'"'"' \(b\)"'$"""),
    "a reference to a key that is not there": (
        ["label=${x}"],
        r"label: Interpolation key 'x' not found; a text with \$\{ in it is written with \\\$\{$",
    ),
    "a letter that no key has": (["lábel=3"], r"lábel=3: cannot be read as key=value$"),
    "a sweep without -m": (["mixer.d_state=8,16"], r"mixer\.d_state=8,16: several values; `sandbox -m` sweeps"),
    "an output folder that cannot be written": (
        ["output_dir=/proc/none"],
        r"output_dir: cannot write to /proc/none",
    ),
    "one wrong run of a sweep": (
        ["-m", "mixer.d_state=8,16", "train.steps=10,0"],
        r"train\.steps=0 must be at least 1",
    ),
    "a continuous sweep": (
        ["-m", "mixer.d_state=interval(1,2)"],
        r"mixer\.d_state=interval\(1,2\): only lists",
    ),
    "no runs at once": (
        ["-m", "mixer.d_state=8,16", "jobs=0"],
        r"jobs=0 must be auto or a whole number of at least 1",
    ),
    "a word for a number of runs at once": (
        ["experiment=quickstart", "jobs=many"],
        r"jobs=many must be auto",
    ),
    "a wrong key for an experiment": (
        ["experiment=quickstart", "train.step=3"],
        r"train\.step: no such key .*did you mean steps",
    ),
    "a mixer that the experiment lacks": (
        ["experiment=quickstart", "mixer=short_conv"],
        r"mixer=short_conv: the grids of this experiment have outer, softmax",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line(sandbox, arguments, message):
    code, errors = sandbox(*arguments)
    assert code == 2
    assert len(errors) == 1, errors
    assert re.match(f"sandbox: {message}", errors[0]), errors[0]


def test_a_wrong_key_of_an_experiment_names_its_file(sandbox, tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nstudy: bad\ntask: {min_length: 3}    # a key of another task than mqar\n"
    (tmp_path / "experiment" / "bad.yaml").write_text(text)
    code, errors = sandbox(f"hydra.searchpath=[file://{tmp_path}]", "experiment=bad")
    assert code == 2
    assert len(errors) == 1, errors
    assert errors[0].startswith("sandbox: conf/experiment/bad.yaml: task.min_length: no such key"), errors[0]
