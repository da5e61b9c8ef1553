import numpy as np
import pytest
import torch

from mixcli.saliency import spectral

MEAN, STD = (129.3 / 255, 124.1 / 255, 112.4 / 255), (68.2 / 255, 65.4 / 255, 70.4 / 255)


@pytest.fixture
def golden(shared):
    return lambda name: np.load(shared / "golden" / "images" / f"{name}.npz")


def channels_last(x):
    return torch.from_numpy(x).permute(0, 2, 3, 1)


def close(got, expected, tolerance=1e-6):
    """Relative to the largest value."""
    return np.abs(got.numpy() - expected).max() <= tolerance * np.abs(expected).max()


def test_each_step_of_the_recorded_maps(golden):
    recorded = golden("guided_sr32")
    gray = spectral.gray(channels_last(recorded["x"]))
    assert close(gray, recorded["gray"][:, 0])
    assert close(spectral.residual(gray), recorded["sr_unblurred"])
    assert close(spectral.from_gray(gray), recorded["sr_blurred"])


def test_from_bytes_with_the_published_normalisation(golden):
    recorded = golden("guided_sr32")
    assert close(spectral.saliency(torch.from_numpy(recorded["u8"]), MEAN, STD), recorded["sr_blurred"], 1e-5)


def test_an_image_that_is_not_square(golden):
    recorded = golden("guided_sr_64x96")
    assert close(spectral.from_gray(spectral.gray(channels_last(recorded["x"]))), recorded["sr_blurred"])


@pytest.mark.parametrize("antialias", [True, False])
def test_a_tall_image_goes_through_128_pixels(golden, antialias):
    recorded = golden("guided_sr_200x160")
    maps = spectral.from_gray(spectral.gray(channels_last(recorded["x"])), antialias)
    assert close(maps, recorded["sr_blurred_antialias" if antialias else "sr_blurred_noantialias"])
    assert not close(maps, recorded["sr_blurred_noantialias" if antialias else "sr_blurred_antialias"], 1e-2)


def test_hand_worked_example():
    """Two pixels g ± d have the spectrum 2g, 2d. With neighbours repeated at the border, the mean of the log
    spectrum L is (2 L0 + L1) / 3 at the first and (L0 + 2 L1) / 3 at the second, so the residuals are r and -r with
    r = (L0 - L1) / 3. For g = 8 d that is log(8) / 3 = log 2: magnitudes 2 and 1/2, and back: 2 ± 1/2, halved.
    """
    found = spectral.residual(torch.tensor([[[9.0, 7.0]]]))
    assert found[0, 0].tolist() == pytest.approx([1.25, 0.75], abs=1e-6)


def test_brightness_scale_does_not_matter():
    image = torch.rand(2, 20, 20, generator=torch.manual_seed(0)) + 0.5
    assert torch.allclose(spectral.residual(image), spectral.residual(image * 100), atol=1e-5)


def test_a_black_image_has_no_saliency():
    assert (spectral.saliency(torch.zeros(2, 16, 16, 3, dtype=torch.uint8)) == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (33, 18), (129, 4)])
def test_shapes_ranges_and_finiteness(size):
    maps = spectral.saliency(torch.randint(0, 256, (3, *size, 3), generator=torch.manual_seed(1)))
    assert maps.shape == (3, *size) and maps.dtype == torch.float32
    assert maps.isfinite().all() and (maps >= 0).all()


def test_a_map_depends_on_its_own_image_alone():
    images = torch.randint(0, 256, (21, 24, 40, 3), generator=torch.manual_seed(2))
    maps = spectral.saliency(images)
    for i in range(21):
        assert torch.equal(maps[i], spectral.saliency(images[i : i + 1])[0])
