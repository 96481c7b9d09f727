"""A run's `config.yaml` comes back as the config that wrote it; anything else in it is refused in one line."""

import dataclasses
import hashlib
import json
import re

import pytest
import yaml

from sandbox.added_later import ADDED_LATER
from sandbox.config import RESULT_KEYS, Config, plain
from sandbox.errors import DamagedFile, InputError
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run_folder import CONFIG
from sandbox.saved_config import read_config
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig


def save(config, output_dir, text=None):
    """The folder of the run in `output_dir`, with the config that `run` writes, or with this text in its place."""
    folder = dataclasses.replace(config, output_dir=str(output_dir)).directory
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(text or yaml.safe_dump(plain(config), sort_keys=False))
    return folder


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_saved_config_comes_back(mixer, tmp_path):
    model = ModelConfig(layout=["a", "mixer"], mixers={"a": MIXERS["outer"](d_state=3)})
    config = Config(MIXERS[mixer](), TASKS["mqar"](pairs=[2, 4]), model, output_dir=str(tmp_path))
    assert read_config(save(config, tmp_path)) == config


@pytest.mark.parametrize("task", TASKS)
def test_a_saved_task_comes_back(task, tmp_path):
    config = Config(MIXERS["gla"](), TASKS[task](), output_dir=str(tmp_path))
    assert read_config(save(config, tmp_path)) == config


def default(**options):
    return Config(MIXERS["outer"](), TASKS["mqar"](), **options)


def test_the_place_is_where_the_file_lies_and_texts_are_not_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "7")
    content = plain(default()) | {"study": "../../..", "output_dir": "/etc", "label": "${oc.env:SECRET}"}
    folder = save(default(study="mine"), tmp_path, yaml.safe_dump(content))
    monkeypatch.chdir(folder)
    config = read_config(".")
    assert config.directory == folder
    assert config.label == "${oc.env:SECRET}"


def test_a_run_from_before_an_option_has_what_it_had(tmp_path):
    hybrid = ModelConfig(layout=["memory", "mixer"], mixers={"memory": MIXERS["outer"](d_state=4)})
    content = plain(default(model=hybrid))
    for group, name in ADDED_LATER:
        del content[group][name]
        content["model"]["mixers"]["memory"].pop(name if group == "mixer" else None, None)
    hashed = json.dumps({key: content[key] for key in RESULT_KEYS}, sort_keys=True)
    assert default(model=hybrid).config_id == hashlib.sha256(hashed.encode()).hexdigest()[:12]
    for name in ("tracker", "jobs", "versions"):
        del content[name]
    del content["report"]["y"]
    folder = save(default(model=hybrid), tmp_path, yaml.safe_dump(content))
    assert read_config(folder) == default(model=hybrid, output_dir=str(tmp_path))


def test_a_whole_number_may_stand_for_any(tmp_path):
    config = default(train=TrainConfig(weight_decay=1.0), output_dir=str(tmp_path))
    text = yaml.safe_dump(plain(config)).replace("weight_decay: 1.0", "weight_decay: 1")
    assert read_config(save(config, tmp_path, text)) == config


def changed(**options):
    """The text of the config with some entries replaced; `a__b` is `b` in the table `a`, and ... removes it."""
    content = plain(default())
    for path, value in options.items():
        *tables, name = path.split("__")
        table = content
        for part in tables:
            table = table[part]
        table[name] = value
        if value is ...:
            del table[name]
    return yaml.safe_dump(content)


