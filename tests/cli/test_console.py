"""The progress bar: what it counts, and what it leaves on the terminal."""

import io

import pytest

from mixcli.cli.console import Console
from mixcli.pipeline.report import Report


class Terminal(io.StringIO):
    def isatty(self):
        return True


def counted(monkeypatch, unit):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    with Console(quiet=False) as console:
        report = console.report()
        if unit:
            report.of(unit)
        report.begin(10, 0)
        report.progress(10)
        console.bar.refresh()
    return terminal.getvalue()


@pytest.mark.parametrize(("told", "unit"), [("image", "image"), ("cloud", "cloud"), (None, "row")])
def test_the_unit_is_what_was_told(monkeypatch, told, unit):
    assert f"{unit}/s" in counted(monkeypatch, told)


def test_no_line_stays(monkeypatch):
    assert "\n" not in counted(monkeypatch, "image")


def test_a_run_tells_what_it_counts(gallery, tiny):
    told = []
    gallery.mix("cutmix", "mixed.h5", report=Report(of=told.append))
    tiny.mix("mixed2.h5", report=Report(of=told.append))
    assert told == ["image", "cloud"]
