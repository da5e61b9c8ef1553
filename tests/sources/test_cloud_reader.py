"""Prepared clouds: how many points, what they carry, and what is wrong with some."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import write_h5

import mixcli.sources.cloud_reader
from mixcli.errors import BadSample, UsageError
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.cloud_reader import Carried, Preparation, Reader
from mixcli.sources.remarks import Remarks
from mixcli.sources.source import CloudSource, open_source


class Ragged:
    """A part whose clouds are all of another size, with normals and part labels."""

    path, files, names, notes, class_names, points = Path("ragged"), [], (), (), None, None
    has_normals = has_seg = random_access = True
    drops_background = preload = False
    shares = None
    remarks = Remarks()

    def __init__(self, *sizes):
        rng = np.random.default_rng(0)
        self.labels = np.zeros(len(sizes), np.int64)
        self.clouds = [s if isinstance(s, str) else rng.uniform(-1, 1, (s, 7)).astype(np.float32) for s in sizes]
        for cloud in self.clouds:
            if not isinstance(cloud, str):
                cloud[:, 3:6] /= np.linalg.norm(cloud[:, 3:6], axis=1, keepdims=True)
                cloud[:, 6] = np.arange(len(cloud))

    def __len__(self):
        return len(self.clouds)

    def address(self, row):
        return f"ragged/{row}.ply", None

    def read(self, rows, wanted):
        channels = [0, 1, 2, *([3, 4, 5] if wanted.normals else []), *([6] if wanted.seg else [])]
        clouds = self.clouds[rows] if isinstance(rows, slice) else [self.clouds[r] for r in rows]
        return [c if isinstance(c, str) else c[:, channels] for c in clouds]


def reader_of(source, spool=None, note=lambda sentence: None, normals=False, seg=False, parts=None, **how):
    return Reader(source, 1, Preparation(**how), Carried(normals, seg, parts), spool=spool, note=note)


def reader(*sizes, **settings):
    part = Ragged(*sizes)
    source = CloudSource.__new__(CloudSource)
    source.parts, source.paths, source.labels = [part], [part.path], part.labels
    source.starts = np.array([0, len(part)])
    return part, reader_of(source, **settings)


def flat(path, n=4, points=16, seed=0, **settings):
    clouds = np.random.default_rng(seed).uniform(-1, 1, (n, points, 3)).astype(np.float32)
    return open_source([str(write_h5(path, clouds, np.zeros(n, np.uint8), **settings))])[0]


def test_clouds_of_other_sizes_are_brought_to_the_points_and_it_is_said_once():
    notes = []
    part, read = reader(40, 8, 300, points=8, note=notes.append)
    found = read.read(np.array([2, 0, 1]))
    assert (found.xyz[0] == part.clouds[2][:8, :3]).all() and (found.xyz[2] == part.clouds[1][:, :3]).all()
    assert len(notes) == 1 and "more than 8 points: 8 are taken (--subsample first)" in notes[0]


def test_too_few_points():
    part, read = reader(5, 8, points=8)
    read.read(np.arange(2))
    assert read.bad == {0: "5 points, --points 8 asks for more; --pad repeat repeats points"}
    assert str(read.error(0)).startswith("ragged/0.ply: 5 points, ")
    part, read = reader(5, 8, points=8, pad="repeat")
    found = read.read(np.arange(2))
    assert not read.bad and (found.xyz[0] == part.clouds[0][[0, 1, 2, 3, 4, 0, 1, 2], :3]).all()


def test_a_cloud_that_cannot_be_read_is_bad_and_the_others_are_not():
    _, read = reader(8, "cut short", 8, points=8)
    found = read.read(np.arange(3))
    assert read.bad == {1: "cut short"} and not found.xyz[1].any() and found.xyz[2].any()


def test_normals_and_part_labels_stay_with_their_points():
    part, read = reader(50, 60, points=16, subsample="random", normals=True, seg=True)
    found = read.read(np.array([1, 0]))
    which = found.seg[0]
    assert found.seg.dtype == np.int64 and len(set(which)) == 16
    assert (found.normals[0] == part.clouds[1][which, 3:6]).all() and (found.xyz[0] == part.clouds[1][which, :3]).all()


def test_part_labels_that_the_checkpoint_does_not_know():
    _, read = reader(8, 4, points=4, seg=True, pad="repeat", parts=range(0, 4))
    read.read(np.arange(2))
    assert not read.bad
    _, read = reader(8, points=8, seg=True, parts=range(0, 4))
    read.read(np.arange(1))
    assert read.bad == {0: "a part label outside the checkpoint's parts 0..3"}


def test_fewer_points_than_asked_for_in_the_whole_file(tmp_path):
    source = flat(tmp_path / "a.h5")
    with pytest.raises(UsageError, match="clouds of 16 points; --points 32 asks for more, --pad repeat repeats"):
        reader_of(source, points=32)
    padded = reader_of(source, points=32, pad="repeat").read(np.arange(4)).xyz
    assert (padded[:, :16] == padded[:, 16:]).all()


def test_the_source_is_decoded_once(tmp_path, monkeypatch):
    source, rows = flat(tmp_path / "a.h5", n=64), []
    original = source.parts[0].read
    monkeypatch.setattr(source.parts[0], "read", lambda r, *a: rows.append(len(range(64)[r])) or original(r, *a))
    read = reader_of(source, points=16)
    read.load()
    for window in np.array_split(np.random.default_rng(0).permutation(64), 8):
        read.read(window)
    assert sum(rows) == 64


def test_subsampling(tmp_path):
    source = flat(tmp_path / "a.h5", points=32)
    raw = source.parts[0].read(slice(0, 4), Wanted(32, True))
    read_as = lambda how, seed=0: reader_of(source, points=8, subsample=how, seed=seed).read(np.arange(4)).xyz  # noqa: E731
    assert (read_as("first") == raw[:, :8]).all()
    for how in ("random", "fps"):
        found = (read_as(how)[:, :, None] == raw[:, None]).all(3)
        assert (found.sum(2) == 1).all() and (found.sum(1) <= 1).all(), "points of the cloud, none twice"
    assert (read_as("random", 0) != read_as("random", 1)).any()
    one = reader_of(source, points=8, subsample="random").read(np.array([2])).xyz
    assert (one[0] == read_as("random")[2]).all(), "a cloud's points do not depend on its window"


def test_fps_is_spread_out(tmp_path):
    source = flat(tmp_path / "a.h5", points=256)
    gap = lambda c: np.sort(np.linalg.norm(c[:, None] - c[None], axis=2), 1)[:, 1].min()  # noqa: E731
    fps, first = (reader_of(source, points=32, subsample=how).read(np.array([0])).xyz[0] for how in ("fps", "first"))
    assert gap(fps) > 2 * gap(first)


def test_farthest_points_without_numba(monkeypatch):
    from mixcli.data import prepared_clouds as clouds

    points = np.random.default_rng(0).uniform(-1, 1, (100, 3)).astype(np.float32)
    compiled = clouds.farthest(points, 40, 7)
    monkeypatch.setattr(clouds, "have_numba", lambda: False)
    assert (clouds.farthest(points, 40, 7) == compiled).all() and compiled[0] == 7


def test_unit_sphere(tmp_path):
    clouds = np.random.default_rng(0).uniform(5, 90, (3, 16, 3)).astype(np.float32)
    clouds[2] = 7.0  # a cloud that is one point has no radius
    source = open_source([str(write_h5(tmp_path / "a.h5", clouds, np.zeros(3, int)))])[0]
    found = reader_of(source, points=16, normalize="unit-sphere").read(np.arange(3)).xyz
    assert np.allclose(found.mean(1), 0, atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=2).max(1), [1, 1, 0], atol=1e-6)


def test_normals(tmp_path):
    rng = np.random.default_rng(0)
    clouds, normals = rng.uniform(-1, 1, (2, 4, 16, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    source = open_source([str(write_h5(tmp_path / "a.h5", clouds, np.zeros(4, int), normal=normals))])[0]
    found = reader_of(source, points=8, normals=True).read(np.array([3, 1]))
    assert (found.values == np.concatenate([clouds, normals], 2)[[3, 1], :8]).all()
    with pytest.raises(UsageError, match="normals are wanted"):
        reader_of(flat(tmp_path / "b.h5"), points=8, normals=True)


def test_a_bad_value_in_an_unused_point_does_no_harm(tmp_path):
    clouds = np.zeros((4, 16, 3), np.float32)
    clouds[1, 12] = np.nan
    source = open_source([str(write_h5(tmp_path / "a.h5", clouds, np.zeros(4, int)))])[0]
    reader_of(source, points=8).load()
    with pytest.raises(BadSample, match=r"\[1\]: NaN"):
        reader_of(source, points=16).load()


@pytest.mark.parametrize("layout", [{}, {"chunks": (3, 8, 3), "compression": "gzip"}, {"chunks": (1, 16, 3)}])
@pytest.mark.parametrize("keep", [True, False])
def test_windows_hold_the_right_clouds_however_they_are_read(tmp_path, monkeypatch, layout, keep):
    monkeypatch.setattr(mixcli.sources.cloud_reader, "KEEP_BYTES", 2**31 if keep else 0)
    monkeypatch.setattr(mixcli.sources.cloud_reader, "STRIDE", 5)
    clouds = np.random.default_rng(0).uniform(-1, 1, (20, 16, 3)).astype(np.float32)
    for i, part in enumerate(np.split(clouds, 2)):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file.create_dataset("data", data=part, **layout)
            file["label"] = np.zeros(10, np.uint8)
    source = open_source([str(tmp_path / "*.h5")])[0]
    read = reader_of(source, points=8, spool=tmp_path)
    read.load()
    assert (read.kept is None) == (not keep and layout.get("chunks", (1,))[0] == 1)
    order = np.random.default_rng(1).permutation(20)
    assert (read.read(order).xyz == clouds[order, :8]).all()
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".h5", ".h5"], "the spool has no name"
