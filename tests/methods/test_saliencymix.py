import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.cutmix import box, paste
from mixcli.methods.saliencymix import SaliencyMix
from mixcli.rng import uniforms
from mixcli.saliency import static


def pictures(batch=16, size=(9, 14), seed=0):
    found = []
    for data in np.random.default_rng(seed).integers(0, 256, (2, batch, *size, 3), dtype=np.uint8):
        found.append(Images(torch.from_numpy(data).float(), torch.from_numpy(static.saliency(data))))
    return found


def draws(batch, seed=0):
    return torch.from_numpy(uniforms(seed, "mix", np.arange(batch)))


def test_the_recorded_mixes(shared):
    """The released code's one box a batch, around the recorded peak of the first source's recorded map."""
    golden = np.load(shared / "golden" / "images" / "saliencymix.npz")
    x = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1)
    for k, (lam, partner) in enumerate(zip(golden["lam_drawn"], golden["rand_index"], strict=True)):
        peak = golden["peak_float_released"][partner[0]]
        one = box(np.array([32, 32]), np.array([1 - lam]), peak[None])
        assert np.array_equal(one[0], golden["bbox"][k])
        mixed = paste(Images(x), Images(x[partner]), np.full(8, lam), one.repeat(8, 0))
        assert np.array_equal(mixed.data.permute(0, 3, 1, 2).numpy(), golden["mixed_x"][k])
        assert (mixed.weight[:, 0] == golden["lam"][k]).all()


def test_boxes_around_the_recorded_peaks_of_each_image(shared):
    """u = 1/2 is λ = 1/2 of Beta(1, 1): sides of 32 √½ = 22.6, so 11 to either side, clipped."""
    golden = np.load(shared / "golden" / "images" / "saliencymix.npz")
    b = Images(torch.from_numpy(golden["u8"]).float(), torch.from_numpy(golden["salmap_uint8_rgb"]))
    mixed = SaliencyMix().mix(b, b, None, torch.full((8, 1), 0.5, dtype=torch.float64))
    peak = golden["peak_uint8_rgb"]
    assert np.array_equal(mixed.draw[:, 1:].numpy(), np.hstack([(peak - 11).clip(0), (peak + 11).clip(max=32)]))
    assert np.array_equal(mixed.query.numpy(), (peak @ [32, 1])[:, None].repeat(2, 1))


def test_hand_worked_example():
    """4 x 8 pixels, λ = 1/4: 1 and 3 pixels to either side of the peak (3, 6), so rows 2 and 3, columns 3 to 7."""
    map_b = torch.zeros(1, 4, 8)
    map_b[0, 3, 6] = 2
    a, b = Images(torch.full((1, 4, 8, 3), 10.0)), Images(torch.full((1, 4, 8, 3), 20.0), map_b)
    mixed = SaliencyMix().mix(a, b, None, torch.tensor([[0.25]], dtype=torch.float64))
    expected = np.full((4, 8), 10.0)
    expected[2:4, 3:8] = 20
    assert np.array_equal(mixed.data[0, :, :, 0].numpy(), expected)
    assert mixed.weight.tolist() == [[22 / 32, 10 / 32]]
    assert mixed.draw[0].tolist() == pytest.approx([0.25, 2, 3, 4, 8], abs=1e-12)
    assert mixed.query.tolist() == [[30, 30]]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (9, 14), (33, 20)])
def test_the_label_is_the_share_of_pixels(size):
    a, b = pictures(32, size)
    mixed = SaliencyMix().mix(a, b, None, draws(32))
    assert torch.equal(mixed.data, torch.where(mixed.mask[..., None] == 1, a.data, b.data))
    assert torch.allclose(mixed.weight[:, 0], mixed.mask.double().mean((1, 2)), atol=1e-15)
    assert torch.equal(mixed.weight.sum(1), torch.ones(32, dtype=torch.float64))
    top, left, bottom, right = mixed.draw[:, 1:].T
    y, x = mixed.query[:, 1] // size[1], mixed.query[:, 1] % size[1]
    empty = (top == bottom) | (left == right)
    assert (empty | ((top <= y) & (y < bottom) & (left <= x) & (x < right))).all(), "the peak is in the box"


def test_of_equal_peaks_the_first_is_taken_and_a_flat_map_has_it_at_the_origin():
    a, b = pictures(4)
    flat = Images(b.data, torch.zeros(4, 9, 14))
    flat.saliency[1, 5, 3] = flat.saliency[1, 5, 9] = 1
    assert SaliencyMix().mix(a, flat, None, draws(4)).query[:, 1].tolist() == [0, 5 * 14 + 3, 0, 0]


def test_lambda_is_drawn_for_each_mix():
    a, b = pictures(500, (4, 4))
    lam = SaliencyMix(alpha=0.5).mix(a, b, None, draws(500)).draw[:, 0].numpy()
    assert stats.kstest(lam, stats.beta(0.5, 0.5).cdf).pvalue > 1e-3


def test_declared_identities():
    a, b = pictures()
    assert {"self-pair", "lam-one"} == set(SaliencyMix.traits.keeps)
    assert torch.equal(SaliencyMix().mix(a, a, None, draws(16)).data, a.data)
    ones = torch.full((16, 1), 1 - 2.0**-53, dtype=torch.float64)
    assert torch.equal(SaliencyMix(alpha=0.05).mix(a, b, None, ones).data, a.data)


def test_the_batch_does_not_matter():
    a, b = pictures()
    whole = SaliencyMix().mix(a, b, None, draws(16))
    part = SaliencyMix().mix(*(Images(p.data[3:5], p.saliency[3:5]) for p in (a, b)), None, draws(16)[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.draw, whole.draw[3:5])


def test_options_out_of_range():
    with pytest.raises(UsageError, match="alpha"):
        SaliencyMix(alpha=-1.0)
