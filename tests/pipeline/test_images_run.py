"""Images through the whole pipeline: every method, repeatable, replayable, and kind to what is wrong."""

import h5py
import numpy as np
import pytest
import torch
from conftest import rows_of
from PIL import Image

import mixcli
from mixcli.datasets.dataset import Dataset
from mixcli.errors import BadSample, CheckpointError, MixError, UsageError
from mixcli.methods import get
from mixcli.pipeline.merge import merge

IMAGE_METHODS = sorted(
    name for name, cls in mixcli.METHODS.items() if cls.traits.data == "images" and not cls.traits.writes
)


@pytest.mark.parametrize("method", IMAGE_METHODS)
def test_every_method_can_be_made_again(gallery, method):
    keep = {"keep": ("mask",)} if get(method).traits.mask else {}
    result = gallery.mix(method, "mixed.h5", include_originals=True, **keep)
    rows = Dataset(result.path).require().read(0, result.rows)
    assert rows["data"].shape[1:] == (20, 20, 3) and rows["data"].dtype == np.uint8
    assert np.allclose(rows["soft_label"].sum(1), 1, atol=1e-6)
    assert mixcli.verify(result.path, replay=None)["faults"] == []
    paths = sorted(gallery.source.glob("*/*.png"))
    source = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert (rows["data"][-24:] == source).all(), "originals follow in source order"


@pytest.mark.parametrize("method", ["sage", "guidedmixup", "saliencygrafting"])
def test_equal_bytes_whatever_the_workers_and_the_container(gallery, method):
    first = rows_of(gallery.mix(method, "a.h5", workers=1).path)
    assert rows_of(gallery.mix(method, "b.npz", workers=3).path) == first
    assert rows_of(gallery.mix(method, "c.h5", seed=1).path) != first


def test_shards_merge_into_the_whole(gallery):
    whole = gallery.mix("guidedmixup", "whole.h5", partners=2, include_originals=True)
    shards = [gallery.mix("guidedmixup", f"s{i}.h5", partners=2, include_originals=True, shard=(i, 2)) for i in (1, 0)]
    merge([shard.path for shard in shards], gallery.folder / "merged.h5")
    assert rows_of(gallery.folder / "merged.h5") == rows_of(whole.path)


def test_greedy_pairs_come_once_and_differ_by_round(gallery):
    result = gallery.mix("guidedmixup", "mixed.h5", partners=3)
    with h5py.File(result.path) as file:
        pairs = {tuple(pair) for pair in file["parent"][()].tolist()}
    assert result.manifest["recipe"]["pairing"] == "greedy" and len(pairs) == 24 * 3
    other = gallery.mix("guidedmixup", "other.h5", pairing="random")
    assert other.manifest["recipe"]["pairing"] == "random"
    assert mixcli.verify(gallery.mix("cutmix", "cut.h5", pairing="greedy").path, replay=None)["faults"] == []


@pytest.mark.parametrize("saliency", ["gradient", "activation", "spectral", "static"])
def test_any_maps_for_any_method(gallery, saliency):
    result = gallery.mix("sage", "mixed.h5", saliency=saliency)
    assert result.manifest["recipe"]["saliency"] == saliency
    assert mixcli.verify(result.path, replay=4)["faults"] == []


