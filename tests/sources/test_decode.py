"""One picture: every kind of pixel, orientation and damage, and the rule that fits it to a size."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mixcli.errors import UsageError
from mixcli.sources.images.decode import MOST_PIXELS, Fit, decode, size_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")  # Pillow's, on odd files

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), np.uint8)
GREY = RNG.integers(0, 256, (6, 9), np.uint8)
CORNERS = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 24), np.uint8))  # every turn shows


def saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def turned(turn):
    exif = Image.Exif()
    exif[274] = turn
    return exif


def smooth(height, width):
    """A picture as photographs are: neighbours are alike."""
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [128 + 100 * np.sin(y / 31), 128 + 100 * np.cos(x / 47), (x + y) * 255 / (height + width)], 2
    ).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_lossless_kinds_come_back_as_they_were(kind):
    data = saved(RGB, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert (decode(data) == RGB).all() and size_of(data) == (6, 9)


def test_jpeg_is_what_pillow_decodes():
    data = saved(smooth(40, 60), "JPEG")
    assert (decode(data) == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_a_file_gives_what_its_bytes_give(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(RGB))
    assert (decode(tmp_path / "a.png") == RGB).all() and size_of(tmp_path / "a.png") == (6, 9)


def test_grey_becomes_three_equal_channels():
    found = decode(saved(GREY))
    assert found.shape == (6, 9, 3) and (found == GREY[..., None]).all()
    assert (decode(saved(Image.fromarray(GREY > 99))) == np.where(GREY > 99, 255, 0)[..., None]).all()


def test_palettes_become_their_colours():
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert decode(saved(image)).tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]


def test_cmyk_is_converted():
    image = Image.fromarray(RGB).convert("CMYK")
    assert (decode(saved(image, "TIFF")) == RGB).all()
    assert decode(saved(image, "JPEG")).shape == (6, 9, 3)


@pytest.mark.parametrize("kind", ["RGBA", "LA"])
def test_alpha_is_composited_on_white(kind):
    alpha = np.array([[0, 128, 255]], np.uint8)
    colour = np.full((1, 3, 3 if kind == "RGBA" else 1), 100, np.uint8)
    found = decode(saved(Image.fromarray(np.concatenate([colour, alpha[..., None]], 2), kind)))
    assert found[0, :, 0].tolist() == [255, round(255 + (100 - 255) * 128 / 255), 100]
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 0] == found[..., 2]).all()


def test_one_transparent_colour_of_a_palette_is_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decode(saved(image, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_by_257(kind):
    values = np.array([[0, 128, 129, 257, 385, 386, 65406, 65407, 65535]], np.uint16)
    data = b"P5 9 1 65535\n" + values.astype(">u2").tobytes() if kind == "PPM" else saved(Image.fromarray(values), kind)
    found = decode(data)
    assert found[0, :, 0].tolist() == [round(v / 257) for v in values[0].tolist()]


@pytest.mark.parametrize("values", [np.float32, np.int32])
def test_pixels_of_no_known_range_are_refused(values):
    with pytest.raises(ValueError, match="32-bit pixels"):
        decode(saved(Image.fromarray(np.ones((3, 3), values)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_applied(kind, turn):
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(kind, {})
    data = saved(CORNERS, kind, exif=turned(turn), **options)
    upright = {
        1: CORNERS, 2: CORNERS[:, ::-1], 3: CORNERS[::-1, ::-1], 4: CORNERS[::-1], 5: CORNERS.T,
        6: CORNERS[::-1].T, 7: CORNERS[::-1, ::-1].T, 8: CORNERS[:, ::-1].T,
    }[turn]  # fmt: skip
    assert abs(decode(data)[..., 0].astype(int) - upright).max() <= 2
    assert size_of(data) == upright.shape
    fitted = decode(data, Fit(8, 8))[..., 0].astype(int)
    assert abs(fitted - decode(saved(upright), Fit(8, 8))[..., 0]).max() <= 2


def test_a_worthless_orientation_is_none():
    assert (decode(saved(RGB, exif=turned(99))) == RGB).all()


def two_steps(image, side):
    """Torchvision's Resize(side) and CenterCrop(side) of a Pillow image."""
    width, height = image.size
    wide, high = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    top, left = round((high - side) / 2), round((wide - side) / 2)
    return image.resize((wide, high), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60))
