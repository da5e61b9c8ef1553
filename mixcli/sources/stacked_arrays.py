"""Arrays that hold many samples: what they and their labels must look like, whatever kind of file they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from mixcli.errors import MixError
from mixcli.sources.labels import DenseShares, Labels

MOST_CLASSES = 1 << 20  # of which every sample may have a share


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
    """(n,) or (n,1) integers, or floats that are whole numbers."""
    if np.dtype(label.dtype).kind not in "iuf" or tuple(label.shape) not in ((count,), (count, 1)):
        raise MixError(f"'{name}' is {described(label)}", at=path, advice=f"expected {count} integers, one a cloud")


def is_by_class(label: Declared, count: int) -> bool:
    """Whether there is a number for every class of every sample: one-hot labels, or shares."""
    shape = tuple(label.shape)
    return (
        len(shape) == 2 and shape[0] == count and 1 < shape[1] <= MOST_CLASSES and np.dtype(label.dtype).kind in "fiub"
    )


def by_class(path: Path, name: str, values: np.ndarray) -> Labels:
    """Of (n,C): a single 1 in each row, or floats that are shares of the classes."""
    hard = values.argmax(1).astype(np.int64)
    single = ((values != 0).sum(1) == 1) & (values.max(1) == 1)
    if single.all():
        return Labels(hard)
    if values.dtype.kind == "f":
        return Labels(hard, None, DenseShares(path, name, values))
    raise MixError(
        f"several classes or none in '{name}'", at=f"{path}[{int(single.argmin())}]", advice="expected one a sample"
    )


def labels_of(path: Path, name: str, label: Declared, values: Callable[[], np.ndarray], count: int) -> Labels:
    """Labels of an array of any of these forms; `values` reads it."""
    if is_by_class(label, count):
        return by_class(path, name, values())
    check_labels(path, name, label, count)
    return Labels(class_numbers(path, values()))


def class_numbers(path: Path, label: np.ndarray) -> np.ndarray:
    """Labels (n,) or (n,1) as (n,) i64."""
    label = label.reshape(-1)
    if label.dtype.kind == "f":
        wrong = ~((np.abs(label) < 2.0**53) & (np.floor(label) == label))  # a NaN is wrong too
        if wrong.any():
            row = int(wrong.argmax())
            raise MixError(
                f"label {label[row]:g} is no class number", at=f"{path}[{row}]", advice="write the labels again"
            )
    if label.dtype.kind == "u" and len(label) and label.max() > np.iinfo(np.int64).max:
        row = int(label.argmax())
        raise MixError(f"label {label[row]} is no class number", at=f"{path}[{row}]", advice="write the labels again")
    return label.astype(np.int64)
