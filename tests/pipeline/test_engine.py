"""What the workers do when the device has no room, and which device that is."""

import types

import numpy as np
import pytest
import torch

from mixcli.errors import MixError, UsageError
from mixcli.methods.sagemix import SageMix
from mixcli.pipeline.engine import Draws, Engine, choose_device
from mixcli.pipeline.kinds.points_tensors import PointTensors
from mixcli.pipeline.kinds.tensors import Feed


class Net(torch.nn.Module):
    """A classifier of means that runs out of memory above a batch of `room`."""

    def __init__(self, room):
        super().__init__()
        self.room, self.seen = room, []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.room:
            raise torch.cuda.OutOfMemoryError
        return x.square().mean(1)


def engine(room, batch, notes):
    model = types.SimpleNamespace(net=Net(room).eval(), task="classify", channels=3, options={})
    feed = Feed(SageMix(), torch.device("cpu"), model)
    return Engine(PointTensors(feed), workers=2, batch=batch, note=notes.append)


def start(e, n=10):
    clouds = np.random.default_rng(0).uniform(-1, 1, (n, 16, 3)).astype(np.float32)
    at = np.arange(n)
    work = e.start(clouds, np.zeros(n, np.int64), at[None], np.roll(at, 1)[None])
    e.wait(work, lambda _: None)
    return work


def test_out_of_memory_halves_the_batch_and_says_so_once():
    notes = []
    small = engine(3, 8, notes)
    found = start(small)
    assert small.batch == 2 and found.batch <= 4
    assert [n for n in notes if "at a batch of 8; going on with 4" in n] == notes[:1] and len(notes) <= 2
    assert max(start(small).taken.saliency.sum(1)) == pytest.approx(1)
    fits = engine(100, 2, [])
    assert np.allclose(start(fits).taken.saliency, found.taken.saliency, atol=1e-7)
    for e in (small, fits):
        e.close()


def test_no_room_for_one_cloud():
    e = engine(0, 4, [])
    with pytest.raises(MixError, match="does not hold one sample; use --device cpu"):
        start(e)
    e.close()


def test_only_parents_go_through_the_model():
    e = engine(100, 1, [])
    clouds = np.random.default_rng(0).uniform(-1, 1, (10, 16, 3)).astype(np.float32)
    work = e.start(clouds, np.zeros(10, np.int64), np.array([[2, 3]]), np.array([[3, 5]]))
    e.wait(work, lambda _: None)
    assert np.flatnonzero(work.asked).tolist() == [2, 3, 5]
    e.close()


def test_mixes_are_the_same_whoever_makes_them():
    e = engine(100, 1, [])
    work = start(e, 150)
    made = [list(e.mixes(work, Draws(seed=0, window=0, k=2), lambda *chunk: chunk, idle)) for idle in (False, True)]
    for (r1, p1, m1), (r2, p2, m2) in zip(*made, strict=True):
        assert (r1, p1) == (r2, p2) and all(torch.equal(x.data, y.data) for x, y in zip(m1, m2, strict=True))
    e.close()


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "mps"])
def test_devices_that_are_none(name):
    with pytest.raises(UsageError, match="must be auto, cpu, cuda"):
        choose_device(name)


def test_auto_device():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
