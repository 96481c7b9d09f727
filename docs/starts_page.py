"""Writes `docs/starts.md`, how every parameter of every mixer starts: `python docs/starts_page.py`.

The formulas of `docs/starts.yaml` are Python. Without a random variable a formula gives every element, from its
index `n`, or from `row` and `column` of a matrix; with one it gives quantiles.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import yaml
from flax import nnx
from omegaconf import OmegaConf
from scipy import stats

from sandbox.models.mixer import Mixer, MixerConfig
from sandbox.models.mixers import MIXERS

PAGE = pathlib.Path(__file__).with_name("starts.md")
TABLE = yaml.safe_load(PAGE.with_suffix(".yaml").read_text(encoding="utf-8"))
D_MODEL = 64
LAYERS = 2
"""Depth of the model, where a start depends on it."""

LEVELS = np.concatenate([[0.0], (np.arange(10_000) + 0.5) / 10_000, [1.0]])
"""Both ends of a distribution, around levels that stand for equal parts of it."""


def uniform(low: float, high: float) -> np.ndarray:
    """Quantiles of the uniform distribution from `low` to `high`."""
    return low + (high - low) * LEVELS


def within(bound: float) -> np.ndarray:
    """Quantiles of the uniform distribution within ±bound."""
    return uniform(-bound, bound)


def xavier(gain: float, sides: int) -> np.ndarray:
    """Quantiles of the uniform distribution of variance 2 gain² / sides, the sum of a matrix' sides."""
    return within(gain * (6 / sides) ** 0.5)


def normal(std: float) -> np.ndarray:
    """Quantiles of N(0, std²)."""
    return std * stats.norm.ppf(LEVELS)


def truncated_normal(std: float) -> np.ndarray:
    """Quantiles of a normal distribution cut at twice its own deviation, after which its deviation is `std`."""
    cut = stats.truncnorm(-2, 2)
    return std / cut.std() * cut.ppf(LEVELS)


def orthogonal(gain: float, size: int) -> np.ndarray:
    """Quantiles, nearly normal, of the elements of gain times an orthogonal matrix whose longer side is `size`."""
    return np.clip(normal(gain * size**-0.5), -gain, gain)


RANDOM = (uniform, within, xavier, normal, truncated_normal, orthogonal)
FUNCTIONS = {function.__name__: function for function in RANDOM} | {
    "inverse_softplus": lambda x: x + np.log(-np.expm1(-x)),
    **{name: getattr(np, name) for name in ("array", "exp", "expm1", "log", "pi")},
}
LINEAR = "truncated_normal(fan_in**-0.5)"
"""The start of a plain linear map, LeCun normal."""


@dataclasses.dataclass(frozen=True)
class Start:
    """How one parameter starts."""

    values: np.ndarray
    """Every element of the parameter, or, if these are random, the quantiles at `LEVELS`."""
    random: bool

    def statistics(self) -> tuple[float, float, float, float]:
        """Mean, standard deviation, minimum and maximum."""
        inner = self.values[1:-1] if self.random else self.values
        return float(inner.mean()), float(inner.std()), float(self.values.min()), float(self.values.max())

    def differs(self, drawn: np.ndarray) -> list[str]:
        """Names of the statistics in which an array that was drawn differs by more than five standard errors."""
        mean, std, low, high = self.statistics()
        drawn = np.asarray(drawn, np.float64)
        if not self.random:
            expected = np.broadcast_to(self.values, drawn.size).reshape(drawn.shape)
            return [] if np.allclose(drawn, expected, rtol=1e-5, atol=1e-6) else ["values"]
        kurtosis = stats.kurtosis(self.values[1:-1], fisher=False)
        slack = 1e-5 * max(1.0, std)
        agrees = {
            "mean": abs(drawn.mean() - mean) <= 5 * std / drawn.size**0.5,
            "std": abs(drawn.std() - std) <= 5 * std * ((kurtosis - 1) / 4 / drawn.size) ** 0.5,
            "min": drawn.min() >= low - slack,
            "max": drawn.max() <= high + slack,
        }
        return [name for name, good in agrees.items() if not good]


@dataclasses.dataclass(frozen=True)
class Row:
    """The table's entry for one parameter."""

    path: str
    ours: str
    """Formula of our start."""
    theirs: str | None
    """Formula of the authors' start. None: they do not say."""
    because: str | None
    """Key of the reason for a difference."""


def config_of(mixer: str) -> MixerConfig:
    """The mixer with the options under which the table describes it."""
    options = TABLE["mixers"][mixer].get("options", {})
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(MIXERS[mixer]), options))


def parameters(mixer: Mixer) -> dict[str, nnx.Variable]:
    """The parameters of a mixer by their paths."""
    flat = nnx.to_flat_state(nnx.state(mixer, nnx.Param))
    return {".".join(map(str, path)): parameter for path, parameter in flat}


