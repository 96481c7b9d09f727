"""`sandbox-report --watch`: the report is written again whenever a run ends, while a sweep goes on."""

import datetime
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from sandbox.cli.reproduce import commands
from sandbox.counted import counted
from sandbox.files import write_atomically
from sandbox.report import write_report
from sandbox.report.page import Watching, reload_tag
from sandbox.report.write import PAGE
from sandbox.run_folder import SUMMARY, finished_runs, unfinished_runs

SECONDS = 5
"""Between two looks at the folder, and between two times that the page loads itself."""


def watch(source: pathlib.Path, out: pathlib.Path, options: Mapping[str, Any]) -> None:
    """Writes the report on the runs of `source` into `out` whenever runs end, until Ctrl-C.

    A sweep makes the folder of a run when it starts it, so that nothing here says when the last one has ended.
    At the end the page stops loading itself. Raises as `write_report` does.
    """
    seen: Mapping[pathlib.Path, float] = {}
    print(f"{source}: the report is written whenever runs end; Ctrl-C ends this")
    try:
        while True:
            ended = {run: (run / SUMMARY).stat().st_mtime for run in finished_runs(source)}
            if ended and ended != seen:
                now = Watching(
                    f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}", len(unfinished_runs(source)), SECONDS
                )
                write_report(source, out, commands=commands, watching=now, **options)
                print(f"{now.written}: {counted(len(ended), 'run')} finished, {now.unfinished} not; {out / PAGE}")
                seen = ended
            time.sleep(SECONDS)
    except KeyboardInterrupt:
        page = out / PAGE
        if seen and page.is_file():
            write_atomically(page, page.read_text(encoding="utf-8").replace(reload_tag(SECONDS), "", 1))
