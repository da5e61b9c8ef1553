import numpy as np
import pytest
import torch

from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.guidedmixup import GuidedMixup

NOTHING = torch.empty(16, 0, dtype=torch.float64)
GOLDEN = ["sr_released", "sr_greedy", "sr_random", "ap_greedy"]


def pictures(batch=16, size=(12, 10), seed=0):
    rng = np.random.default_rng(seed)
    data, maps = rng.uniform(0, 255, (2, batch, *size, 3)), rng.random((2, batch, *size)) ** 4
    parts = [torch.from_numpy(part.astype(np.float32)) for part in (*data, *maps)]
    return [Images(parts[0], parts[2]), Images(parts[1], parts[3])]


def replay(golden):
    x, s = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1), torch.from_numpy(golden["saliency_in"])
    partner = torch.from_numpy(golden["indices"]).long()
    return GuidedMixup().mix(Images(x, s), Images(x[partner], s[partner]), None, NOTHING[: len(x)])


@pytest.mark.parametrize("name", GOLDEN)
def test_the_recorded_mixes(shared, name):
    golden = np.load(shared / "golden" / "images" / f"guided_mix_{name}.npz")
    z = GuidedMixup().maps(torch.from_numpy(golden["saliency_in"]))
    assert np.abs(z.numpy() - golden["z"]).max() <= 1e-6 * golden["z"].max()
    mixed, labels = replay(golden), np.eye(10)[golden["y"]]
    assert np.abs(mixed.data.permute(0, 3, 1, 2).numpy() - golden["mixed_x"]).max() <= 1e-6
    target = mixed.weight.numpy()[:, :1] * labels + mixed.weight.numpy()[:, 1:] * labels[golden["indices"]]
    assert np.abs(target - golden["target"]).max() <= 1e-6


def test_where_the_published_code_divides_zero_by_zero(shared):
    """Equal to the recorded pixels that are numbers, halves of both where they are not."""
    golden = np.load(shared / "golden" / "images" / "guided_mix_zero_saliency.npz")
    mixed = replay(golden)
    assert mixed.data.isfinite().all() and mixed.weight.isfinite().all()
    recorded = torch.from_numpy(golden["mixed_x"]).permute(0, 2, 3, 1)
    zero = torch.from_numpy(golden["saliency_in"]).flatten(1).sum(1) == 0
    pair = zero | zero[torch.from_numpy(golden["indices"]).long()]
    known = ~recorded.isnan() & ~pair[:, None, None, None]
    assert 0.05 < known.double().mean() < 0.9
    assert (mixed.data - recorded)[known].abs().max() <= 1e-6
    x = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1)
    middle = (x + x[torch.from_numpy(golden["indices"]).long()]) / 2
    vanished = recorded.isnan() & ~pair[:, None, None, None]
    assert vanished.any() and (mixed.data - middle)[vanished].abs().max() <= 1e-6


def test_hand_worked_example():
    """Two pixels wide, mirrored without the border: the blur of one pixel of two is a sum of weights at even and odd
    distances. exp(-k²/18) for k = 0..3 is 1, .946, .801, .607; even: 1 + 2·.801 = 2.601, odd: 2·(.946 + .607) = 3.105.
    Of a map (1, 0) that leaves shares e = .4559 and o = .5441. Beside a uniform map, ½ each, Eq. 2 gives
    e / (e + ½) = .4769 and o / (o + ½) = .5211; Eq. 3 their mean, .4990.
    """
    s_a, s_b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[3.0, 3.0]]])
    a, b = Images(torch.full((1, 1, 2, 3), 100.0), s_a), Images(torch.zeros(1, 1, 2, 3), s_b)
    mixed = GuidedMixup().mix(a, b, None, NOTHING[:1])
    assert mixed.mask[0, 0].tolist() == pytest.approx([0.4769, 0.5211], abs=1e-4)
    assert mixed.data[0, 0, :, 2].tolist() == pytest.approx([47.69, 52.11], abs=1e-2)
    assert mixed.weight[0].tolist() == pytest.approx([0.4990, 0.5010], abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 9), (12, 10)])
