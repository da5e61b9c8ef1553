"""A mixed dataset for training with PyTorch, whatever its container."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from mixcli.datasets.contract import Mixed
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.option import takes
from mixcli.settings.commands import Opening


class MixedDataset(TorchDataset):
    """Rows of a mixed dataset as tuples of tensors; safe to share with a DataLoader's worker processes.

    With the default fields a row is (data, soft_label): a cloud (N,3) f32 and a distribution (C,) f32, as
    `torch.nn.functional.cross_entropy` takes them.
    """

    def __init__(self, path: str | Path, fields: Sequence[str], transform: Callable[[Any], Any] | None):
        self.path, self.wanted, self.transform = Path(path), tuple(fields), transform
        self.file: Mixed | None = None  # opened by each process for itself
        dataset = Dataset(self.path).require()
        self.rows, self.manifest = dataset.rows, dataset.manifest
        have = [f.name for f in dataset.fields]
        self.class_names = dataset.file.class_names or tuple(map(str, range(dataset.recipe["classes"])))
        dataset.close()
        if missing := [name for name in self.wanted if name not in have]:
            raise UsageError(f"no field {missing[0]!r}", at=path, advice=f"it has {', '.join(have)}")

    def __repr__(self) -> str:
        return f"MixedDataset({str(self.path)!r}: {self.rows:,} rows of {', '.join(self.wanted)})"

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> tuple[torch.Tensor, ...]:
        if not -self.rows <= row < self.rows:
            raise IndexError(f"{self.path} has rows 0 to {self.rows - 1}, not {row}")
        return tuple(values[0] for values in self._values(np.array([row % self.rows])))

    def __getitems__(self, rows: list[int]) -> list[tuple[torch.Tensor, ...]]:
        """A batch at once, which DataLoader asks for; one read a field."""
        return list(zip(*self._values(np.asarray(rows)), strict=True))

    def _values(self, rows: np.ndarray) -> list[Any]:
        if self.file is None:
            self.file = Dataset(self.path).file
        file = self.file  # of each field the rows' tensor, or what the transform makes of each
        columns: list[Any] = [torch.from_numpy(np.ascontiguousarray(file.take(name, rows))) for name in self.wanted]
        if self.transform and "data" in self.wanted:
            at = self.wanted.index("data")
            columns[at] = [self.transform(one) for one in columns[at]]
        return columns

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "file": None}


@takes(Opening)
def open_dataset(
    path: str | Path,
    fields: Sequence[str] = ("data", "soft_label"),
    transform: Callable[[Any], Any] | None = None,
) -> MixedDataset:
    """A finished dataset as a `torch.utils.data.Dataset`: (data, soft label), or other fields of its manifest.

    transform is applied to each row's data, a tensor: augmentation belongs there, after the mixing.
    """
    return MixedDataset(path, fields, transform)
