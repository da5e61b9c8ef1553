"""Groups through the whole pipeline: as many mixes as samples, each of any of them."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import mixcli
from mixcli import methods
from mixcli.data.images import MixedImages
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.methods import method, option


@method(
    data="images", saliency=None, assignment=False, draws=1, draw_names=("u",), query=False, keeps=(), parents=3,
    group=4, example="mixcli rings --in a --out b",
)  # fmt: skip
@dataclasses.dataclass(frozen=True)
class Rings:
    """Half of each image, a quarter of the next, and a quarter of the one after that, or of the image itself."""

    fill: int = option(0, "Nothing.")

    def mix(self, a, b, phi, u):
        assert b is None
        n = len(a.data)
        own = torch.arange(n)
        members = torch.stack([own, (own + 1) % n, (own + 2) % n], 1)
        weight = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).repeat(n, 1)
        if n == 2:
            members[:, 2], weight[:, 1], weight[:, 2] = -1, 0.5, 0
        data = (a.data[members] * weight.float()[:, :, None, None, None]).sum(1)
        return MixedImages(data, weight, None, u, members=members)


@pytest.fixture
def rings(monkeypatch, tmp_path):
    class Entry:
        load = staticmethod(lambda: Rings)

    for i in range(11):
        path = tmp_path / "train" / "abc"[i % 3] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5, 3), 20 * i, np.uint8)).save(path)
    monkeypatch.setattr(methods, "entry_points", lambda group: [Entry])
    methods.methods.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    methods.methods.cache_clear()


def mixed(folder, out="mixed.h5", **arguments):
    return mixcli.mix("rings", str(folder / "train"), str(folder / out), **{"window": 7, **arguments})


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_of_groups(rings, workers):
    result = mixed(rings, k=2, partners=3, include_originals=True, workers=workers)
    rows = Dataset(result.path).require().read(0, result.rows)
    assert result.rows == 11 * 6 + 11 and rows["parent"].shape == (77, 3)
    sources = np.sort(np.concatenate([np.arange(0, 11, 3), np.arange(1, 11, 3), np.arange(2, 11, 3)]))
    assert (rows["parent"][66:, 0] == sources).all() and (rows["parent"][66:, 1:] == -1).all()
    value = {i: 20 * int(path.stem) for i, path in enumerate(sorted((rings / "train").glob("*/*.png")))}
    for parent, weight, data in zip(rows["parent"], rows["weight"], rows["data"], strict=True):
        share = sum(w * value[p] for p, w in zip(parent.tolist(), weight, strict=True) if p >= 0)
        assert (data == round(share)).all()
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_each_round_has_its_own_groups(rings):
    result = mixed(rings, partners=2, window=1000)
    parent = Dataset(result.path).require().read(0, 22)["parent"]
    assert sorted(parent[:11, 0]) == sorted(parent[11:, 0]) == list(range(11))
    assert not np.array_equal(parent[:11], parent[11:])


def test_a_stranger_in_a_group_is_found(rings):
    import h5py

    result = mixed(rings)
    with h5py.File(result.path, "r+") as file:
        parent = file["parent"][:]
        group = {*parent[:4].ravel()}
        parent[0, 1] = next(i for i in range(11) if i not in group)
        file["parent"][:] = parent
    faults = mixcli.verify(result.path)["faults"]
    assert any("not of the group" in fault["what"] and fault["row"] == 0 for fault in faults)


def test_bad_samples_have_stand_ins(rings):
    (rings / "train" / "b" / "01.png").write_bytes(b"no image")
    result = mixed(rings, on_error="skip")
    bad = sorted(path.name for path in (rings / "train").glob("*/*.png"))
    assert len(bad) == 11 and result.manifest["skipped"][0]["sample"] == 4
    assert 4 not in Dataset(result.path).require().read(0, 11)["parent"]
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_two_samples_are_a_group(rings):
    for path in (rings / "train").glob("[bc]/*.png"):
        path.unlink()
    for name in ("b", "c"):
        (rings / "train" / name).rmdir()
    for path in sorted((rings / "train").glob("*/*.png"))[2:]:
        path.unlink()
    result = mixed(rings)
    assert Dataset(result.path).require().read(0, 2)["weight"].tolist() == [[0.5, 0.5, 0]] * 2
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_groups_are_no_pairs(rings):
    with pytest.raises(UsageError, match="--pairing: means nothing to rings; leave it out"):
        mixed(rings, pairing="different-class")