def test_shapes_ranges_and_shares(size):
    a, b = pictures(size=size)
    mixed = GuidedMixup().mix(a, b, None, NOTHING)
    assert mixed.data.shape == a.data.shape and mixed.data.dtype == torch.float32
    assert mixed.draw.shape == (16, 0) and mixed.query is None
    assert ((mixed.mask >= 0) & (mixed.mask <= 1)).all()
    low, high = torch.minimum(a.data, b.data), torch.maximum(a.data, b.data)
    assert ((mixed.data >= low - 1e-4) & (mixed.data <= high + 1e-4)).all(), "a mix lies between its parents"
    assert torch.allclose(mixed.weight[:, 0], mixed.mask.double().mean((1, 2)), atol=1e-15)
    assert torch.allclose(mixed.weight.sum(1), torch.ones(16, dtype=torch.float64), atol=1e-15)


def test_maps_are_blurred_distributions():
    a, _ = pictures()
    z = GuidedMixup().maps(a.saliency)
    assert torch.allclose(z.double().sum((1, 2)), torch.ones(16, dtype=torch.float64), atol=1e-5)
    assert z.flatten(1).std(1).max() < (a.saliency / a.saliency.sum((1, 2), keepdim=True)).flatten(1).std(1).min()


def test_all_zero_maps_are_uniform():
    a, b = pictures()
    zero = torch.zeros_like(a.saliency)
    assert torch.allclose(GuidedMixup().maps(zero), torch.full_like(zero, 1 / 120))
    both = GuidedMixup().mix(Images(a.data, zero), Images(b.data, zero), None, NOTHING)
    assert (both.mask == 0.5).all() and (both.weight == 0.5).all()
    one = GuidedMixup().mix(Images(a.data, zero), b, None, NOTHING)
    ones = GuidedMixup().mix(Images(a.data, torch.ones_like(zero)), b, None, NOTHING)
    assert torch.allclose(one.data, ones.data, atol=1e-3)


def test_half_of_each_where_both_maps_vanish():
    """A spot at either end of 20 pixels: the blur reaches 3 pixels, between them there is nothing."""
    s_a, s_b = torch.zeros(2, 1, 1, 20)
    s_a[..., 0] = s_b[..., 19] = 1
    a, b = Images(torch.full((1, 1, 20, 3), 100.0), s_a), Images(torch.zeros(1, 1, 20, 3), s_b)
    mixed = GuidedMixup().mix(a, b, None, NOTHING[:1])
    assert mixed.mask[0, 0].tolist() == [1] * 4 + [0.5] * 12 + [0] * 4
    assert mixed.data[0, 0, :, 0].tolist() == [100] * 4 + [50] * 12 + [0] * 4
    assert mixed.weight.tolist() == [[0.5, 0.5]]


def test_the_scale_of_a_map_does_not_matter():
    a, b = pictures()
    mixed = GuidedMixup().mix(a, b, None, NOTHING)
    for factor in (1e-30, 1e30):
        scaled = GuidedMixup().mix(Images(a.data, a.saliency * factor), b, None, NOTHING)
        assert torch.allclose(scaled.data, mixed.data, atol=1e-3)


def test_a_pair_and_its_reverse_are_one_mix():
    """Which is why `greedy` gives no pair both ways round."""
    a, b = pictures()
    there, back = GuidedMixup().mix(a, b, None, NOTHING), GuidedMixup().mix(b, a, None, NOTHING)
    assert (there.data - back.data).abs().max() < 1e-4 and (there.weight - back.weight.flip(1)).abs().max() < 1e-6


def test_declared_identities():
    a, _ = pictures()
    assert GuidedMixup.traits.keeps == ("self-pair",)
    assert torch.equal(GuidedMixup().mix(a, a, None, NOTHING).data, a.data)


def test_the_batch_does_not_matter():
    a, b = pictures()
    whole = GuidedMixup().mix(a, b, None, NOTHING)
    part = GuidedMixup().mix(*(Images(p.data[3:5], p.saliency[3:5]) for p in (a, b)), None, NOTHING[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.weight, whole.weight[3:5])


def test_which_saliency_is_needed():
    assert GuidedMixup().traits.saliency == "spectral"
    assert GuidedMixup(saliency="gradient").traits.saliency == "gradient"
    with pytest.raises(UsageError, match="saliency"):
        GuidedMixup(saliency="best")
