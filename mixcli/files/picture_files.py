"""How one picture becomes a file and comes back: `.png` loses nothing, `.jpg` and `.webp` a little, and are smaller.

What a lossy file gives back is what the dataset holds: it is decoded as soon as it is written, and digests are of that.
Another version of the decoder may differ by a level; another version of the encoder may write other bytes.

Files are untrusted: their header must promise the dataset's picture before one is decoded.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from PIL import Image, features
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from mixcli.errors import MixError, UsageError

LEVEL = 1
RUNS, USUAL = 3, -1  # zlib's strategies: runs of equal bytes only, and what Pillow takes for filtered rows
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
MODES = {2: ("L", 0, "grey"), 3: ("RGB", 2, "RGB")}  # by the axes of a picture: Pillow's mode, PNG's colour type
FULL, HALF = "4:4:4", "4:2:0"  # colour at every pixel, or at every other one of every other row
FINE = 90  # quality from which a .jpg keeps colour at every pixel
# Pillow's remarks on odd files would reach the user's terminal; what matters of them is in our own sentences.
warnings.filterwarnings("ignore", module="PIL")

TILE = 16  # pixels: a block of a .jpg that keeps colour at every other one
METHOD = 2  # of WebP, 0 to 6: as small as 4 within 3 %, and 2 to 3 times as fast


@dataclass(frozen=True)
class Encoding:
    """How pictures become files."""

    suffix: ClassVar[str]
    lossy: ClassVar[bool]
    shares: ClassVar[tuple[float, float]]  # bytes of a file to one of pixels: a photograph, a drawing
    most_side: ClassVar[int]  # pixels
    reader: ClassVar[type[ImageFile]]

    @property
    def recorded(self) -> dict[str, Any]:
        """What decides the pixels."""
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """Of Pillow's writer."""
        raise NotImplementedError

    @staticmethod
    def promises(data: bytes, height: int, width: int, colour: int) -> bool:
        """Whether a file's first bytes may be those of such a picture. colour: PNG's type."""
        raise NotImplementedError


@dataclass(frozen=True)
class Png(Encoding):
    """Nothing is lost.

    level: zlib's, 0 (none) to 9. 1 compresses runs only, which for photographs is as small as 6 and 3 times as fast;
    drawings get smaller from 6 on.
    """

    level: int = LEVEL

    suffix = ".png"
    lossy = False
    shares = 0.6, 0.05
    most_side = 1 << 31
    reader = PngImageFile

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 9:
            raise UsageError("must be 0 to 9", at=f"--png-level {self.level}")

    @property
    def settings(self) -> dict[str, Any]:
        return {"compress_level": self.level, "compress_type": RUNS if self.level == LEVEL else USUAL}

    @staticmethod
    def promises(data: bytes, height: int, width: int, colour: int) -> bool:
        return data[:26] == PNG + struct.pack(">IIBB", width, height, 8, colour)


@dataclass(frozen=True)
class Lossy(Encoding):
    """What `.jpg` and `.webp` share. quality: 1 to 100."""

    quality: int = 0
    subsampling: str = HALF

    lossy = True

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError("must be 1 to 100", at=f"--quality {self.quality}")

    @property
    def recorded(self) -> dict[str, Any]:
        return {"encoding": self.suffix[1:], "quality": self.quality, "subsampling": self.subsampling}


@dataclass(frozen=True)
class Jpg(Lossy):
    """Baseline JPEG. Its entropy code is the usual one: Pillow fails to make a better one for noise."""

    quality: int = 95
    subsampling: str = ""  # by default 4:4:4 for quality 90 or more, else 4:2:0

    suffix = ".jpg"
    shares = 0.25, 0.01
    most_side = 65535
    reader = JpegImageFile

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "subsampling", self.subsampling or (FULL if self.quality >= FINE else HALF))

    @property
    def settings(self) -> dict[str, Any]:
        return {"quality": self.quality, "subsampling": self.subsampling}

    @staticmethod
    def promises(data: bytes, height: int, width: int, colour: int) -> bool:
        return data[:3] == b"\xff\xd8\xff"  # the size stands anywhere; the reader looks for it before it decodes


@dataclass(frozen=True)
class Webp(Lossy):
    """WebP, always lossy: quality 100 is its best, and colour is kept at every other pixel at any quality."""

    quality: int = 90

    suffix = ".webp"
    shares = 0.1, 0.005
    most_side = 16383
    reader = WebPImageFile

    def __post_init__(self) -> None:
        super().__post_init__()
        if not features.check("webp"):
            raise UsageError(
                "this Pillow was built without WebP", at="--format webp", advice="install another, or take jpg"
            )

    @property
    def settings(self) -> dict[str, Any]:
        return {"quality": self.quality, "method": METHOD}

    @staticmethod
    def promises(data: bytes, height: int, width: int, colour: int) -> bool:
        """Its reader lays out a canvas before it tells the size, so that is looked up here."""
        if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8 " or data[23:26] != b"\x9d\x01\x2a" or len(data) < 30:
            return False
        return tuple(side & 0x3FFF for side in struct.unpack("<HH", data[26:30])) == (width, height)


