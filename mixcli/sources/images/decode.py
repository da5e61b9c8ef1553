"""One picture: compressed bytes -> (H,W,3) u8 RGB, by one rule whatever the format says about colour, alpha and EXIF.

Colour: grey and palettes become RGB; CMYK is converted without its profile, as is every other colour profile. Alpha is
composited on white. 16-bit grey is scaled by 1/257 and rounded, or as it is asked; of 16-bit colour Pillow keeps the
higher byte. Where TIFF says that 0 is white it is, at any depth. The
first frame of several counts. The orientation that a header states is applied; one that stands behind the pixels is
not seen. A JPEG far larger than what is wanted is decoded at a fraction of its size, which changes the pixels of a
photograph by 0.2 levels on average, by 4 at most. All of this is Pillow's work: the rule is always the same, the
pixels are so for one version of its decoders and filters.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin

from mixcli.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# Nothing else is tried, whatever the first bytes ask for: among the other decoders some start programs.
PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin, BmpImagePlugin, PpmImagePlugin, TiffImagePlugin)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "PPM", "TIFF")

MOST_PIXELS = (1 << 30) // 4 // 3  # 89 million: what Pillow, too, takes for the largest honest picture
DRAFT = 2  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves this many times the pixels a side that are wanted

EXIF = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # where an orientation may be stated
ORIENTATION, TIFF_SIZE = 274, (256, 257)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Box = tuple[float, float, float, float]  # left, top, right, bottom
SWAPPED = (5, 6, 7, 8)  # height and width change places

EMPTY = "the file is empty"
NO_WAIT = 0 if sys.platform == "win32" else os.O_NONBLOCK  # a pipe that was put in a picture's place must not block

SIXTEEN = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)
Deep = Callable[[np.ndarray], np.ndarray]  # 16 bits to 8, of the same shape
PHOTOMETRIC, BITS, WHITE_IS_ZERO = 262, 258, 0  # of TIFF

# Pillow's remarks on odd files would reach the user's terminal; what matters of them is in our own sentences.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class Fit:
    """The size that is wanted of every picture.

    Torchvision's Resize and CenterCrop in one step: the picture is resized by Pillow's bilinear filter, which
    averages over what it shrinks, until it just covers height and width; its middle is kept.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UsageError("give both sides, 1 or more pixels each", at=f"a size of {self.height} x {self.width}")

    @property
    def sides(self) -> tuple[int, int]:
        return self.height, self.width

    def covering(self, height: int, width: int) -> tuple[int, int]:
        """The size that a picture is resized to before it is cropped.

        >>> Fit(64, 64).covering(300, 200), Fit(20, 40).covering(100, 100)
        ((96, 64), (40, 40))
        """
        if self.height * width >= self.width * height:
            return self.height, self.height * width // height
        return self.width * height // width, self.width


class Unusable(ValueError):
    """Why a picture cannot be used."""


class Header(NamedTuple):
    """What is known of a picture before its pixels are decoded."""

    image: Image.Image
    height: int  # after it is turned
    width: int
    turn: int  # EXIF's number; 1: as it is


def all_of_range(values: np.ndarray) -> np.ndarray:
    """0..65535 to 0..255."""
    return SIXTEEN[values]


def decode(data: bytes | Path, fit: Fit | None = None, deep: Deep = all_of_range) -> np.ndarray:
    """(H,W,3) u8 RGB, not writeable. ValueError(reason) where it is no picture, too large, or cut short.

    deep: brings 16-bit pixels to 8 bits; it is called for pictures that have such.
    """
    with opened(data) as file:
        header = _header(file)
        try:
            return _pixels(header, fit, deep)
        except Unusable:
            raise
        except Exception as e:  # Pillow's readers raise whatever a damaged byte leads them to
            raise Unusable(f"the picture is damaged or cut short ({_short(e)})") from e


def size_of(data: bytes | Path) -> tuple[int, int]:
    """(H, W) as `decode` without a size gives it, from the header alone; (-1, -1) where there is none to read."""
    try:
        with opened(data) as file:
            header = _header(file)
    except Unusable:
        return -1, -1
    return header.height, header.width


def opened(data: bytes | Path) -> BinaryIO:
    """The bytes of a picture, at least one. The links of a path were judged where it was found."""
    if isinstance(data, Path):
        return _opened_file(data)
    if not data:
        raise Unusable(EMPTY)
    return BytesIO(data)


def _opened_file(path: Path) -> BinaryIO:
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | NO_WAIT), "rb")
    except OSError as e:
        raise Unusable(f"it cannot be opened ({e.strerror})") from e
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return file
    file.close()
    raise Unusable(EMPTY if stat.S_ISREG(status.st_mode) else "it is no regular file")


