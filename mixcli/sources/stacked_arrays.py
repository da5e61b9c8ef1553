"""Arrays that hold many samples: what they and their labels must look like, whatever kind of file they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from mixcli.errors import MixError


class Declared(Protocol):
    """An array of which no more than the header may have been read."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...


def described(array: Declared) -> str:
    return f"{tuple(array.shape)} {np.dtype(array.dtype)}"


def looks_like_clouds(data: Declared) -> bool:
    """Clouds are floats of three axes; one array for each is a list of them."""
    return len(data.shape) in (1, 3) and np.dtype(data.dtype) != np.uint8


def check_labels(path: Path, name: str, label: Declared, count: int) -> None:
    """(n,) or (n,1) integers."""
    if np.dtype(label.dtype).kind not in "iu" or tuple(label.shape) not in ((count,), (count, 1)):
        raise MixError(f"'{name}' is {described(label)}", at=path, advice=f"expected {count} integers, one a cloud")


def class_numbers(path: Path, label: np.ndarray) -> np.ndarray:
    """Labels (n,) or (n,1) as (n,) i64."""
    label = label.reshape(-1)
    if label.dtype.kind == "u" and len(label) and label.max() > np.iinfo(np.int64).max:
        row = int(label.argmax())
        raise MixError(f"label {label[row]} is no class number", at=f"{path}[{row}]", advice="write the labels again")
    return label.astype(np.int64)
