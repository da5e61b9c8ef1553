"""A finished dataset by its manifest: its windows, and what reading it loads."""

import subprocess
import sys

import numpy as np
import pytest

from mixcli.datasets.dataset import Dataset, Layout, WrittenWindow, spread
from mixcli.errors import MixError

ABOVE = {"sources", "models", "saliency", "methods", "pipeline", "training", "checks", "views", "cli"}
HEAVY = {"torch", "h5py", "PIL", "open3d", "numba", "scipy", "click"}
CHECK = """
import sys
from mixcli.datasets.dataset import Dataset
path, allowed = sys.argv[1], set(sys.argv[2:])
if path:
    from pathlib import Path
    dataset = Dataset(Path(path))
    for f in dataset.fields:
        dataset.file.read(f.name, 0, 3)
ours = [name for name in sys.modules if name.startswith("mixcli.")]
writers = [name for name in ours if name.endswith("_sink")]
assert not writers, writers
above = [name for name in ours if name.split(".")[1] in {above!r}]
assert not above, above
heavy = {heavy!r} & set(sys.modules)
assert not heavy - allowed, heavy
"""


@pytest.mark.parametrize(
    ("out", "allowed"),
    [(None, ()), ("mixed.npz", ()), ("mixed", ()), ("mixed.h5", ("h5py",))],
)
def test_reading_loads_no_writer_no_run_and_nothing_heavy(tiny, out, allowed):
    path = str(tiny.mix(out).path) if out else ""
    code = CHECK.format(above=ABOVE, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code, path, *allowed], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_windows_have_names(tiny):
    dataset = Dataset(tiny.mix("mixed.h5", k=2, window=8, include_originals=True).path)
    first, *_, last = dataset.windows
    assert isinstance(first, WrittenWindow) and (first.index, first.first) == (0, 0)
    assert last.first + last.rows == dataset.mixes
    assert dataset.digest(first) == first.sha256
    covered = np.concatenate([np.arange(at, at + n) for w in dataset.windows for at, n in dataset.blocks(w)])
    assert sorted(covered.tolist()) == list(range(dataset.rows)), "every row is in one window"


@pytest.mark.parametrize("out", ["mixed.h5", "mixed.npz", "mixed"])
def test_a_folder_would_be_laid_out_as_clouds_are(tiny, out):
    dataset = Dataset(tiny.mix(out).path)
    assert dataset.layout == Layout("folder", None) and dataset.file.pictures is None
    assert dataset.lossy_files(0, 3) == {}


def test_a_field_of_another_type_is_told_with_its_address(tiny):
    import h5py

    path = tiny.mix("mixed.h5").path
    with h5py.File(path, "r+") as file:
        label = file["label"][()].astype("<i4")
        del file["label"]
        file["label"] = label
    with pytest.raises(MixError) as error:
        Dataset(path).require()
    assert error.value.address == str(path) and error.value.reason == "'label' is not as the manifest says"


def test_rows_are_spread_evenly():
    assert spread(5, None).tolist() == spread(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert spread(1000, 4).tolist() == [0, 333, 666, 999]
