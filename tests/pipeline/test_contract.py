"""What every method's runs are held to, whatever it is: the registry is walked, so one added tomorrow is too."""

import h5py
import numpy as np
import pytest
import torch
from conftest import rows_of
from picture_files import Gallery
from PIL import Image

import mixcli
from mixcli.datasets.dataset import Dataset
from mixcli.methods import FROM_A_MODEL, get, kinds_of
from mixcli.methods.offered import facts
from mixcli.pipeline.part_output import PartOutput

CASES = [(name, kind) for name in sorted(mixcli.METHODS) for kind in kinds_of(get(name))]


def those(test=lambda traits: True):
    """Methods for whose traits something holds."""
    found = [case for case in CASES if test(get(case[0]).traits)]
    return pytest.mark.parametrize("case", found, ids=["-".join(case) for case in found])


every_method = those()


class Runs:
    """One method on a small source of its kind, with what it needs and nothing else."""

    def __init__(self, case, tiny, folder):
        name, self.data = case
        own = {"on": self.data} if len(kinds_of(get(name))) > 1 else {}
        self.name, self.method = name, get(name)(**own)
        self.traits, self.folder, self.tiny, self.own = self.method.traits, folder, tiny, own
        if self.data == "images":
            self.gallery = Gallery(folder)
        self.source, self.ckpt = (self.gallery.source, self.gallery.ckpt) if self.data == "images" else (
            tiny.source, tiny.ckpt
        )  # fmt: skip

    def __call__(self, out, **arguments):
        needed = {"window": 8, **({"points": 64} if self.data == "points" else {}), **self.own}
        if self.traits.saliency in FROM_A_MODEL:
            needed["ckpt"] = str(self.ckpt)
        if self.traits.writes:
            needed["layer"] = "layer2"
        if not self.traits.draws:
            arguments.pop("k", None)
        return mixcli.mix(self.name, str(self.source), str(self.folder / out), **needed, **arguments)

    def keep_two(self):
        """Leave two samples in the source, of one class."""
        if self.data == "points":
            with h5py.File(self.source, "r+") as file:
                data, label = file["data"][:2], np.zeros((2, 1), np.uint8)
                del file["data"], file["label"]
                file["data"], file["label"] = data, label
            return
        for path in [*sorted(self.source.glob("cat/*"))[2:], *self.source.glob("[do]*/*")]:
            path.unlink()
        for name in ("dog", "owl"):
            (self.source / name).rmdir()

    def say_nothing(self):
        """A network whose head is zero, so that no gradient is left, and for images none of their own either."""
        told = torch.load(self.ckpt, weights_only=True)
        for state in told.values() if "state_dict" in told else [told]:
            for key, value in state.items():
                if key.endswith(("linear.weight", "linear3.weight")):
                    value.zero_()
        torch.save(told, self.ckpt)
        if self.data == "images":
            for path in self.source.glob("*/*.png"):
                Image.new("RGB", (20, 20), (128, 128, 128)).save(path)


@pytest.fixture
def runs(case, tiny, tmp_path):
    return Runs(case, tiny, tmp_path)


def read(result):
    return Dataset(result.path).require().read(0, result.rows)


def check(result, runs):
    rows, parents = read(result), runs.traits.parents
    assert rows["parent"].shape == rows["weight"].shape == (result.rows, parents)
    assert np.allclose(rows["soft_label"].sum(1), 1, atol=1e-5) and np.isfinite(rows["data"]).all()
    assert mixcli.verify(result.path, replay=None)["faults"] == []


@every_method
def test_two_samples_and_one_or_seven_mixes_of_each_pair(runs):
    runs.keep_two()
    asked = "network" in facts(get(runs.name))
    arguments = {"saliency_target": "predicted"} if asked else {}  # the source has fewer classes than the network
    one, seven = runs("one.h5", **arguments), runs("seven.h5", k=7, **arguments)
    assert one.rows == 2 and seven.rows == (14 if runs.traits.draws else 2)
    for result in (one, seven):
        check(result, runs)
    first, all_ = read(one), read(seven)
    for name, values in first.items():
        assert np.array_equal(values, all_[name][:: seven.rows // 2]), f"{name}: more mixes change no earlier one"


@every_method
def test_stopped_and_resumed_it_is_byte_equal_whatever_the_workers(runs, monkeypatch):
    rounds = {} if runs.traits.parents == 1 else {"partners": 2}
    arguments = {"k": 2, "include_originals": True, **rounds}
    whole = runs("whole.h5", workers=1, **arguments)
    check(whole, runs)
    finish = PartOutput.finish_window

    def stop_after_one(self, record):
        finish(self, record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PartOutput, "finish_window", stop_after_one)
        runs("stopped.npz", workers=2, **arguments)
    again = runs("stopped.npz", workers=2, resume=True, **arguments)
    assert again.manifest["resumed_windows"] == 1
    assert rows_of(again.path) == rows_of(whole.path)
    assert [w["sha256"] for w in again.manifest["windows"]] == [w["sha256"] for w in whole.manifest["windows"]]


@those(lambda traits: not traits.writes)  # hidden states are no files of a folder
def test_a_folder_holds_the_same(runs):
    assert rows_of(runs("mixed").path) == rows_of(runs("mixed.h5").path)


@those(lambda traits: traits.saliency)
def test_nothing_is_salient(runs):
    """All maps are zero, so all are uniform, and the manifest says how many."""
    runs.say_nothing()
    result = runs("mixed.h5")
    check(result, runs)
    if runs.traits.saliency == "gradient":
        assert result.manifest["counts"]["uniform_saliency"] == result.manifest["samples"]
