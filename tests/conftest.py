"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded outputs and real data that are not part of the project (MIXCLI_TEST_DATA, default `../shared`)."""
    folder = Path(os.environ.get("MIXCLI_TEST_DATA") or ROOT.parent / "shared")
    if not (folder / "golden").is_dir():
        pytest.skip(f"no recorded outputs: set MIXCLI_TEST_DATA to the folder that holds them ({folder} has none)")
    return folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """The clouds and the checkpoint that the project carries."""
    return ROOT / "sample_data"
