import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.cutout import Cutout
from mixcli.rng import uniforms


def pictures(batch=16, size=(9, 14)):
    return Images(torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (batch, *size, 3)).astype(np.float32)))


def draws(batch):
    return torch.from_numpy(uniforms(0, "mix", np.arange(batch), width=2))


def test_the_recorded_holes(shared):
    """On normalised values, where the hole is zero."""
    golden = np.load(shared / "golden" / "images" / "cutout.npz")
    u = torch.from_numpy((golden["centers_yx"] + 0.5) / 32)
    x = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1)
    mixed = Cutout(length=int(golden["length"]), fill="0,0,0").mix(Images(x), None, None, u)
    assert np.array_equal(mixed.data.permute(0, 3, 1, 2).numpy(), golden["out"])


def test_the_default_colour_is_zero_after_the_published_normalisation():
    mixed = Cutout().mix(Images(torch.zeros(1, 4, 4, 3)), None, None, torch.tensor([[0.5, 0.5]]).double())
    mean, std = np.array([125.3, 123.0, 113.9]), np.array([63.0, 62.1, 66.7])
    assert np.abs((mixed.data.numpy() - mean) / std).max() < 1e-6


def test_hand_worked_example():
    """A hole of 5 is 2 to either side of its centre at (0.3 · 4, 0.9 · 6) = (1, 5): rows 0 to 2, columns 3 to 5."""
    a = Images(torch.full((1, 4, 6, 3), 7.0))
    mixed = Cutout(length=5, fill="10, 20.5,255").mix(a, None, None, torch.tensor([[0.3, 0.9]], dtype=torch.float64))
    expected = np.full((4, 6, 3), 7.0)
    expected[0:3, 3:6] = [10, 20.5, 255]
    assert np.array_equal(mixed.data[0].numpy(), expected)
    assert mixed.draw.tolist() == [[0, 3, 3, 6]]
    assert mixed.mask[0].sum() == 15


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 14), (40, 33)])
def test_one_parent_whose_label_stays(size):
    a = pictures(32, size)
    mixed = Cutout().mix(a, None, None, draws(32))
    assert torch.equal(mixed.weight, torch.ones(32, 1, dtype=torch.float64))
    kept = mixed.mask == 1
    assert torch.equal(mixed.data[kept], a.data[kept])
    assert (mixed.data[~kept] == torch.tensor([125.3, 123.0, 113.9])).all() and (~kept).any()
    assert mixed.data.dtype == torch.float32 and mixed.draw.shape == (32, len(Cutout.traits.draw_names))
    assert Cutout.traits.parents == 1


def test_every_pixel_is_as_often_the_centre():
    drawn = Cutout(length=2).mix(pictures(4000, (5, 3)), None, None, draws(4000)).draw.numpy()
    centre = drawn[:, 2:] - 1  # the hole ends one past its centre, inside the border
    assert stats.chisquare(np.unique(centre @ [3, 1], return_counts=True)[1]).pvalue > 1e-3
    assert len(np.unique(centre, axis=0)) == 15


def test_the_batch_does_not_matter():
    a = pictures()
    whole, part = Cutout().mix(a, None, None, draws(16)), Cutout().mix(Images(a.data[3:5]), None, None, draws(16)[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.draw, whole.draw[3:5])


@pytest.mark.parametrize(
    "option",
    [{"length": 1}, {"fill": "1,2"}, {"fill": "1,2,256"}, {"fill": "-1,2,3"}, {"fill": "a,b,c"}, {"fill": "1,2,.5.5"}],
)
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        Cutout(**option)
