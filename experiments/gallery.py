"""Every figure and table of the experiments, from their committed records, and the gallery that shows them.

For each folder beside this file: what its `draw.py` writes (`write_figures(out)`), or else the files of the report
on its `records.csv`, as its config asks for it, that are there already; then `claims.csv` of all experiments
(`sandbox.report.claims`) and `README.md`, the gallery. Run: `python experiments/gallery.py`
"""

import collections
import pathlib
import re
import runpy
import shutil
import tempfile

import pandas as pd
import yaml

from sandbox.cli.reproduce import commands
from sandbox.files import write_atomically
from sandbox.report import write_report
from sandbox.report.claims import AGREES, CLAIMS, COLUMNS, DISAGREES, NOT_REACHED, NOT_SETTLED, claims_table
from sandbox.report.finding import read_finding
from sandbox.results import RECORDS
from sandbox.tables import to_csv

HERE = pathlib.Path(__file__).parent
CONFIGS = HERE.parent / "conf" / "experiment"
FIRST = "quickstart"
_LINK = re.compile(r"\]\((?!https?://)(\.\./)?")
"""The beginning of a link of a README to its own folder, or by `../` to another one."""
PUBLISHED = "published.csv"
"""What others have printed, beside our records: by itself it is no result."""


def folders() -> list[pathlib.Path]:
    """The folders of all experiments."""
    return [path.parent for path in sorted(HERE.glob("*/README.md"))]


def draw(folder: pathlib.Path, out: pathlib.Path) -> list[str]:
    """Writes the figures and tables of an experiment below `out`; their names, of those that it keeps."""
    config = CONFIGS / f"{folder.name}.yaml"
    if (folder / "draw.py").is_file() and _has_run(folder):
        runpy.run_path(str(folder / "draw.py"))["write_figures"](out)
    elif (folder / RECORDS).is_file():
        options = yaml.safe_load(config.read_text()).get("report", {}) if config.is_file() else {}
        write_report(folder / RECORDS, out, commands=commands, **options)
    written = [path.relative_to(out) for path in sorted(out.rglob("*")) if path.is_file()]
    return [str(name) for name in written if (folder / name).is_file()]


def all_claims() -> pd.DataFrame:
    """The claims of all experiments that have run."""
    ready = [folder for folder in folders() if (folder / CLAIMS).is_file() and (folder / RECORDS).is_file()]
    tables = [claims_table(folder) for folder in ready]
    return pd.concat([pd.DataFrame(columns=COLUMNS), *tables], ignore_index=True)


def page(claims: pd.DataFrame) -> str:
    """The gallery: each experiment with its question, figure and finding, and the claims."""
    parts = [
        "# Experiments\n\nEach folder is a question: its README has the method, the command, the finding and its "
        "limits. Every figure and table here, and this page, come from the committed records by "
        "`uv run python experiments/gallery.py`.\n"
    ]
    answered = [folder for folder in folders() if _has_run(folder)]
    parts += [_section(folder) for folder in sorted(answered, key=lambda folder: folder.name != FIRST)]
    parts += [_claims(claims)] if len(claims) else []
    waiting = [folder for folder in folders() if folder not in answered]
    lines = [f"* [{folder.name}]({folder.name}/README.md): {_question(folder)}" for folder in waiting]
    return "\n".join([*parts, "## Not run yet\n", *lines, ""] if lines else parts)


def _has_run(folder: pathlib.Path) -> bool:
    return any(path.name != PUBLISHED for path in folder.rglob("*.csv"))


def _question(folder: pathlib.Path) -> str:
    return (folder / "README.md").read_text().splitlines()[0].removeprefix("# ")


def _section(folder: pathlib.Path) -> str:
    text = (folder / "README.md").read_text()
    lines = [f"## [{folder.name}]({folder.name}/README.md)", f"*{_question(folder)}*"]
    if figure := re.search(r"^!\[(.*?)\]\((\S+)\)$", text, re.MULTILINE):
        lines.append(f"![{figure[1]}]({folder.name}/{figure[2]})")
    if finding := read_finding(folder):
        lines.append(_LINK.sub(lambda link: "](" if link[1] else f"]({folder.name}/", finding.in_short))
    if (folder / "report.html").is_file():
        lines.append(f"[report.html]({folder.name}/report.html) has all of it, to look at from any side.")
    return "\n\n".join(lines) + "\n"


def _claims(claims: pd.DataFrame) -> str:
    verdicts = collections.Counter(claims["verdict"])
    plural = {AGREES: "agree", DISAGREES: "disagree"}
    order = (AGREES, DISAGREES, NOT_SETTLED, NOT_REACHED)
    counts = ", ".join(f"{verdicts[name]} {plural.get(name, name)}" for name in order)
    lines = [
        f"## Claims of papers beside our results\n\n{len(claims)} claims: {counts}. A claim says where our value "
        "should lie; it agrees if the whole 95 % interval over seeds lies there, disagrees if none of it does, "
        "and is not settled otherwise. Accuracies and their differences are shares, 0 to 1. "
        "[claims.csv](claims.csv) has the notes and the commands.\n",
        "| claim | source | printed | wanted | ours | verdict |\n| --- | --- | --- | --- | --- | --- |",
    ]
    for row in claims.to_dict("records"):
        ours = "" if row["ours"] != row["ours"] else f"{row['ours']:.3g}"
        interval = f" ({row['low']:.3g} to {row['high']:.3g})" if row["low"] == row["low"] else ""
        cells = [row["claim"], row["source"], row["printed"], row["wanted"], ours + interval, row["verdict"]]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draws everything again, in place."""
    for folder in folders():
        with tempfile.TemporaryDirectory() as scratch:
            out = pathlib.Path(scratch)
            kept = draw(folder, out)
            for name in kept:
                shutil.copyfile(out / name, folder / name)
        print(f"{folder.name}: {len(kept)} files")
    claims = all_claims()
    if len(claims):
        write_atomically(HERE / "claims.csv", to_csv(claims))
    write_atomically(HERE / "README.md", page(claims))


if __name__ == "__main__":
    main()