def by_path(entries: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a mapping whose keys may name several parameters."""
    for paths, entry in entries.items():
        for path in paths.split():
            yield path, entry


def rows_of(mixer: str) -> Iterator[Row]:
    """The rows of a mixer."""
    entry = TABLE["mixers"][mixer]
    theirs = entry.get("linear")
    for path, row in by_path(entry["parameters"]):
        if row == "linear":
            yield Row(path, LINEAR, theirs, "linear" if theirs else None)
        elif isinstance(row, str):
            yield Row(path, row, row, None)
        else:
            options = Row(path, **row)  # which refuses the second half of a formula that YAML cut at a comma
            yield dataclasses.replace(options, ours=LINEAR) if options.ours == "linear" else options


def start(formula: str, shape: tuple[int, ...], config: MixerConfig) -> Start:
    """The start that a formula describes, for a parameter of this shape of a mixer with this config."""
    code = compile(formula, formula, "eval")
    size, columns = int(np.prod(shape)), shape[-1]
    index = np.arange(size)
    sizes = {"D": D_MODEL, "layers": LAYERS, "size": size, "columns": columns, "fan_out": columns}
    sizes |= {"fan_in": shape[-2]} if len(shape) > 1 else {}
    column = index % columns
    side = np.linspace(-1, 1, columns)[column]
    indices = {"n": index, "row": index // columns, "column": column, "zigzag": side * np.abs(side)}
    with np.errstate(divide="ignore"):  # a logarithm may start at -∞
        values = eval(code, FUNCTIONS | vars(config) | sizes | indices)
    random = any(function.__name__ in code.co_names for function in RANDOM)
    return Start(np.asarray(values, np.float64), random)


HEADER = f"""# How every parameter starts, ours and theirs

Generated from `docs/starts.yaml` by `python docs/starts_page.py`. Tests check that the page is up to date, that
every parameter of every mixer starts as it says, and that the layers of transformers and PyTorch do.

Mean, std (standard deviation), min and max are those of the distribution that a start is drawn from, or of a start
without chance, at `model.d_model={D_MODEL}`, {LAYERS} layers, and the options named with each mixer. In a formula,

* `uniform(a, b)` lies between a and b, `within(b)` between -b and b; `xavier(g, m)` is uniform with variance
  2 g² / m; `normal(s)` is N(0, s²); `truncated_normal(s)` is cut at twice its own deviation, which makes that s;
  `orthogonal(g, m)` is g times an orthogonal matrix whose longer side is m;
* `n` is the index of an element; `row` and `column` are those in a matrix, whose sides are `fan_in` and `fan_out`;
  `zigzag` is x |x| for x evenly from -1 to 1 over a row; `D` is the width; other names are options of the mixer;
* `linear` marks a plain linear map: `{LINEAR}`, LeCun normal.

*Theirs* is the start of the authors' layer by itself, where it differs. The code of a whole model often draws its
linear maps anew, and sometimes its convolutions: from N(0, 0.02²) in flash-linear-attention, transformers, safari
and Zoology. For linear maps that is `model.dense=normal` here.

Reasons for a difference, as named in its row:

"""

COLUMNS = """
| parameter | shape | start | mean | std | min | max | theirs |
| --- | --- | --- | ---: | ---: | ---: | ---: | --- |
"""


def page() -> str:
    """The whole page."""
    reasons = "".join(f"* {key}: {text}\n" for key, text in TABLE["reasons"].items())
    return HEADER + reasons + "".join(map(_section, TABLE["mixers"]))


def _section(mixer: str) -> str:
    entry, config = TABLE["mixers"][mixer], config_of(mixer)
    options = ", ".join(f"`mixer.{key}={value}`" for key, value in entry.get("options", {}).items())
    text = f"\n## {mixer}\n\nSource: {entry['source']}.{f' Options: {options}.' if options else ''}\n"
    if departures := entry.get("transformers"):
        each = [f"`{path}` from `{formula}`" for path, formula in by_path(departures)]
        text += f"transformers departs from it, and starts {', '.join(each)}.\n"
    made = nnx.eval_shape(lambda: config.make(D_MODEL, rngs=nnx.Rngs(0)))
    shapes = {path: parameter.shape for path, parameter in parameters(made).items()}
    return text + COLUMNS + "".join(_line(row, shapes[row.path], config) for row in rows_of(mixer))


def _line(row: Row, shape: tuple[int, ...], config: MixerConfig) -> str:
    statistics = [f"{round(value, 9) + 0.0:.4g}" for value in start(row.ours, shape, config).statistics()]
    theirs = f"`{row.theirs}` ({row.because})" if row.because else ""
    ours = "linear" if row.ours == LINEAR else row.ours
    cells = [f"`{row.path}`", "×".join(map(str, shape)), f"`{ours}`", *statistics, theirs]
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
