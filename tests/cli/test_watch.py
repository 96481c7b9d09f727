"""`sandbox-report --watch`: the page is written again when a run ends, and left whole at the end."""

import pytest
from invented_runs import write_run

from sandbox.cli import report, watch
from sandbox.report.page import reload_tag

TAG = reload_tag(watch.SECONDS)


@pytest.mark.slow(seconds=10)
def test_the_page_follows_the_runs_until_it_is_interrupted(tmp_path, monkeypatch, capsys):
    page = tmp_path / "report" / "report.html"
    seen = []

    def look(_):
        seen.append(page.read_text() if page.is_file() else "")
        number = len(seen)
        if number == 1:  # there was no run to report on
            write_run(tmp_path, "a", {(0.1, 0): 0.5}, selected=0.1)
            (tmp_path / "b").mkdir()
            (tmp_path / "b" / "config.yaml").write_text("seed: 0\n")
        elif number == 3:  # and nothing had changed since
            (tmp_path / "b" / "config.yaml").unlink()
            (tmp_path / "b").rmdir()
            write_run(tmp_path, "b", {(0.1, 0): 0.7}, selected=0.1)
        elif number == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", look)
    assert report.main([str(tmp_path), "--watch", "--formats", "svg"]) == 0
    nothing, first, same, second = seen
    assert (nothing, first) == ("", same)
    assert TAG in first
    assert "1 run\nnot finished" in first
    assert TAG in second
    assert "0 runs\nnot finished" in second
    assert "2 runs with 2" in second
    assert page.read_text() == second.replace(f"{TAG}", "")
    assert capsys.readouterr().out.count("report.html") == 2


def test_a_table_is_not_watched(tmp_path, capsys):
    (tmp_path / "records.csv").write_text("")
    with pytest.raises(SystemExit) as stopped:
        report.main([str(tmp_path / "records.csv"), "--watch"])
    assert stopped.value.code == 2
    assert "--watch" in capsys.readouterr().err
