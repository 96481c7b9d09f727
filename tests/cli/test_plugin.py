"""The sweeper as a plugin: Hydra finds it, other processes can unpickle it, and it starts quickly."""

import subprocess
import sys

FIND = """
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
(GridSweeper,) = (c for c in Plugins.instance().discover(Sweeper) if c.__name__ == "GridSweeper")
"""


def python(program, *, stdin=b""):
    return subprocess.run([sys.executable, "-c", program], input=stdin, capture_output=True, check=True).stdout


def test_hydra_finds_it_without_importing_anything_heavy():
    """Every Hydra application in the environment imports the plugin when it starts."""
    imported = python(f"{FIND}\nimport sys; print(*sys.modules)").decode().split()
    assert "hydra_plugins.sandbox_sweeper.grid_sweeper" in imported
    assert not {"jax", "pandas", "sandbox"} & set(imported)


def test_another_process_can_unpickle_it():
    dump = 'import pickle, sys; sys.stdout.buffer.write(pickle.dumps(GridSweeper([{"mixer": "outer"}])))'
    pickled = python(f"{FIND}\n{dump}")
    read = python("import pickle, sys; print(pickle.load(sys.stdin.buffer).grids)", stdin=pickled)
    assert read.decode().strip() == "[{'mixer': 'outer'}]"


def test_other_plugins_stand_beside_it(tmp_path):
    """Hydra's namespace has a part in each package that brings a plugin; ours must not hide the others."""
    other = tmp_path / "hydra_plugins" / "another"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("from hydra.plugins.search_path_plugin import SearchPathPlugin\n")
    program = f"import sys; sys.path.append({str(tmp_path)!r})\n{FIND}\nimport hydra_plugins.another"
    python(program)


def test_an_interpolation_in_a_grid_is_that_of_each_run():
    program = """
import sys, unittest.mock
from sandbox.cli.main import main
with unittest.mock.patch("sandbox.cli.sweep.start") as start:
    sys.argv = ["sandbox", "experiment=zoology_fig2", "scale=paper", "mixer=h3", "model.d_model=64"]
    main()
print(sorted((run.task.length, run.mixer.d_state) for run in start.call_args.args[0].values()))
"""
    assert python(program).decode().splitlines()[-1] == "[(64, 64), (128, 128), (256, 256), (512, 512)]"
