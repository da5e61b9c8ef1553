import numpy as np
import pytest

from mixcli.saliency.static import saliency

RNG = np.random.default_rng(0)


def gray(*rows):
    return np.repeat(np.array(rows, np.uint8)[None, :, :, None], 3, axis=3)


def test_the_recorded_maps_and_peaks(shared):
    golden = np.load(shared / "golden" / "images" / "saliencymix.npz")
    maps = saliency(golden["u8"])
    assert np.array_equal(maps, golden["salmap_uint8_rgb"])
    peaks = np.stack(np.unravel_index(maps.reshape(8, -1).argmax(1), (32, 32)), 1)
    assert np.array_equal(peaks, golden["peak_uint8_rgb"])


def test_hand_worked_example():
    """Gray 0, 0, 64: smoothed twice it is 8, 16, 24, for 0, 16, 32 comes in between.

    The surroundings are the whole image at all six radii: means of the others 20, 16, 12. So the first pixel is
    12 below, six times, the last 12 above, the middle one neither; each is stretched to 255 by itself.
    """
    assert saliency(gray([0, 0, 64])).tolist() == [[[1.0, 0.0, 1.0]]]


def test_the_widest_surroundings_reach_from_111_before_to_112_after():
    """A bright column, spread over 298 to 302 by the blur, is seen from 190 to 409 whole, from 186 to 413 in part."""
    image = np.zeros((1, 1, 601, 3), np.uint8)
    image[..., 300, :] = 255
    found = saliency(image)[0, 0]
    assert found[190] > 0 and found[409] > 0
    assert (found[:186] == 0).all() and (found[414:] == 0).all()


def test_a_byte_wraps_as_in_opencv():
    """In the middle of a gray spot in a dark ring in the light: brighter than near surroundings, darker than far ones.
    The recorded row is OpenCV 5.0's; 246 steps to 15, since the sum passes 255."""
    y, x = np.mgrid[:230, :230] - 115
    distances, levels = [0, 4, 8, 14, 22, 32, 45, 60, 80], [120, 120, 60, 0, 0, 40, 120, 200, 255]
    image = np.interp(np.hypot(y, x), distances, levels).round().astype(np.uint8)
    row = saliency(np.repeat(image[None, ..., None], 3, axis=3))[0, 115, 105:126] * 255
    recorded = [157, 168, 178, 193, 213, 246, 15, 37, 41, 40, 40, 41, 41, 37, 15, 246, 212, 193, 180, 169, 159]
    assert row.round().tolist() == recorded


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_images_of_one_and_two_pixels_are_flat_once_smoothed(size):
    maps = saliency(RNG.integers(0, 256, (3, *size, 3), dtype=np.uint8))
    assert maps.shape == (3, *size) and (maps == 0).all()


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_flat_image_gives_zeros(level):
    assert (saliency(np.full((2, 9, 14, 3), level, np.uint8)) == 0).all()


@pytest.mark.parametrize("size", [(3, 7), (32, 32), (40, 70), (1, 90)])
def test_range_and_steps(size):
    maps = saliency(RNG.integers(0, 256, (2, *size, 3), dtype=np.uint8))
    assert maps.dtype == np.float32 and maps.min() >= 0 and maps.max() <= 1
    assert np.abs(maps * 255 - np.rint(maps * 255)).max() < 1e-4


def test_a_map_depends_on_its_own_image_alone():
    images = RNG.integers(0, 256, (70, 32, 40, 3), dtype=np.uint8)  # more than are taken at a time
    assert np.array_equal(saliency(images), np.concatenate([saliency(image[None]) for image in images]))
    assert saliency(images[:0]).shape == (0, 32, 40)


def test_sums_past_31_bits_do_not_matter():
    """Eight and a half million white pixels sum to more than 2^31; a dark one at the end still stands out alone."""
    image = np.full((1, 16, 530_000, 3), 255, np.uint8)
    image[0, 8, -1] = 0
    found = saliency(image)[0]
    assert found[8, -1] == 1 and (found[:, :-200] == 0).all()


def test_channels_weigh_as_in_the_published_code():
    """It hands RGB to a conversion from BGR: red weighs 0.114, so a blue spot stands out more than a red one."""
    image = np.full((1, 40, 40, 3), 100, np.uint8)
    image[0, 8:12, 8:12, 0] = 255
    image[0, 28:32, 28:32, 2] = 255
    maps = saliency(image)[0]
    assert maps[28:32, 28:32].max() == 1 > 2 * maps[8:12, 8:12].max()