def test_images_of_several_sizes_and_kinds(gallery):
    Image.new("L", (40, 30), 128).save(gallery.source / "cat" / "grey.png")
    Image.new("RGBA", (25, 50), (255, 0, 0, 0)).save(gallery.source / "dog" / "clear.png")
    Image.new("RGB", (1, 1), (1, 2, 3)).save(gallery.source / "owl" / "dot.png")
    result = gallery.mix("cutmix", "mixed.h5", size=(16, 24), k=1)
    assert result.manifest["recipe"]["size"] == [16, 24]
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_an_image_that_cannot_be_read(gallery):
    (gallery.source / "cat" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(BadSample, match=r"00\.png: "):
        gallery.mix("cutmix", "mixed.h5", size=(20, 20))
    result = gallery.mix("cutmix", "mixed.h5", size=(20, 20), on_error="skip")
    assert [entry["sample"] for entry in result.manifest["skipped"]] == [0]
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_networks_and_sources_of_the_other_kind(gallery, tiny):
    with pytest.raises(CheckpointError, match=r"is a classifier of points .* sage mixes images"):
        gallery.mix("sage", "mixed.h5", ckpt=str(tiny.ckpt))
    with pytest.raises(CheckpointError, match=r"is a classifier of images .* sagemix mixes points"):
        tiny.mix("mixed.h5", ckpt=str(gallery.ckpt))
    with pytest.raises(MixError):
        mixcli.mix("cutmix", str(tiny.source), str(gallery.folder / "mixed.h5"))
    with pytest.raises(MixError):
        mixcli.mix("rsmix", str(gallery.source), str(gallery.folder / "mixed.h5"))


def test_a_wrong_preset_is_told_with_one_that_fits(gallery):
    with pytest.raises(UsageError, match="--normalize cifar: no such preset; did you mean cifar10"):
        gallery.mix("sage", "mixed.h5", normalize="cifar")


def test_convert_and_mix_again(gallery):
    plain = mixcli.convert(str(gallery.source), str(gallery.folder / "plain.npz"))
    assert plain.rows == 24 and mixcli.verify(plain.path, replay=None)["faults"] == []
    mixed = gallery.mix("cutmix", "mixed.h5")
    again = mixcli.mix("guidedmixup", str(mixed.path), str(gallery.folder / "again.h5"), window=16)
    rows = Dataset(again.path).require().read(0, again.rows)
    assert (rows["soft_label"] > 0).sum(1).max() == 3, "soft labels combine"
    assert mixcli.verify(again.path, replay=4)["faults"] == []
    data = mixcli.open_dataset(again.path)
    assert data[0][0].shape == (20, 20, 3) and data[0][0].dtype == torch.uint8


class Stop(BaseException):
    """Stands for a Ctrl-C."""


@pytest.mark.parametrize("form", [None, "webdataset"])
def test_an_interrupted_folder_goes_on(gallery, monkeypatch, form):
    from mixcli.pipeline.part_output import PartOutput

    arguments = {"partners": 2, "include_originals": True, "keep": ("mask",)}
    whole = gallery.mix("guidedmixup", "whole.h5", **arguments)
    finish = PartOutput.finish_window

    def finish_one(self, record):
        finish(self, record)
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(PartOutput, "finish_window", finish_one)
        gallery.mix("guidedmixup", "mixed", format=form, **arguments)
    result = gallery.mix("guidedmixup", "mixed", format=form, resume=True, **arguments)
    assert result.manifest["resumed_windows"] == 1
    assert rows_of(result.path) == rows_of(whole.path)
    assert result.manifest["windows"] == whole.manifest["windows"], "digests are of the pixels, not of the files"
    assert mixcli.verify(result.path, replay=4)["faults"] == []
    assert sorted(p.name for p in gallery.folder.glob("mixed*")) == ["mixed"]


def test_tars_only_in_a_folder(gallery):
    with pytest.raises(UsageError, match="writes a folder of tars; name a folder"):
        gallery.mix("cutmix", "mixed.h5", format="webdataset")


def test_what_the_other_kind_keeps(gallery, tiny):
    with pytest.raises(
        UsageError,
        match="--keep mask: for points must be one of point_source, saliency; images are mixed",
    ):
        tiny.mix("mixed.h5", keep=("mask",))
    with pytest.raises(UsageError, match="--keep point_source: for images must be one of mask"):
        gallery.mix("cutmix", "mixed.h5", keep=("point_source",))


def test_spectral_maps_see_the_colours_as_they_are_normalised(gallery):
    """As published; by default no channel is weighed."""
    masks = {
        name: rows_of(gallery.mix("guidedmixup", f"{name}.h5", keep=("mask",), pairing="random", normalize=name).path)
        for name in (None, "none", "half", "cifar10")
    }
    assert masks[None] == masks["none"] != masks["cifar10"]
