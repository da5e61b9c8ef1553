"""Datasets that an earlier mixcli wrote are read, verified, made again, resumed, converted and merged by this one.

They lie in `tests/recorded/old.tar.gz`; `make_old.py` beside it says what made them. Where a decoder of pictures, a
network or a square root (of normals) has a part, last bits may differ between versions and processors, so those are
compared closely, not exactly.
"""

from __future__ import annotations

import json
import tarfile
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, rows_of
from make_old import ARCHIVE, DATASETS, INTERRUPTED

import mixcli
from mixcli.checks.inspect import inspect
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.pipeline.merge import merge

LOSSY = ("jpg", "webp")
NETWORK = ("sagemix", "puzzlemix", "manifoldmixup")
EVERY = [*DATASETS, "stream"]


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    """The archive, unpacked; what a test writes has a name of its own."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def method_of(name: str) -> str:
    return DATASETS[name][0] if name in DATASETS else "cutmix"


def source_of(old: Path, name: str) -> list[str]:
    return [str(old / (DATASETS[name][1] if name in DATASETS else "photos"))]


def ckpt_of(old: Path, name: str) -> str | None:
    ckpt = DATASETS[name][2].get("ckpt") if name in DATASETS else None
    return ckpt and str(old / ckpt)


def rows(path: Path) -> dict[str, np.ndarray]:
    with closing(Dataset(path).require()) as dataset:
        return dataset.read(0, dataset.rows)


def require_same(found: Path, expected: Path, name: str) -> None:
    """Equal rows; close ones where last bits are nobody's promise."""
    mine, theirs = rows(found), rows(expected)
    assert mine.keys() == theirs.keys()
    exact = method_of(name) not in NETWORK and not any(form in name for form in LOSSY)
    for field, values in theirs.items():
        if exact and field != "normal":
            assert mine[field].tobytes() == values.tobytes(), field
        off = 2 if values.dtype == np.uint8 else 1e-5 * max(1.0, float(np.nanmax(np.abs(values))))
        assert np.allclose(mine[field].astype(np.float64), values, rtol=0, atol=off, equal_nan=True), field


def test_the_archive_is_what_the_table_says(old):
    made = {p.name for p in old.iterdir()} - {"clouds.h5", "photos", "dgcnn.pt", "resnet.pt"}
    assert {name for name in made if not name.startswith("part_")} == set(EVERY)
    assert {name for name in made if name.endswith(".journal")} == {f"part_{n}.part.journal" for n in INTERRUPTED}
    assert ARCHIVE.stat().st_size < 600_000


@pytest.mark.parametrize("name", EVERY)
def test_read(old, name):
    with closing(Dataset(old / name).require()) as dataset:
        assert dataset.recipe["mixcli"] == "0.1.0" and dataset.manifest["schema"] == "mixcli.manifest/1"
        found = dataset.read(0, dataset.rows)
    assert np.allclose(found["soft_label"].sum(1), 1, atol=1e-5)
    told = inspect(old / name)
    assert told["method"] == method_of(name) and told["rows"] == len(found["data"])
    data, soft = mixcli.open_dataset(old / name)[1]
    assert np.array_equal(data, found["data"][1]) and np.array_equal(soft, found["soft_label"][1])


def test_read_as_others_read_it(old):
    with h5py.File(old / "sagemix.h5") as file, closing(Dataset(old / "sagemix.h5")) as dataset:
        assert all(np.array_equal(dataset.read(0, 24)[name], file[name][()]) for name in file)
    with np.load(old / "pointmixup.npz") as file, closing(Dataset(old / "pointmixup.npz")) as dataset:
        found = dataset.read(0, dataset.rows)
        assert all(np.array_equal(found[name], file[name]) for name in found)
    assert rows_of(old / "cutmix_png") == rows_of(old / "cutmix_tars")


@pytest.mark.parametrize("name", EVERY)
def test_verified_and_made_again(old, name):
    found = mixcli.verify(old / name, replay=None, source=source_of(old, name), ckpt=ckpt_of(old, name))
    assert found["faults"] == []
    assert {"source", "pairs", "digests"} <= set(found["checks"])
    assert any("which read the source's files in way 1" in note for note in found["notes"])


