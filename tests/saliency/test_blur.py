import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from mixcli.saliency.blur import distribution, gaussian


@pytest.mark.parametrize("recorded", ["sage_random_full16", "sage_random_rp001"])
def test_recorded_blur(shared, recorded):
    golden = np.load(shared / "golden" / "images" / f"{recorded}.npz")
    found = gaussian(torch.from_numpy(golden["s_raw"][:, 0]), 5, 1.0)
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - golden["s_tilde"][:, 0]).max() <= 1e-6


@pytest.mark.parametrize("kind", ["train_bce", "eval_ce"])
def test_recorded_blur_of_real_saliency(shared, kind):
    golden = np.load(shared / "golden" / "images" / "sage_saliency_resnet20.npz")
    raw, smooth = golden[f"s_{kind}"][:, 0], golden[f"s_tilde_{kind}"][:, 0]
    found = gaussian(torch.from_numpy(raw), 5, 1.0).numpy()
    assert np.abs(found - smooth).max() <= 1e-6 * smooth.max()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 4), (9, 32)])
@pytest.mark.parametrize(("kernel", "sigma"), [(1, 1.0), (5, 1.0), (7, 3.0), (11, 2.0)])
def test_any_size_is_mirrored(size, kernel, sigma):
    maps = np.random.default_rng(0).random((3, *size))
    weight = np.exp(-0.5 * ((np.arange(kernel) - kernel // 2) / sigma) ** 2)
    weight /= weight.sum()
    want = correlate1d(correlate1d(maps, weight, axis=1, mode="mirror"), weight, axis=2, mode="mirror")
    assert np.allclose(gaussian(torch.from_numpy(maps), kernel, sigma).numpy(), want, rtol=1e-13)


def test_a_constant_map_stays_constant_and_a_spike_spreads():
    assert torch.allclose(gaussian(torch.full((1, 6, 6), 3.0), 5, 1.0), torch.tensor(3.0))
    spike = torch.zeros(1, 9, 9, dtype=torch.float64)
    spike[0, 4, 4] = 1
    found = gaussian(spike, 5, 1.0)
    assert found.sum().item() == pytest.approx(1) and (found > 0).sum() == 25
    assert torch.equal(found, found.flip(1)) and torch.allclose(found, found.transpose(1, 2))


def test_the_batch_does_not_matter():
    maps = torch.from_numpy(np.random.default_rng(0).random((7, 12, 10)).astype(np.float32))
    whole = gaussian(maps, 5, 1.0)
    assert all(torch.equal(gaussian(maps[n : n + 1], 5, 1.0)[0], whole[n]) for n in range(7))


def test_distribution():
    maps = torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]], [[1e-40, 1e-40]], [[3e38, 1e38]]])
    found = distribution(maps)
    assert found.dtype == torch.float64
    assert torch.allclose(found, torch.tensor([[[0.25, 0.75]], [[0.5, 0.5]], [[0.5, 0.5]], [[0.75, 0.25]]]).double())


def test_recorded_distribution(shared):
    golden = np.load(shared / "golden" / "images" / "sage_e2e_resnet20.npz")
    found = distribution(torch.from_numpy(golden["s_tilde"][:, 0])).numpy() * golden["alpha"]
    assert np.abs(found - golden["s1"][:, 0]).max() <= 1e-7
