"""Batched operations beside Pillow's, image by image."""

import platform

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from mixcli.algorithms.augment import apply as augment
from mixcli.algorithms.augment.policy import AUGMIX, AUGMIX_ALL, OPS, augmix_values, randaugment_values

SIZES = [(1, 1), (1, 7), (6, 1), (2, 2), (3, 3), (17, 5), (32, 32), (33, 40)]
SLOPES, PIXELS, FACTORS = (-0.3, -0.1, -0.017, 0.0, 0.05, 0.123, 0.3), (-90, -3, -1, 0, 1, 2.5, 11), (0, 0.1, 0.37, 1.9)
VALUES = {
    "posterize": (1, 3, 4, 8),
    "rotate": (-30, -7, 0, 1, 8, 29.5, 89),
    "solarize": (0, 1, 128, 178.5, 255, 256),
    "shear_x": SLOPES,
    "shear_y": SLOPES,
    "translate_x": PIXELS,
    "translate_y": PIXELS,
    **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), (*FACTORS, 1, 1.0001)),
}
X86 = platform.machine() in ("x86_64", "AMD64")


def pillow(name, image, value):
    """What the published code calls. (H,W,3) u8 -> (H,W,3) u8."""
    image = Image.fromarray(image)

    def affine(*matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)

    done = {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "posterize": lambda: ImageOps.posterize(image, int(value)),
        "rotate": lambda: image.rotate(value, resample=Image.Resampling.BILINEAR),
        "solarize": lambda: ImageOps.solarize(image, value),
        "shear_x": lambda: affine(1, value, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, value, 1, 0),
        "translate_x": lambda: affine(1, 0, value, 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, value),
        "color": lambda: ImageEnhance.Color(image).enhance(value),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(value),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(value),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(value),
        "identity": lambda: image,
    }[name]()
    return np.asarray(done)


def pictures(size, seed=0):
    """Noise of all levels, of some, of two and of one, ramps, and black but for one pixel. -> (10,H,W,3) u8."""
    rng = np.random.default_rng(seed)
    lone = np.zeros((*size, 3), int)
    lone[size[0] // 2, size[1] // 2] = 200, 255, 3
    y, x = np.mgrid[: size[0], : size[1]]
    ramp = np.stack([3 * x, 5 * y, 7 * (x + y)], -1) % 256
    noise = [rng.integers(low, high, (*size, 3)) for low, high in ((0, 256), (0, 256), (40, 190), (254, 256), (0, 2))]
    flat = [np.full((*size, 3), level) for level in (0, 77, 255)]
    return np.stack([*noise, *flat, ramp, lone]).astype(np.uint8)


def applied(images, op, value):
    """(B,H,W,3) u8 -> the same; the images are left as they are."""
    given = torch.from_numpy(images.copy())
    found = augment.apply(given, op, value).numpy()
    assert np.array_equal(given.numpy(), images)
    return found


@pytest.fixture(params=["compiled", "torch"])
def form(request, monkeypatch):
    """Both forms of the operations."""
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "0" if request.param == "compiled" else "1")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", OPS)
def test_the_same_as_pillow(name, size, form):
    images, values = pictures(size), VALUES.get(name, (0,))
    batch = np.repeat(images, len(values), 0)
    value = np.tile(np.array(values, float), len(images))
    found = applied(batch, np.full(len(batch), OPS.index(name)), value)
    expected = np.stack([pillow(name, *one) for one in zip(batch, value, strict=True)])
    off = np.abs(found.astype(int) - expected).max()
    assert off == 0 if X86 else off <= 1, "elsewhere a compiler may join a product and a sum"


def test_each_image_its_own_operation(form):
    """Every operation in one batch, in any order; -1 leaves an image as it is."""
    images = np.concatenate([pictures((9, 12)), pictures((9, 12), 1)])
    op = np.random.default_rng(3).permutation(len(images)) - 1
    op[op >= len(OPS)] -= len(OPS)
    value = np.array([VALUES.get(OPS[i], (0,))[-1] if i >= 0 else 0 for i in op], float)
    for image, out, i, v in zip(images, applied(images, op, value), op, value, strict=True):
        assert np.array_equal(out, pillow(OPS[i] if i >= 0 else "identity", image, v))


