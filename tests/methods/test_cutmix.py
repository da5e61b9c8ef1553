import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.cutmix import CutMix, box, drawn_area, paste
from mixcli.rng import uniforms


def pictures(batch=16, size=(9, 14), seed=0):
    data = np.random.default_rng(seed).uniform(0, 255, (2, batch, *size, 3)).astype(np.float32)
    return [Images(torch.from_numpy(x)) for x in data]


def draws(batch, width=3, seed=0):
    return torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=width))


def test_the_recorded_mix(shared):
    golden = np.load(shared / "golden" / "images" / "cutmix.npz")
    lam, x = golden["lam_drawn"][None], torch.from_numpy(golden["x"]).permute(0, 2, 3, 1)
    one = box(np.array([32, 32]), 1 - lam, np.array([[golden["cx"], golden["cy"]]]))
    assert np.array_equal(one[0], golden["bbox"])
    mixed = paste(Images(x), Images(x[golden["rand_index"]]), lam.repeat(8), one.repeat(8, 0))
    assert np.array_equal(mixed.data.permute(0, 3, 1, 2).numpy(), golden["mixed_x"])
    assert (mixed.weight[:, 0] == golden["lam"]).all()
    labels = np.eye(10)[golden["y"]]
    target = mixed.weight.numpy()[:, :1] * labels + mixed.weight.numpy()[:, 1:] * labels[golden["rand_index"]]
    assert np.abs(target - golden["target"]).max() < 1e-6


def test_the_recorded_boxes(shared):
    table = np.load(shared / "golden" / "images" / "cutmix.npz")["bbox_table"]
    for height, width, lam, y, x, *expected, adjusted in table:
        found = box(np.array([height, width]), np.array([1 - lam]), np.array([[y, x]]))[0]
        assert found.tolist() == expected
        area = (found[2] - found[0]) * (found[3] - found[1])
        assert 1 - area / (height * width) == pytest.approx(adjusted, abs=1e-12)


def test_hand_worked_example():
    """4 x 8 pixels, u = 1/4: λ = 1/4 of Beta(1, 1), so sides of √¾: 3.46 and 6.93, cut to 3 and 6, halved to 1 and 3.
    The centre at (u 4, u 8) = (2, 0) leaves rows 1 and 2, columns 0 to 2: 6 of 32 pixels."""
    a, b = Images(torch.full((1, 4, 8, 3), 10.0)), Images(torch.full((1, 4, 8, 3), 20.0))
    mixed = CutMix().mix(a, b, None, torch.tensor([[0.25, 0.5, 0.01]], dtype=torch.float64))
    expected = np.full((4, 8), 10.0)
    expected[1:3, 0:3] = 20
    assert np.array_equal(mixed.data[0, :, :, 1].numpy(), expected)
    assert mixed.weight.tolist() == [[26 / 32, 6 / 32]]
    assert mixed.draw[0].tolist() == pytest.approx([0.25, 1, 0, 3, 3], abs=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (9, 14), (33, 20)])
def test_the_label_is_the_share_of_pixels(size):
    a, b = pictures(64, size)
    mixed = CutMix().mix(a, b, None, draws(64))
    assert mixed.data.shape == (64, *size, 3) and mixed.data.dtype == torch.float32
    assert torch.equal(mixed.data, torch.where(mixed.mask[..., None] == 1, a.data, b.data))
    assert torch.allclose(mixed.weight[:, 0], mixed.mask.double().mean((1, 2)), atol=1e-15)
    assert torch.equal(mixed.weight.sum(1), torch.ones(64, dtype=torch.float64))
    assert mixed.draw.shape == (64, len(CutMix.traits.draw_names))


@pytest.mark.parametrize("alpha", [1.0, 0.2, 3.0])
def test_lambda_and_centre_are_drawn_as_said(alpha):
    a, b = pictures(2000, (8, 4))
    drawn = CutMix(alpha=alpha).mix(a, b, None, draws(2000, seed=3)).draw.numpy()
    assert stats.kstest(drawn[:, 0], stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    inside = drawn[(8 * np.sqrt(1 - drawn[:, 0])).astype(int) // 2 == 1]  # from a row before the centre to one after
    assert len(inside) > 100
    assert stats.chisquare(np.bincount(inside[:, 3].astype(int), minlength=9)[1:]).pvalue > 1e-3


def test_1_minus_lambda_keeps_its_small_values():
    """At α = 0.2 λ is often 1 - 1e-9, where 1 - λ would be rounded away."""
    lam, cut = drawn_area(torch.tensor([[1 - 1e-7], [1e-7]], dtype=torch.float64), 0.2)
    assert lam[0] == 1 and 0 < cut[0] < 1e-30
    assert cut[1] == 1 and lam[1] == pytest.approx(cut[0], rel=1e-6)


def test_declared_identities():
    a, b = pictures()
    assert {"self-pair", "lam-one"} == set(CutMix.traits.keeps)
    assert torch.equal(CutMix().mix(a, a, None, draws(16)).data, a.data)
    u = draws(16)
    u[:, 0] = 1 - 2.0**-53
    mixed = CutMix(alpha=0.05).mix(a, b, None, u)
    assert (mixed.draw[:, 0] == 1).all() and torch.equal(mixed.data, a.data) and (mixed.weight[:, 0] == 1).all()


def test_the_batch_does_not_matter():
    a, b = pictures()
    whole = CutMix().mix(a, b, None, draws(16))
    part = CutMix().mix(Images(a.data[3:5]), Images(b.data[3:5]), None, draws(16)[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.draw, whole.draw[3:5])
    assert len(np.unique(whole.draw.numpy(), axis=0)) == 16, "each mix has its own box"


@pytest.mark.parametrize("alpha", [0.0, float("nan"), float("inf")])
def test_options_out_of_range(alpha):
    with pytest.raises(UsageError, match="alpha"):
        CutMix(alpha=alpha)
