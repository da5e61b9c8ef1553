import numpy as np
import pytest
import torch
from scipy import stats
from test_augment import pictures, pillow

import mixcli
from mixcli.algorithms.augment.policy import OPS
from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.augmix import AugMix
from mixcli.methods.keepaugment import FINEST, KeepAugment, importance
from mixcli.rng import uniforms


def draws(method, batch):
    return torch.from_numpy(uniforms(0, "mix", np.arange(batch), width=method.traits.draws))


def random(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def images(maps, pixels=None):
    pixels = (256 * random(*maps.shape, 3)).astype(int) if pixels is None else pixels
    return Images(*(torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (pixels, maps)))


def boxes_of(mix):
    return mix.draw[:, 1:5].long().numpy()


def sums(saliency, half):
    """Of the region around every pixel, in float64, one by one. (H,W) -> (H,W)."""
    found = np.zeros(saliency.shape)
    for y, x in np.ndindex(saliency.shape):
        found[y, x] = saliency[max(y - half, 0) : y + half, max(x - half, 0) : x + half].astype(float).sum()
    return found


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 14), (20, 17)])
@pytest.mark.parametrize("half", [1, 3, 8])
def test_importance_is_the_sum_of_saliency(size, half):
    maps = 1e3 * random(3, *size) ** 4
    value, total = importance(maps, half)
    found = value / FINEST * maps.max((1, 2))[:, None]
    assert np.allclose(found, np.stack([sums(m, half).ravel() for m in maps]), rtol=1e-6, atol=1e-3)
    assert np.allclose(total / FINEST * maps.max((1, 2)), maps.sum((1, 2)), rtol=1e-6)


def test_hand_worked_example():
    """One row, saliency 0 0 8 1; regions of 2: sums 0, 0, 8, 9. The median's order statistic, of rank 1, is 0.

    No region is below 0, so a hole is one of the two that share it; kept is one of the two above.
    """
    maps = np.tile(np.array([[0, 0, 8, 1]], np.float32), (64, 1, 1))
    cut = KeepAugment(length=2, tau=0.5, fill="1,2,3")
    mix = cut.mix(images(maps), None, None, draws(cut, 64))
    assert {tuple(box) for box in boxes_of(mix).tolist()} == {(0, 0, 1, 1), (0, 0, 1, 2)}
    assert (mix.data[:, 0, 0] == torch.tensor([1.0, 2, 3])).all() and (mix.mask[:, 0, 2:] == 1).all()
    assert (mix.draw[:, 0] == 0).all()
    paste = KeepAugment(augment="randaugment", length=2, tau=0.5)
    mix = paste.mix(images(maps), None, None, draws(paste, 64))
    assert {tuple(row) for row in mix.draw[:, :5].tolist()} == {(8 / 9, 0, 1, 1, 3), (1, 0, 2, 1, 4)}