def test_a_run_of_operations_on_every_level_of_strength(form):
    """As AugMix chains them, at all severities."""
    rng, images = np.random.default_rng(0), np.repeat(pictures((21, 16)), 6, 0)
    found = expected = images
    for _ in range(4):
        op, level = rng.integers(0, AUGMIX_ALL, len(images)), rng.uniform(0.1, 10, len(images))
        value = augmix_values(op, level, rng.choice([-1, 1], len(images)), (21, 16))
        found = applied(found, op, value)
        expected = np.stack([pillow(OPS[i], *one) for i, *one in zip(op, expected, value, strict=True)])
    assert np.array_equal(found, expected)


def test_hand_worked_levels(form):
    """Autocontrast: 50, 100, 150 to 0, 127.5, 255; a channel of 9s stays. Equalize: too few pixels for any step."""
    row = np.array([50, 100, 150], np.uint8)
    images = np.stack([row, row + 10, np.full_like(row, 9)], -1)[None, None]
    stretched, kept = (
        applied(images, np.array([OPS.index(name)]), np.zeros(1)) for name in ("autocontrast", "equalize")
    )
    assert stretched[0, 0].T.tolist() == [[0, 127, 255], [0, 127, 255], [9, 9, 9]]
    assert np.array_equal(kept, images)


def test_hand_worked_places(form):
    """A pixel moves left by what is given, up by what is given; half a pixel mixes two; the rest is black."""
    images = np.zeros((3, 1, 4, 3), np.uint8)
    images[:, 0, 2] = 100
    moved = applied(images, np.full(3, OPS.index("translate_x")), np.array([1, 0.5, -1]))
    assert moved[:, 0, :, 0].tolist() == [[0, 100, 0, 0], [0, 50, 50, 0], [0, 0, 0, 100]]
    moved = applied(moved.transpose(0, 2, 1, 3), np.full(3, OPS.index("translate_y")), np.array([1, 4, 0]))
    assert moved[:, :, 0, 0].tolist() == [[100, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 100]]


def test_numbers_mean_the_same_everywhere():
    assert tuple(function.__name__ for function in augment.FUNCTIONS) == OPS


def test_whole_levels():
    data = torch.tensor([-1.0, 0.4, 0.6, 254.7, 256.0]).view(1, 1, 5, 1)
    assert augment.levels(data).flatten().tolist() == [0, 0, 1, 255, 255]


def published(name, level, negative, width, height):
    """`augmentations.py` of AugMix, one value; its IMAGE_SIZE is the image's own."""

    def whole(most):
        return int(level * most / 10)

    def share(most):
        return float(level) * most / 10.0

    sign = -1 if negative else 1
    return {
        "posterize": lambda: 4 - whole(4),
        "rotate": lambda: sign * whole(30),
        "solarize": lambda: 256 - whole(256),
        "shear_x": lambda: sign * share(0.3),
        "shear_y": lambda: sign * share(0.3),
        "translate_x": lambda: sign * whole(width / 3),
        "translate_y": lambda: sign * whole(height / 3),
        **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), lambda: share(1.8) + 0.1),
    }.get(name, lambda: 0)()


def test_augmix_gives_the_published_values():
    rng = np.random.default_rng(0)
    op, level, sign = rng.integers(0, len(OPS), 5000), rng.uniform(0.1, 10, 5000), rng.choice([-1, 1], 5000)
    expected = [published(OPS[i], v, s < 0, 50, 31) for i, v, s in zip(op, level, sign, strict=True)]
    assert np.array_equal(augmix_values(op, level, sign, (31, 50)), expected)


def test_augmix_leaves_out_what_imagenet_c_tests():
    assert set(OPS[AUGMIX:AUGMIX_ALL]) == {"color", "contrast", "brightness", "sharpness"}
    assert OPS[AUGMIX_ALL:] == ("identity",)


def test_randaugment_at_nothing_changes_nothing(form):
    op, images = np.arange(2, len(OPS)), np.tile(pictures((8, 9))[:1], (len(OPS) - 2, 1, 1, 1))
    assert np.array_equal(applied(images, op, randaugment_values(op, 0, np.ones(len(op)), (8, 9))), images)


@pytest.mark.parametrize("sign", [-1, 1])
def test_randaugment_reaches_autoaugments_ranges(sign):
    found = randaugment_values(np.arange(len(OPS)), 30, np.full(len(OPS), sign), (331, 662))
    expected = {
        "posterize": 4, "rotate": 30 * sign, "solarize": 0, "shear_x": 0.3 * sign, "shear_y": 0.3 * sign,
        "translate_x": 300 * sign, "translate_y": 150 * sign,
        **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), 1 + 0.9 * sign),
    }  # fmt: skip
    assert np.allclose(found, [expected.get(name, 0) for name in OPS], atol=1e-12)
