"""What is there of a dataset under construction, said by its journal, and what may be done with it."""

from contextlib import closing

import numpy as np
import pytest

from mixcli.data.fields import Mixing, PerPoint, cloud_fields
from mixcli.datasets.digest import WindowDigest
from mixcli.errors import UsageError
from mixcli.pipeline.part_output import PartOutput
from mixcli.pipeline.plan import Plan
from mixcli.pipeline.report import Report

FIELDS = cloud_fields(3, Mixing(2), PerPoint(point_weight=False))
RECIPE = {"seed": 0}


def output(folder):
    return PartOutput(folder / "mixed.h5", "h5", FIELDS, Plan(np.zeros(8, int), window=4))


def record_of(out, window, batch):
    """Fill a window of zeros -> its line of the journal."""
    rows = {f.name: np.zeros((len(window), *f.shape), f.dtype) for f in FIELDS}
    digest, first = WindowDigest(FIELDS), out.plan.first_row(window)
    out.write(window.index, first, rows, digest)
    told = {"window": window.index, "first_row": first, "rows": len(window), "batch": batch, **digest.entries()}
    return {**told, "judged": 0, "correct": 0, "uniform_saliency": 0, "pairing_fallback": 0, "skipped": []}


@pytest.fixture
def half(tmp_path):
    """A dataset of two windows, of which the second is there."""
    with closing(output(tmp_path)) as out:
        assert out.open(resume=False, overwrite=False) is None
        out.begin(RECIPE, 8)
        out.finish_window(record_of(out, out.plan.windows[1], batch=3))
        assert out.kept().startswith("1 of 2 windows are kept in ")
    return tmp_path


def test_an_earlier_run_is_gone_on_with_at_the_batch_that_it_came_down_to(half):
    notes = []
    with closing(output(half)) as out:
        assert out.open(resume=True, overwrite=False) == 3
        out.resume(RECIPE, Report(note=notes.append))
        assert [window.index for window in out.todo()] == [0] and notes == ["resuming: 1 of 2 windows are there"]
        out.finish_window(record_of(out, out.plan.windows[0], batch=3))
        out.seal({"recipe": RECIPE}, None)
    assert sorted(path.name for path in half.iterdir()) == ["mixed.h5"]


def test_it_is_touched_on_request_only(half):
    with closing(output(half)) as out, pytest.raises(UsageError, match="holds 1 windows of an earlier run; --resume"):
        out.open(resume=False, overwrite=False)
    with closing(output(half)) as out:
        assert out.open(resume=False, overwrite=True) is None
    with closing(output(half)) as out, pytest.raises(UsageError, match="the earlier run was another: seed 1 is not 0"):
        out.open(resume=True, overwrite=False)
        out.resume({"seed": 1}, Report())


def test_what_holds_nothing_leaves_nothing(tmp_path):
    with closing(output(tmp_path)) as out:
        out.open(resume=False, overwrite=False)
        out.begin(RECIPE, 8)
        assert out.kept() == ""
    assert list(tmp_path.iterdir()) == []


def test_the_journal_is_there_between_opening_and_sealing(tmp_path):
    with pytest.raises(AssertionError, match="not open"):
        _ = output(tmp_path).journal
