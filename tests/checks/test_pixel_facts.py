"""Facts of a dataset of images, against numpy on the whole of it."""

import json
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from mixcli.checks.inspect import inspect, render
from mixcli.checks.pixel_facts import pixels
from mixcli.data.fields import Mixing, image_fields, labels
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.manifest_text import H5_CLASS_NAMES, H5_MANIFEST
from mixcli.datasets.recipe import describe_fields


def write_images(tiny, rows: int, keep: tuple[str, ...]) -> tuple[Path, np.ndarray, np.ndarray]:
    """Random images and masks as a finished dataset -> its path, images (M,H,W,3) and masks (M,H,W)."""
    size = (6, 5)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (rows, *size, 3), dtype=np.uint8)
    masks = rng.choice([0, 60, 255], (rows, *size), p=[0.5, 0.3, 0.2]).astype(np.uint8)
    parent_label, weight = rng.integers(0, 4, (rows, 2)), np.tile([0.7, 0.3], (rows, 1))
    soft, hard = labels(parent_label, weight, 4)
    arrays = {
        "data": images, "mask": masks, "label": hard, "soft_label": soft, "parent": rng.integers(0, 30, (rows, 2)),
        "parent_label": parent_label, "weight": weight.astype(np.float32),
    }  # fmt: skip
    fields = image_fields(size, Mixing(4), keep)
    with closing(Dataset(tiny.mix("clouds.h5", "mixup", ckpt=None, overwrite=True).path)) as made:
        manifest = made.manifest
    manifest |= {"rows": rows, "mixes": rows, "windows": [], "fields": describe_fields(fields)}
    manifest["recipe"] |= {"method": "guidedmixup", "size": list(size), "points": None, "keep": list(keep)}
    path = tiny.folder / "images.h5"
    with h5py.File(path, "w") as file:
        for field in fields:
            file[field.name] = arrays[field.name]
        file.attrs[H5_MANIFEST] = json.dumps(manifest)
        file.attrs[H5_CLASS_NAMES] = json.dumps(["chair", "lamp", "mug", "?"])
    return path, images, masks


def test_facts_of_images(tiny):
    path, images, masks = write_images(tiny, 50, ("mask",))
    found = inspect(path)
    assert found["pixels"]["size"] == [6, 5]
    assert np.allclose(found["pixels"]["mean"], images.mean((0, 1, 2)) / 255)
    assert np.allclose(found["pixels"]["std"], images.std((0, 1, 2)) / 255)
    assert found["points"] is found["geometry"] is found["lam_point"] is None
    share = found["lam_pixel"]
    assert share["histogram"] == np.histogram(masks / 255, 20, (0, 1))[0].tolist()
    assert (share["pure_a"], share["pure_b"]) == pytest.approx(((masks == 255).mean(), (masks == 0).mean()))


def test_images_in_words(tiny):
    path, *_ = write_images(tiny, 50, ("mask",))
    text = render(inspect(path), unicode=False)
    assert "50 mixed images, 6x5, 4 classes" in text and "cloud" not in text
    assert "\npixels     mean 0." in text and "\n  by pixel 0 " in text and text.isascii()


def test_images_without_masks_and_without_rows(tiny):
    found = inspect(write_images(tiny, 3, ())[0])
    assert found["lam_pixel"] is None and "by pixel" not in render(found)
    found = inspect(write_images(tiny, 0, ("mask",))[0])
    assert found["pixels"] == {"size": [6, 5], "mean": None, "std": None} and found["lam_pixel"] is None
    assert "0 mixed images, 6x5" in render(found)


def test_pieces_change_nothing(tiny, monkeypatch):
    path, *_ = write_images(tiny, 50, ("mask",))
    whole = inspect(path)
    monkeypatch.setattr("mixcli.checks.pixel_facts.PART_BYTES", 200)
    pieces = inspect(path)
    assert pieces["pixels"] == whole["pixels"] and pieces["lam_pixel"] == whole["lam_pixel"]


def test_of_many_rows_a_sample_is_looked_at(tiny, monkeypatch):
    path, images, _ = write_images(tiny, 50, ("mask",))
    monkeypatch.setattr("mixcli.checks.inspect.MOST_ROWS", 20)
    found = inspect(path)
    assert found["scanned_points_of_rows"] == 20 and sum(found["lam_pixel"]["histogram"]) == 20 * 30
    assert "a sample of 20 rows" in render(found)
    assert np.allclose(inspect(path, full=True)["pixels"]["mean"], images.mean((0, 1, 2)) / 255)


def test_clouds_have_no_pixels(tiny):
    path = tiny.mix("mixed.h5", "mixup", ckpt=None).path
    found = inspect(path)
    assert found["pixels"] is found["lam_pixel"] is None and found["geometry"] and "point clouds" in render(found)
    with closing(Dataset(path)) as dataset:
        assert pixels(dataset, np.arange(2)) is None