def fitted(image: Image.Image, fit: Fit) -> np.ndarray:
    """(H,W,3) u8 of an 8-bit picture."""
    return _finished(_resized(image, _covering(image.height, image.width, fit)), fit)


def _header(file: BinaryIO) -> Header:
    try:
        image = Image.open(file, formats=FORMATS)
        turn = _turn(image)
        height, width = _size(image, turn)
    except Image.DecompressionBombError:
        raise Unusable(f"more than {MOST_PIXELS:,} pixels; make it smaller") from None
    except Exception as e:  # as above
        raise Unusable("its header is damaged, or of no kind that is read (JPEG, PNG, WebP, BMP, PPM, TIFF)") from e
    if height * width > MOST_PIXELS:
        raise Unusable(f"{width:,} x {height:,} pixels, more than {MOST_PIXELS:,}; make it smaller")
    return Header(image, height, width, turn)


def _turn(image: Image.Image) -> int:
    """EXIF's orientation, 1 where nothing is left to do: Pillow itself turns TIFF when it decodes it."""
    if image.format == "TIFF" or not any(key in image.info for key in EXIF):
        return 1
    turn = Image.Image.getexif(image).get(ORIENTATION)  # the reader's own would decode all of a PNG in search of one
    return turn if turn in TURNS else 1


def _size(image: Image.Image, turn: int) -> tuple[int, int]:
    """(H, W) after it is turned. What Pillow says of a TIFF before it is decoded depends on Pillow's version."""
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height, turn = (image.tag_v2.get(tag, 1) for tag in (*TIFF_SIZE, ORIENTATION))
    return (width, height) if turn in SWAPPED else (height, width)


def _pixels(header: Header, fit: Fit | None, deep: Deep) -> np.ndarray:
    image, wanted, box = header.image, None, None
    if fit is not None:
        width, height = _covering(header.height, header.width, fit)
        wanted = (height, width) if header.turn in SWAPPED else (width, height)
        box = _drafted(image, wanted)
    higher = _is_deep_colour(image)
    image.load()
    image = _eight_bits(image, deep)
    if higher:
        image = _of_higher_bytes(image, deep)
    image = _resized(image, wanted or image.size, box)
    return _finished(image.transpose(TURNS[header.turn]) if header.turn in TURNS else image, fit)


def _drafted(image: Image.Image, wanted: tuple[int, int]) -> Box | None:
    """The picture's box in the smaller one that a JPEG will be decoded as: its border may be part of a pixel."""
    if image.format not in ("JPEG", "MPO"):
        return None
    drafted = image.draft(None, (DRAFT * wanted[0], DRAFT * wanted[1]))
    return drafted[1] if drafted else None


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether a picture that is not decoded yet has 16-bit colour, of which Pillow keeps the higher byte."""
    return image.mode in ("RGB", "RGBA") and any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _of_higher_bytes(image: Image.Image, deep: Deep) -> Image.Image:
    """ "RGB" whose levels are the higher bytes of 16-bit colour."""
    return Image.fromarray(deep(np.asarray(image.convert("RGB")).astype(np.uint16) * 257))


def _sixteen_bits(image: Image.Image) -> np.ndarray:
    """(H,W) 0..65535, 0 is black. TIFF tells how many of the bits are used, and may mean white by 0."""
    values = np.asarray(image).clip(0, 65535)
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return values
    told = image.tag_v2.get(BITS, (16,))[0]
    most = (1 << min(told, 16)) - 1
    values = values.astype(np.int64)
    if image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = most - values
    return (values.clip(0, most) * 65535 // most).astype(np.uint16)


def _eight_bits(image: Image.Image, deep: Deep) -> Image.Image:
    """As "L" or "RGB"."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray(deep(_sixteen_bits(image)))
    if image.mode in ("I", "F"):
        raise Unusable("32-bit pixels, whose range is not known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _covering(height: int, width: int, fit: Fit) -> tuple[int, int]:
    """(W, H) to resize to."""
    high, wide = fit.covering(height, width)
    if high * wide > MOST_PIXELS:
        raise Unusable(f"{width:,} x {height:,} pixels are too narrow for {fit.width} x {fit.height} of them")
    return wide, high


def _resized(image: Image.Image, wanted: tuple[int, int], box: Box | None = None) -> Image.Image:
    return image if image.size == wanted else image.resize(wanted, Image.Resampling.BILINEAR, box)


def _finished(image: Image.Image, fit: Fit | None) -> np.ndarray:
    """The middle of a picture that covers the size, in colour."""
    if fit is not None and image.size != (fit.width, fit.height):
        top, left = round((image.height - fit.height) / 2), round((image.width - fit.width) / 2)
        image = image.crop((left, top, left + fit.width, top + fit.height))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
