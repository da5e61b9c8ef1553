"""SVHN's cropped digits as published: `train_32x32.mat` with `X` (32,32,3,n) u8 and `y` (n,1), where 10 stands for 0.

Matlab's format is read by scipy, and of a file only what its index declares to be such arrays, of a size that fits.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import DEFLATE_LIMIT
from mixcli.files.regular import is_litter, require_file, require_inside
from mixcli.sources.file_splits import split_of
from mixcli.sources.images.labels import names_beside
from mixcli.sources.images.splits import wanted
from mixcli.sources.images.stacked import Stack, Stacked, check_pictures
from mixcli.sources.labels import Labels
from mixcli.sources.stacked_arrays import class_numbers

SUFFIX = ".mat"
NUMBERS = ("uint8", "uint16", "int8", "int16", "int32", "double", "single")  # Matlab's names of plain arrays
MOST_BYTES = 1 << 32
DIGITS = tuple("0123456789")
AGAIN = "copy or download it again"


def svhn_folder(root: Path, split: str = "auto") -> Stacked | None:
    """The files of a split; None where the folder has none."""
    files = [path for path in sorted(root.iterdir()) if path.suffix.lower() == SUFFIX and not is_litter(path.name)]
    files = [require_inside(path, root) for path in files if path.is_file()]
    if not files:
        return None
    notes: list[str] = []
    told = {path.name: split_of(path.name) for path in files}
    chosen = wanted(root, told, split, notes)
    return _stacked(root, [path for path in files if path.name in chosen], notes)


def svhn_file(path: Path) -> Stacked | None:
    """One file; None where it is none of Matlab's."""
    return _stacked(path, [path], []) if path.suffix.lower() == SUFFIX else None


def _stacked(path: Path, files: list[Path], notes: list[str]) -> Stacked:
    read = [_arrays(file) for file in files]
    labels = np.concatenate([numbers for _, numbers in read])
    names, listing = names_beside(files[0].parent)
    if labels.min(initial=1) >= 1 and labels.max(initial=0) == len(DIGITS):
        labels, names = labels % len(DIGITS), names or DIGITS
        notes = [*notes, f"{path}: label 10 is the digit 0, as in SVHN, and becomes class 0"]
    stacks = [Stack(home, pixels) for home, (pixels, _) in zip(files, read, strict=True)]
    return Stacked(path, [*files, *listing], stacks, Labels(labels, names), notes)


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n,H,W,3) u8 and (n,) i64."""
    size = require_file(path).stat().st_size
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as e:
        raise UsageError("reading .mat needs the package scipy", at=path, advice="pip install scipy") from e
    try:
        held = {name: (shape, kind) for name, shape, kind in whosmat(str(path), appendmat=False)}
        for name in ("X", "y"):
            if name not in held or held[name][1] not in NUMBERS:
                raise MixError(f"has no array of numbers '{name}'", at=path, advice="expected SVHN's layout, X and y")
            if math.prod(held[name][0]) > min(size * DEFLATE_LIMIT, MOST_BYTES):
                raise MixError(f"'{name}' declares {held[name][0]}, more than it can hold", at=path, advice=AGAIN)
        values = loadmat(str(path), appendmat=False, variable_names=["X", "y"])
        pixels, numbers = values["X"], values["y"]
    except MixError:
        raise
    except Exception as e:  # scipy's reader raises whatever a damaged byte leads it to
        raise MixError(f"cannot be read ({' '.join(str(e).split())[:80]})", at=path, advice=AGAIN) from e
    if pixels.ndim != 4 or numbers.size != pixels.shape[3] or numbers.dtype.kind not in "iuf":
        what = f"'X' is {pixels.shape} and 'y' {numbers.shape}"
        raise MixError(what, at=path, advice="expected (32, 32, 3, n) and (n, 1)")
    pictures = pixels.transpose(3, 0, 1, 2)
    check_pictures(path, "X", pictures)
    return pictures, class_numbers(path, numbers)