LOSSY: dict[str, type[Lossy]] = {"jpg": Jpg, "webp": Webp}
KINDS: dict[str, type[Encoding]] = {"png": Png, **LOSSY}


def encoding(name: str = "png", quality: int | None = None, level: int | None = None) -> Encoding:
    """Of "png", "jpg" or "webp"; UsageError where a setting is not for it."""
    lossy = LOSSY.get(name)
    if quality is not None and lossy is None:
        raise UsageError(
            "is for jpg and webp, and .png loses nothing", at=f"--quality {quality}", advice="leave it out"
        )
    if level is not None and lossy is not None:
        raise UsageError(
            f"is for .png, and {lossy.suffix} is written", at=f"--png-level {level}", advice="leave it out"
        )
    if lossy is None:
        return Png() if level is None else Png(level)
    return lossy() if quality is None else lossy(quality)


def recorded(recipe: Mapping[str, Any]) -> Encoding | None:
    """What the pixels of a dataset went through, by its recipe; None where nothing was lost."""
    name = recipe.get("encoding")
    return LOSSY[name](recipe["quality"], recipe["subsampling"]) if name else None


def encoded(picture: np.ndarray, how: Encoding) -> bytes:
    """A file of one picture (H,W) or (H,W,3) u8."""
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, how.reader.format, **how.settings)
    return file.getvalue()


def decoded(data: bytes, shape: tuple[int, ...], how: Encoding, address: str) -> np.ndarray:
    """(H,W) or (H,W,3) u8, read-only; nothing is decoded that is not of just this size, colour and depth."""
    height, width = shape[:2]
    mode, colour, word = MODES[len(shape)]
    if how.promises(data, height, width, colour):
        try:
            image = how.reader(BytesIO(data))
            if image.size == (width, height) and image.mode == mode:  # a second header may have said otherwise
                return np.asarray(image)
        except Exception as e:  # Pillow's reader raises whatever a damaged byte leads it to
            reason = " ".join(str(e).split())[:80] or type(e).__name__
            raise MixError(f"is damaged or cut short ({reason})", at=address) from e
    what = f"{word} {how.suffix} of {width} x {height} pixels, 8 bits deep"
    raise MixError(f"is no {what}, as the rows of this dataset are", at=address, advice="it was changed")


def alike(stored: np.ndarray, made: np.ndarray, how: Encoding | None) -> bool:
    """Whether stored pictures (m,H,W,3) u8 can be those made again, which may be a level off anywhere.

    A lossy file of a picture that is a level off somewhere may differ by a step of the quantiser there, which at a low
    quality is tens of levels. So, where its own file does not come out the same, in every tile of 16 x 16 pixels what
    is stored must be about as near to the picture as that file is: root mean squares of at most 1 + 1.5 times.
    """
    if how is None:
        return _levels(stored, made) <= 1
    ours = through(made, how)
    return _levels(stored, ours) <= 1 or bool((_errors(stored, made) <= 1 + 1.5 * _errors(ours, made)).all())


def _levels(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(np.int16) - other).max(initial=0))


def _errors(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Root mean square of the differences in each tile (m,H,W,3) -> (m,h,w,3)."""
    squares = (one.astype(np.float64) - other) ** 2
    tops, lefts = (np.arange(0, side, TILE) for side in squares.shape[1:3])
    sums = np.add.reduceat(np.add.reduceat(squares, tops, 1), lefts, 2)
    heights, widths = (np.diff(at, append=side) for at, side in zip((tops, lefts), squares.shape[1:3], strict=True))
    return np.sqrt(sums / (heights[:, None] * widths)[..., None])


def through(pictures: np.ndarray, how: Encoding) -> np.ndarray:
    """Pictures (m,H,W,3) u8 as they come back from files."""
    return np.stack([decoded(encoded(picture, how), picture.shape, how, "") for picture in pictures])


def versions(how: Encoding) -> dict[str, str]:
    """Of Pillow, and of the decoder that it was built with."""
    turbo = features.version("libjpeg_turbo")
    library, part = ("libjpeg-turbo", "libjpeg_turbo") if turbo else ("libjpeg", "jpg")
    if how.suffix == Webp.suffix:
        library, part = "libwebp", "webp"
    return {"pillow": Image.__version__, library: features.version(part) or "unknown"}