@pytest.mark.parametrize("tau", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("augment", ["cutout", "randaugment"])
def test_regions_are_below_the_quantile_or_above_it(augment, tau):
    method = KeepAugment(augment=augment, length=6, tau=tau)
    maps = random(40, 13, 18) ** 4
    mix = method.mix(images(maps), None, None, draws(method, 40))
    for saliency, (top, left, bottom, right), share in zip(maps, boxes_of(mix), mix.draw[:, 0], strict=True):
        cut = saliency[top:bottom, left:right].astype(float).sum()
        assert share == pytest.approx(cut / saliency.astype(float).sum(), rel=1e-5)
        threshold = np.quantile(sums(saliency, 3), tau, method="lower")
        assert cut < threshold if augment == "cutout" else cut > threshold


def test_every_region_that_fits_is_drawn_as_often():
    method = KeepAugment(length=4, tau=0.6)
    saliency = random(6, 7)
    mix = method.mix(images(np.tile(saliency, (6000, 1, 1))), None, None, draws(method, 6000))
    boxes, count = np.unique(boxes_of(mix), axis=0, return_counts=True)
    assert len(boxes) == int(0.6 * 41), "those of lower rank"
    assert stats.chisquare(count).pvalue > 1e-3


@pytest.mark.parametrize("augment", ["cutout", "randaugment"])
def test_a_map_with_one_salient_pixel(augment):
    """It is never cut, and always kept, though most regions tie at nothing."""
    maps = np.zeros((50, 30, 31), np.float32)
    maps[:, 12, 20] = 3e-20
    method = KeepAugment(augment=augment, length=8)
    mix = method.mix(images(maps), None, None, draws(method, 50))
    assert (mix.mask[:, 12, 20] == 1).all()
    assert len(np.unique(boxes_of(mix), axis=0)) > 20


@pytest.mark.parametrize("augment", ["cutout", "randaugment"])
def test_the_most_salient_region_alone(augment):
    """Nothing is above a quantile of 1: the largest itself is taken; and below it all others are."""
    method = KeepAugment(augment=augment, length=2, tau=1.0)
    maps = random(30, 8, 8)
    boxes = boxes_of(method.mix(images(maps), None, None, draws(method, 30)))
    best = np.stack([np.unravel_index(sums(m, 1).argmax(), m.shape) for m in maps])
    assert ((boxes[:, 2:] - 1 == best).all(1) == (augment == "randaugment")).all()


def test_a_little_noise_in_a_map_moves_no_region():
    """A replay has its maps from other batches. Some region at the threshold changes sides in one map of twenty here.

    A draw by its place among those that fit would move in one of a hundred.
    """
    method, maps = KeepAugment(length=10), random(1500, 24, 20) ** 4
    noisy = maps * (1 + 1e-3 * np.random.default_rng(1).standard_normal(maps.shape))
    u, black = draws(method, 1500), np.zeros((*maps.shape, 3))
    one, other = (boxes_of(method.mix(images(m, black), None, None, u)) for m in (maps, noisy))
    assert (one != other).any(1).sum() <= 2


def test_randaugment_beside_what_is_kept():
    """Outside of the region what Pillow makes of the image, inside of it the image."""
    method = KeepAugment(augment="randaugment", operations=3, magnitude=17, length=6)
    pixels = np.concatenate([pictures((21, 16), seed) for seed in range(5)])
    a = images(random(*pixels.shape[:3]), pixels)
    mix = method.mix(a, None, None, draws(method, len(pixels)))
    op, value = mix.draw[:, 5:].view(len(pixels), 3, 2).unbind(2)
    assert len(op.unique()) == len(OPS)
    for image, out, kept, i, v in zip(pixels, mix.data.numpy(), mix.mask.numpy() == 1, op, value, strict=True):
        changed = image
        for number, given in zip(i.long().tolist(), v.tolist(), strict=True):
            changed = pillow(OPS[number], changed, given)
        assert np.array_equal(out, np.where(kept[..., None], image, changed))
        assert 0 < kept.sum() <= 36


def test_augmix_beside_what_is_kept():
    method, pixels = KeepAugment(augment="augmix", length=6), pictures((21, 16))
    a, u = images(random(*pixels.shape[:3]), pixels), draws(method, len(pixels))
    mix, view = method.mix(a, None, None, u), AugMix().mix(a, None, None, u[:, 1:])
    assert torch.equal(mix.data, a.data.where(mix.mask[..., None] == 1, view.data))
    assert torch.equal(mix.draw[:, 5:], view.draw)
    assert method.traits.draw_names == ("importance", "top", "left", "bottom", "right", *AugMix().traits.draw_names)


@pytest.mark.parametrize("augment", ["cutout", "randaugment", "augmix"])
def test_a_run_can_be_made_again(sample, tmp_path, augment):
    out, ckpt = tmp_path / "kept.h5", str(sample / "preact_resnet.pt")
    options = {"augment": augment, "keep": ("mask",), "k": 2}
    mixcli.mix("keepaugment", str(sample / "images" / "test"), str(out), ckpt=ckpt, normalize="half", **options)
    assert mixcli.verify(out, replay=20)["faults"] == []


@pytest.mark.parametrize(
    "option",
    [{"length": 1}, {"tau": 0}, {"tau": 1.5}, {"tau": float("nan")}, {"fill": "red"}, {"operations": 11},
     {"operations": 0}, {"magnitude": 31}, {"magnitude": 0}, {"augment": "mixup"}],
)  # fmt: skip
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        KeepAugment(**option)