REFUSED = {
    "another mixer": (
        changed(mixer__name="gal"),
        r"mixer\.name='gal': no such mixer \(did you mean gla\?\); there",
    ),
    "a mixer without a name": (changed(mixer__name=...), r"mixer\.name=None: no such mixer; there are softmax"),
    "a mixer that is text": (changed(mixer="gla"), r"mixer='gla' must be a table of options$"),
    "another task": (changed(task__name="mqra"), r"task\.name='mqra': no such task \(did you mean mqar\?\)"),
    "a formerly used key": (changed(task__kind="mqar"), r"task\.kind: no such key \(now task\.name in tables"),
    "a misspelt key": (changed(train__stps=3), r"train\.stps: no such key \(did you mean steps\?\)$"),
    "a key of another mixer": (changed(mixer__window=3), r"mixer\.window: no such key"),
    "a key that is a number": ("3: 4\n", r"3: no such key$"),
    "no steps": (changed(train__steps=...), r"train\.steps is missing$"),
    "no task": (changed(task=...), r"task is missing$"),
    "a text for a table": (changed(train="all"), r"train='all' must be a table of options$"),
    "a text for a number": (changed(train__steps="3"), r"train\.steps='3' must be a whole number$"),
    "a fraction": (changed(train__steps=3.0), r"train\.steps=3\.0 must be a whole number$"),
    "a bool for a whole number": (changed(train__steps=True), r"train\.steps=True must be a whole number$"),
    "a bool for a number": (changed(train__warmup=True), r"train\.warmup=True must be a number$"),
    "1e-5": (
        changed(train__weight_decay=0.5).replace("0.5", "1e-5"),
        r"train\.weight_decay='1e-5' must be a number; YAML reads 1e-5 as text, and 1\.0e-5 as a number$",
    ),
    "1e-5 in a list": (
        changed(train__learning_rates=[0.5]).replace("0.5", "1e-5"),
        r"train\.learning_rates\[0\]='1e-5' must be a finite number above 0$",
    ),
    "null for a number": (changed(seed=None), r"seed=None must be a whole number$"),
    "a number for a flag": (changed(mixer__normalize_qk=1), r"mixer\.normalize_qk=1 must be true or false$"),
    "a number for a list": (changed(model__layout=3), r"model\.layout=3 must be a list$"),
    "a list in a list": (changed(model__layout=[[1]]), r"model\.layout\[0\]=\[1\] must be text$"),
    "an unknown choice": (changed(mixer__decay="slow"), r"mixer\.decay='slow' must be one of none, fixed, "),
    "a mixer of a hybrid": (changed(model__mixers={"a": {"name": "x"}}), r"model\.mixers\.a\.name='x': no such "),
    "an impossible task": (changed(task__pairs=20), r"task\.pairs=20 needs task\.length of at least 80"),
    "a second seed beyond int32": (changed(seed=2**31 - 1), r"seed=2147483647 must be at most 2147483646$"),
    "a table for a list": (
        changed(train__learning_rates={"a": 1}),
        r"train\.learning_rates=\{'a': 1\} must be auto",
    ),
}
DAMAGED = {
    "other options": (changed(seed=1), r"has the options of run \w+, not those of \w+$"),
    "nothing": ("# nothing", "not a table of options$"),
    "a list": ("- a\n", "not a table of options$"),
    "half a line": ("seed: [1,\n", r"not YAML \(line 2: expected the node content, but found '<stream end>'\)$"),
    "a Python object": (
        "seed: !!python/object/apply:os.getcwd []\n",
        r"not YAML \(line 1: could not determine a ",
    ),
    "no day": ("seed: 2025-02-31\n", r"not YAML \(day is out of range for month\)$"),
    "letters that YAML lacks": ("seed: \x00\n", r"not YAML \("),
}


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [(InputError, *row) for row in REFUSED.values()] + [(DamagedFile, *row) for row in DAMAGED.values()],
    ids=[*REFUSED, *DAMAGED],
)
def test_what_a_run_did_not_write_is_refused_in_one_line(kind, text, message, tmp_path):
    folder = save(default(), tmp_path, text)
    with pytest.raises(InputError) as refused:
        read_config(folder)
    assert type(refused.value) is kind
    line = str(refused.value)
    assert "\n" not in line
    assert re.match(f"{re.escape(str(folder / CONFIG))}: ({message})", line), line


def test_a_file_that_is_no_text_and_a_folder_without_one(tmp_path):
    folder = save(default(), tmp_path)
    (folder / CONFIG).write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedFile, match=r"config\.yaml: not YAML \('utf-8' codec can't decode"):
        read_config(folder)
    with pytest.raises(InputError, match=r"config\.yaml: no such file; the folder of a run has one$"):
        read_config(tmp_path)
