"""The sample images are what their README says, and their script still makes them."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixcli import models
from mixcli.settings.normalize import PRESETS

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"
IMAGES = SAMPLE / "images"
README = (SAMPLE / "README.md").read_text()
COUNTS = {"train": 32, "test": 8}
NAMES = (SAMPLE / "clouds" / "shape_names.txt").read_text().split()


@pytest.fixture
def make_images(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(SAMPLE)
    import make_images

    yield make_images
    sys.modules.pop("make_images")


def read(split, name):
    """All pictures of a class -> (n,64,64,3) u8."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((IMAGES / split / name).iterdir())])


@pytest.mark.parametrize("split", COUNTS)
def test_layout(split):
    assert sorted(path.name for path in (IMAGES / split).iterdir()) == NAMES
    for name in NAMES:
        files = sorted(path.name for path in (IMAGES / split / name).iterdir())
        assert files == [f"{number:03d}.png" for number in range(COUNTS[split])]
        data = read(split, name)
        assert (data.shape, data.dtype) == ((COUNTS[split], 64, 64, 3), np.uint8)


def test_the_readme_states_the_counts():
    train, each = re.search(r"`images/train/`.*?(\d+) pictures of 64 × 64 pixels, (\d+) of each", README).groups()
    test, fewer = re.search(r"`images/test/`.*?(\d+) more, (\d+) of each", README).groups()
    assert [int(number) for number in (train, each, test, fewer)] == [32 * len(NAMES), 32, 8 * len(NAMES), 8]


def test_no_picture_is_there_twice():
    every = np.concatenate([read(split, name) for split in COUNTS for name in NAMES])
    assert len({image.tobytes() for image in every}) == sum(COUNTS.values()) * len(NAMES)


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in IMAGES.rglob("*.png")) < 2.5e6
    assert (SAMPLE / "preact_resnet.pt").stat().st_size < 1.5e6


@pytest.mark.parametrize(("split", "name"), [("train", "chair"), ("test", "airplane")])
def test_pictures_are_made_again(make_images, split, name):
    """A level of room: sines may differ in the last bit between processors."""
    made = make_images.pictures(split, NAMES.index(name))
    np.testing.assert_allclose(made.astype(int), read(split, name), atol=1)


def test_another_seed_gives_other_pictures(make_images):
    made = make_images.pictures("test", 0, seed=1)
    assert (np.abs(made.astype(int) - read("test", NAMES[0])).mean((1, 2, 3)) > 5).all()


def test_a_picture_is_the_object_before_its_background(make_images, monkeypatch):
    """With nothing behind it, all that is left is the object: it covers some of the picture, and not most."""
    black = np.zeros((64, 64, 3))
    monkeypatch.setattr(make_images, "background", lambda lightness, r: black)
    monkeypatch.setattr(make_images, "paint", lambda cloud, lightness, r: np.full((len(cloud), 3), 255.0))
    made = make_images.pictures("test", NAMES.index("car"))
    share = (made > 0).all(3).mean((1, 2))
    assert (made[:, 0, 0] == 0).all()
    assert ((share > 0.05) & (share < 0.6)).all()


@pytest.fixture(scope="module")
def classifier():
    return models.load(SAMPLE / "preact_resnet.pt")


def test_the_checkpoint_is_recognised(classifier):
    state = torch.load(SAMPLE / "preact_resnet.pt", weights_only=True)
    assert list(state) == ["state_dict"]
    assert all(v.dtype == torch.float32 for k, v in state["state_dict"].items() if "num_batches" not in k)
    assert (classifier.name, classifier.data, classifier.classes) == ("preact_resnet", "images", len(NAMES))


@pytest.mark.parametrize("split", COUNTS)
def test_the_checkpoint_reaches_the_stated_accuracy(classifier, split):
    paragraph = README.split("**The PreAct-ResNet.**")[1]
    stated = float(re.search(rf"{split} accuracy \**([\d.]+) %", paragraph)[1])
    (mean, *_), (std, *_) = PRESETS["half"]
    data = np.concatenate([read(split, name) for name in NAMES])
    labels = np.repeat(np.arange(len(NAMES)), COUNTS[split])
    images = (torch.from_numpy(data).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        found = torch.cat([classifier.net(batch).argmax(1) for batch in images.split(40)])
    assert (found.numpy() == labels).mean() * 100 == pytest.approx(stated, abs=2.6)
