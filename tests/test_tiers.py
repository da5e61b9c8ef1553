"""The last lines of a run say what ran, what was skipped and why, and what was left to the other tier."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiers

TESTS = """
import pytest

def test_quick(): pass

@pytest.mark.parametrize("i", range(3))
def test_skipped(i): pytest.skip("no display")

@pytest.mark.skipif(True, reason="no network")
def test_skipped_too(): pass

@pytest.mark.slow
@pytest.mark.parametrize("i", range(4))
def test_slow(i): assert i

@pytest.fixture
def broken(): raise ValueError

@pytest.mark.slow
def test_broken(broken): pass
"""


def last_lines(folder: Path, *arguments: str) -> list[str]:
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tiers", "-p", "no:cacheprovider", "-q", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(Path(tiers.__file__).parent)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environ)
    _, _, end = done.stdout.partition("= what ran =")
    assert end, done.stdout + done.stderr
    return end.splitlines()[1:]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_said(tmp_path, workers):
    quick = last_lines(tmp_path, "--tier", "quick", "-n", workers)
    assert quick[:4] == [
        "1 tests ran, none failed; 4 were skipped",
        "  3 skipped: no display",
        "  1 skipped: no network",
        "5 were left to `make test-slow`",
    ]
    slow = last_lines(tmp_path, "--tier", "slow", "-n", workers)
    assert slow[:2] == ["4 tests ran, failed: 1, errors: 1; 0 were skipped", "5 were left to `make test`"]


def test_all_is_the_default(tmp_path):
    assert last_lines(tmp_path, "-n", "0")[0] == "5 tests ran, failed: 1, errors: 1; 4 were skipped"