def mix_again(old: Path, name: str, out: str, **more) -> mixcli.pipeline.run.Result:
    method, source, arguments = DATASETS[name]
    if "ckpt" in arguments:
        arguments = {**arguments, "ckpt": str(old / arguments["ckpt"])}
    return mixcli.mix(method, str(old / source), str(old / out), **arguments, **more)


@pytest.mark.parametrize("name", INTERRUPTED)
def test_resumed(old, name):
    with pytest.raises(UsageError, match="1 windows of an earlier run; --resume"):
        mix_again(old, name, f"part_{name}")
    with pytest.raises(UsageError, match="read in way 1, and this mixcli reads them in way 2; --overwrite"):
        mix_again(old, name, f"part_{name}", resume=True)
    result = mix_again(old, name, f"part_{name}", overwrite=True)
    assert len(result.manifest["windows"]) == 3
    require_same(result.path, old / name, name)
    assert mixcli.verify(result.path, replay=None)["faults"] == []
    assert not list(old.glob(f"part_{name}.part*"))


@pytest.mark.parametrize("name", ["sagemix.h5", "cutmix_png"])
def test_a_finished_one_is_of_another_reading(old, name):
    with pytest.raises(UsageError, match="is of another job: it was begun with files of the source read in way 1"):
        mix_again(old, name, name, resume=True)
    result = mix_again(old, name, f"new_{name}")
    assert mix_again(old, name, f"new_{name}", resume=True).manifest["started"] == result.manifest["started"]


COPIES = [(name, out) for name in EVERY for out in ("copy.h5", "copy.npz", "copy")]
COPIES.remove(("hidden.npz", "copy"))  # hidden states are no pictures, so no folder holds them


@pytest.mark.parametrize(("name", "out"), COPIES)
def test_converted(old, name, out, tmp_path):
    mixcli.convert(str(old / name), str(tmp_path / out))
    assert rows_of(tmp_path / out) == rows_of(old / name)
    assert windows(tmp_path / out) == windows(old / name)
    assert mixcli.verify(tmp_path / out, source=source_of(old, name))["faults"] == []


def windows(path: Path) -> list[tuple[int, str]]:
    return [(w["window"], w["sha256"]) for w in Dataset(path).manifest["windows"]]


@pytest.mark.parametrize(
    ("shards", "out"),
    [
        (("shard0.h5", "shard1.h5"), "whole.h5"), (("shard0.h5", "shard1.h5"), "whole"),
        (("shard0_tars", "shard1_tars"), "whole"), (("shard0_tars", "shard1_tars"), "whole.npz"),
    ],
)  # fmt: skip
def test_merged(old, shards, out, tmp_path):
    merge([old / name for name in shards], tmp_path / out)
    method, source, arguments = DATASETS[shards[0]]
    arguments = {name: value for name, value in arguments.items() if name not in ("shard", "format")}
    whole = mixcli.mix(method, str(old / source), str(tmp_path / "once.h5"), **arguments)
    require_same(tmp_path / out, whole.path, shards[0])
    assert sorted(windows(tmp_path / out)) == sorted(w for name in shards for w in windows(old / name))
    assert mixcli.verify(tmp_path / out, replay=None, source=source_of(old, shards[0]))["faults"] == []


def test_mixed_again(old, tmp_path):
    """What was written is a source as well."""
    for name, reading in (("sagemix.h5", {"on": "points", "points": None}), ("cutmix_jpg", {"on": "images"})):
        made = mixcli.mix("convert", str(old / name), str(tmp_path / f"{name}.npz"), **reading)
        assert np.allclose(rows(made.path)["soft_label"], rows(old / name)["soft_label"])


def test_no_path_of_a_machine_is_in_the_archive(old):
    for path in old.rglob("*"):
        if path.is_file():
            assert not any(word in path.read_bytes() for word in (str(ROOT).encode(), b"/home/", b"/Users/")), path
    assert json.loads((old / "cutmix_png" / "manifest.json").read_text())["source"]["files"][0]["path"] == "/old/photos"