def test_a_square_is_what_torchvision_makes(height, width, side):
    image = Image.fromarray(np.random.default_rng(side).integers(0, 256, (height, width, 3), np.uint8))
    assert (decode(saved(image), Fit(side, side)) == np.asarray(two_steps(image, side))).all()


def test_the_middle_is_kept_unchanged_where_no_resizing_is_needed():
    assert (decode(saved(RGB), Fit(6, 6)) == RGB[:, 2:8]).all()  # 1.5 rounds to the even 2
    assert (decode(saved(RGB), Fit(6, 9)) == RGB).all()


def test_grey_is_fitted_as_colour_is():
    grey = decode(saved(GREY), Fit(4, 4))
    assert (grey == decode(saved(np.stack([GREY] * 3, 2)), Fit(4, 4))).all()


def test_wide_targets_are_just_covered():
    assert Fit(20, 40).covering(100, 100) == (40, 40)
    assert Fit(20, 40).covering(10, 400) == (20, 800)
    assert decode(saved(RGB), Fit(20, 40)).shape == (20, 40, 3)


@pytest.mark.parametrize(("turn", "side", "fraction"), [(1, 60, 4), (6, 60, 4), (1, 40, 8), (8, 200, 2), (1, 500, 1)])
def test_a_large_jpeg_is_decoded_at_a_fraction(turn, side, fraction, monkeypatch):
    data = saved(smooth(901, 1203), "JPEG", quality=95, exif=turned(turn))
    sizes, draft = [], JpegImageFile.draft

    def noted(image, *arguments):
        found = draft(image, *arguments)
        sizes.append(image.size)
        return found

    monkeypatch.setattr(JpegImageFile, "draft", noted)
    found = decode(data, Fit(side, side)).astype(int)
    monkeypatch.setattr(JpegImageFile, "draft", lambda image, *arguments: None)
    apart = abs(found - decode(data, Fit(side, side)))
    assert apart.max() <= 4 and apart.mean() < 0.5
    assert sizes == [(-(-1203 // fraction), -(-901 // fraction))]


def test_a_single_pixel_is_a_picture():
    assert decode(saved(RGB[:1, :1])).shape == (1, 1, 3)
    assert (decode(saved(RGB[:1, :1]), Fit(5, 7)) == RGB[0, 0]).all()


def header_of(width, height):
    """A PNG of a few bytes that declares a size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [30_000, 12_000, 9_500])
def test_too_many_pixels_are_refused_by_the_header(side):
    with pytest.raises(ValueError, match=f"more than {MOST_PIXELS:,}"):
        decode(header_of(side, side))
    assert size_of(header_of(side, side)) == (-1, -1)


def test_a_line_is_not_blown_up():
    with pytest.raises(ValueError, match="too narrow for 224 x 224"):
        decode(saved(np.zeros((1, 60_000), np.uint8)), Fit(224, 224))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (saved(smooth(50, 50), "JPEG")[:700], "damaged or cut short"),
        (saved(smooth(50, 50), "JPEG")[:300], "header is damaged"),
        (saved(RGB)[:-60], "damaged or cut short"),
        (b"hello", "of no kind that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "of no kind that is read"),
        (saved(RGB, "GIF"), "of no kind that is read"),
    ],
)
def test_damage_has_a_reason(tmp_path, data, says):
    with pytest.raises(ValueError, match=says):
        decode(data)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=says):
        decode(tmp_path / "a.png", Fit(8, 8))


def test_what_is_no_file_has_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="no regular file"):
        decode(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"cannot be opened \(No such file"):
        decode(tmp_path / "gone.png")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM"]), st.data())
def test_damaged_bytes_never_do_more_than_say_so(kind, data):
    found = bytearray(saved(smooth(12, 17), kind, exif=turned(3)) if kind not in ("BMP", "PPM") else saved(RGB, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    size = size_of(bytes(found))
    try:
        shape = decode(bytes(found), Fit(8, 8)).shape
    except ValueError as e:
        assert str(e)
    else:
        assert shape == (8, 8, 3) and min(size) > 0


@pytest.mark.parametrize("sides", [(0, 4), (4, 0), (-1, -1)])
def test_a_size_has_two_sides(sides):
    with pytest.raises(UsageError, match="give both sides"):
        Fit(*sides)


def test_pillow_says_nothing_itself(tmp_path):
    (tmp_path / "a.png").write_bytes(header_of(12_000, 12_000))
    code = "import sys, pathlib; from mixcli.sources.images.decode import size_of; size_of(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
