from contextlib import closing

import numpy as np
import pytest
import torch
from scipy import stats
from test_augment import pictures, pillow

import mixcli
from mixcli.algorithms.augment.policy import AUGMIX, AUGMIX_ALL, OPS
from mixcli.data.images import Images
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.methods.augmix import AugMix, dirichlet
from mixcli.rng import uniforms


def draws(method, batch, seed=0):
    return uniforms(seed, "mix", np.arange(batch), width=method.traits.draws)


def mixed(method, images, u):
    return method.mix(Images(torch.from_numpy(images.astype(np.float32))), None, None, torch.from_numpy(u))


def columns(method, mix):
    """Of each mix: m, the shares (width,), and operations and values (width,depth)."""
    drawn = dict(zip(method.traits.draw_names, mix.draw.numpy().T, strict=True))
    chains = range(1, method.width + 1)

    def steps(name):
        places = [[drawn[f"{name}_{i}_{j}"] for j in range(1, method.deepest + 1)] for i in chains]
        return np.array(places).transpose(2, 0, 1)

    return drawn["m"], np.stack([drawn[f"w_{i}"] for i in chains], 1), steps("op").astype(int), steps("value")


@pytest.mark.parametrize("size", [(1, 1), (17, 5), (32, 32)])
@pytest.mark.parametrize(
    "method", [AugMix(), AugMix(all_ops=True, severity=10), AugMix(width=1, depth=4, alpha=0.3), AugMix(width=5)]
)
def test_the_published_loop_over_pillow(method, size):
    """Image by image, chain by chain, in float64, with the numbers that the row tells it drew."""
    images = np.concatenate([pictures(size), pictures(size, 1)])
    mix = mixed(method, images, draws(method, len(images)))
    for image, out, *drawn in zip(images, mix.data.numpy(), *columns(method, mix), strict=True):
        m, w, op, value = drawn
        total = np.zeros(image.shape)
        for chain in range(method.width):
            copy = image
            for i, v in zip(op[chain], value[chain], strict=True):
                copy = pillow(OPS[i], copy, v) if i >= 0 else copy
            total += w[chain] * copy
        assert np.abs(out - ((1 - m) * image + m * total)).max() < 1e-4


def test_hand_worked_example():
    """One chain of one operation: solarize, number 4 of 9, at level 5 of 10, so from 256 - 128 on.

    200 becomes 55, 100 stays. m = 1/4 is its own uniform: 3/4 · 200 + 1/4 · 55 = 163.75.
    """
    method = AugMix(width=1, depth=1, severity=10)
    u = np.array([[0.25, 0.9, 0.1, 4.5 / 9, (5 - 0.1) / 9.9, 0.7]])
    mix = mixed(method, np.array([[[[200] * 3, [100] * 3]]]), u)
    assert mix.data[0, 0, :, 0].tolist() == [163.75, 100]
    assert method.traits.draw_names == ("m", "w_1", "op_1_1", "value_1_1")
    assert np.allclose(mix.draw, [[0.25, 1, 4, 128]], rtol=0, atol=1e-15)
    assert mix.weight.tolist() == [[1]] and mix.mask is None


@pytest.mark.parametrize("all_ops", [False, True])
def test_what_is_drawn(all_ops):
    """m and levels uniform, shares of Dirichlet(1), operations, depths and signs as often as each other."""
    method, count = AugMix(all_ops=all_ops, severity=5), AUGMIX_ALL if all_ops else AUGMIX
    m, w, op, value = columns(method, mixed(method, pictures((1, 1))[:1].repeat(2000, 0), draws(method, 2000)))
    assert stats.kstest(m, "uniform").pvalue > 1e-3
    assert all(stats.kstest(share, stats.beta(1, 2).cdf).pvalue > 1e-3 for share in w.T)
    depth = (op >= 0).sum(2)
    assert ((op >= 0) == (np.arange(3) < depth[..., None])).all(), "a chain ends once"
    assert stats.chisquare(np.bincount(depth.ravel(), minlength=4)[1:]).pvalue > 1e-3
    assert stats.chisquare(np.bincount(op[op >= 0], minlength=count)).pvalue > 1e-3
    slope = value[op == OPS.index("shear_x")]
    assert stats.kstest(abs(slope), stats.uniform(0.003, 0.147).cdf).pvalue > 1e-3
    assert stats.binomtest(int((slope > 0).sum()), len(slope)).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 1.0, 7.5])
def test_shares_of_chains(alpha):
    w = dirichlet(uniforms(0, "mix", np.arange(3000), width=3), alpha)
    assert np.allclose(w.sum(1), 1, rtol=0, atol=1e-15)
    assert all(stats.kstest(share, stats.beta(alpha, 2 * alpha).cdf).pvalue > 1e-3 for share in w.T)


def test_shares_far_down():
    """Where all variates underflow, the largest uniform takes it all."""
    found = dirichlet(np.array([[2.0**-53, 0.5, 0.25], [1 - 2.0**-53] * 3]), 1e-4)
    assert np.allclose(found, [[0, 1, 0], [1 / 3] * 3], rtol=0, atol=1e-15)


def test_a_view_depends_on_nothing_but_its_draws():
    method, images = AugMix(), pictures((12, 9))
    whole = mixed(method, images, draws(method, 10))
    part = mixed(method, images[3:5], draws(method, 10)[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.draw, whole.draw[3:5])


def test_translations_reach_a_third_of_the_image_at_level_10():
    method = AugMix(width=1, depth=1, severity=10)
    for name, expected in (("translate_x", 20), ("translate_y", 10)):
        u = np.array([[0.5, 0.5, 0.5, (OPS.index(name) + 0.5) / AUGMIX, 1 - 2.0**-53, 0.4]])
        assert mixed(method, np.zeros((1, 33, 63, 3)), u).draw[0, -1] == expected


def test_views_of_an_image_stand_next_to_each_other(sample, tmp_path):
    out = tmp_path / "views.h5"
    mixcli.mix("augmix", str(sample / "images" / "test"), str(out), k=2, window=32)
    with closing(Dataset(out).require()) as dataset:
        rows = dataset.read(0, dataset.rows)
    assert rows["parent"][:, 0].tolist() == np.repeat(np.arange(80), 2).tolist()
    assert (rows["soft_label"].max(1) == 1).all() and (rows["weight"] == 1).all()
    assert (rows["data"][0::2] != rows["data"][1::2]).any((1, 2, 3)).all()
    assert mixcli.verify(out, replay=None)["faults"] == []


@pytest.mark.parametrize(
    "option", [{"width": 0}, {"width": 11}, {"depth": 0}, {"depth": -2}, {"severity": 11}, {"alpha": 0}]
)
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        AugMix(**option)
