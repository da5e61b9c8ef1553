import numpy as np
import pytest
import torch
from scipy import stats

import mixcli
from mixcli.data.images import Images
from mixcli.data.points import Samples
from mixcli.methods.mixup import Mixup, blended
from mixcli.rng import uniforms

MIXUP = Mixup(on="images")


def pictures(batch=16, size=(9, 14), seed=0):
    data = np.random.default_rng(seed).uniform(0, 255, (2, batch, *size, 3)).astype(np.float32)
    return [Images(torch.from_numpy(x)) for x in data]


def draws(batch, seed=0):
    return torch.from_numpy(uniforms(seed, "mix", np.arange(batch)))


def test_the_recorded_mix(shared):
    golden = np.load(shared / "golden" / "images" / "mixup.npz")
    x, partner = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1), golden["rand_index"]
    logit = torch.full((8,), float(golden["lam"]), dtype=torch.float64).logit()
    mixed, labels = blended(x, x[partner], logit), np.eye(10)[golden["y"]]
    assert np.abs(mixed.data.permute(0, 3, 1, 2).numpy() - golden["mixed_x"]).max() <= 1e-6
    target = mixed.weight.numpy()[:, :1] * labels + mixed.weight.numpy()[:, 1:] * labels[partner]
    assert np.abs(target - golden["target"]).max() <= 1e-6


def test_hand_worked_example():
    """u = 1/4 of Beta(1, 1) is λ = 1/4: red 200 and blue 100 become red 1/4·200 = 50, blue 3/4·100 = 75."""
    a, b = (Images(torch.tensor([[[rgb]]])) for rgb in ([200.0, 0, 0], [0, 0, 100.0]))
    mixed = MIXUP.mix(a, b, None, torch.tensor([[0.25]], dtype=torch.float64))
    assert mixed.data[0, 0, 0].tolist() == pytest.approx([50, 0, 75], abs=1e-5)
    assert mixed.weight[0].tolist() == pytest.approx([0.25, 0.75], abs=1e-15)
    assert mixed.mask.tolist() == [[[0.25]]]


@pytest.mark.parametrize("alpha", [1.0, 0.2, 3.0])
def test_each_mix_draws_its_own_lambda(alpha):
    a, b = pictures(2000, (1, 2))
    mixed = Mixup(on="images", alpha=alpha).mix(a, b, None, draws(2000, seed=3))
    lam = mixed.weight[:, 0].numpy()
    assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > 1e-3 and len(np.unique(lam)) > 1990
    expected = lam[:, None, None, None] * a.data.numpy() + (1 - lam[:, None, None, None]) * b.data.numpy()
    assert np.abs(mixed.data.numpy() - expected).max() < 1e-4
    assert (mixed.mask.numpy() == lam.astype(np.float32)[:, None, None]).all()


def test_one_lambda_on_clouds_and_images():
    a, b = pictures()
    of_images = MIXUP.mix(a, b, None, draws(16))
    clouds = Samples(torch.zeros(16, 3, 3)), Samples(torch.ones(16, 3, 3))
    assert torch.equal(of_images.draw, Mixup().mix(*clouds, None, draws(16)).draw)


def test_a_run_without_model(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=values, labels=np.arange(12) % 3)
    result = mixcli.mix("mixup", str(tmp_path / "pictures.npz"), str(tmp_path / "m.npz"), on="images", keep=("mask",))
    found = np.load(tmp_path / "m.npz")
    first, second = (values[found["parent"][:, p]].astype(float) for p in (0, 1))
    lam = found["weight"][:, 0].astype(float)[:, None, None, None]
    assert np.abs(found["data"] - (lam * first + (1 - lam) * second)).max() <= 0.5 + 1e-3, "rounded once"
    assert np.abs(found["mask"] / 255 - lam[..., 0]).max() <= 0.5 / 255 + 1e-6
    assert result.manifest["recipe"]["options"] == {"alpha": 1.0, "on": "images"}
    assert mixcli.verify(result.path, replay=None)["faults"] == []
