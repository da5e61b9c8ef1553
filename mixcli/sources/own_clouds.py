"""A dataset that mixcli wrote, as a source: its soft labels are mixed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixcli.datasets.container import open_mixed
from mixcli.datasets.folder_names import MANIFEST, METADATA
from mixcli.datasets.plain_files import is_plain
from mixcli.errors import MixError
from mixcli.sources.clouds.stacked import check_data, check_labels, check_point_labels, described, joined, whole

ROWS = (".ply", ".png", ".jpg", ".webp", ".tar")  # files of rows in a folder
SUM = 1e-3  # how far a row of soft labels may be from 1


class Own:
    """Labels and rows of one dataset. Nothing but the labels is read before it is asked for."""

    random_access, preload = True, True

    def __init__(self, path: Path):
        self.path, self.files, self.notes = path, files_of(path), ()
        self.file = open_mixed(path)
        self.names = self.file.names
        for name in ("data", "label"):
            if name not in self.names:
                raise MixError(f"{path}: no '{name}' in it; mixcli verify tells what else is missing")
        self.data = self.file.field("data")
        self._check_data()
        check_labels(path, "label", self.file.field("label"), len(self))
        self.labels = whole(path, self.file.read("label", 0, len(self)))
        self.is_soft = self._is_soft()
        self.class_names = self.file.class_names

    def _check_data(self) -> None:
        """MixError where 'data' is not what the kind of source needs."""

    def __len__(self) -> int:
        return self.data.shape[0]

    def address(self, row: int) -> tuple[str, int]:
        return str(self.path), int(row)

    def soft(self, rows: np.ndarray) -> np.ndarray:
        """(r,C) f32, checked to be shares."""
        found = self._take("soft_label", rows).astype(np.float32)
        bad = ~((found >= 0).all(1) & (abs(found.sum(1, dtype=np.float64) - 1) < SUM))  # NaN is neither
        if bad.any():
            row = int(rows[bad.argmax()])
            raise MixError(f"{self.path}[{row}]: 'soft_label' is no distribution; mixcli verify tells more")
        return found

    def _take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows in any order, repeated or not."""
        if len(rows) and (np.diff(rows) == 1).all():
            return self.file.read(name, int(rows[0]), len(rows))
        distinct, place = np.unique(rows, return_inverse=True)
        return self.file.take(name, distinct)[place]

    def _is_soft(self) -> bool:
        if "soft_label" not in self.names:
            return False
        soft = self.file.field("soft_label")
        if len(soft.shape) != 2 or soft.shape[0] != len(self) or np.dtype(soft.dtype).kind != "f":
            raise MixError(f"{self.path}: 'soft_label' is {described(soft)}; expected ({len(self)}, classes) floats")
        return True


class OwnClouds(Own):
    """Clouds of a dataset that mixcli wrote."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.points = self.data.shape[1]
        self.has_normals = "normal" in self.names and self.file.field("normal").shape == self.data.shape
        self.has_seg = self._has_seg()

    def _check_data(self) -> None:
        check_data(self.path, "data", self.data, fits=(3,))

    def read(
        self, rows: slice | np.ndarray, points: int, first: bool, normals: bool = False, seg: bool = False
    ) -> np.ndarray:
        """See Part.read."""
        wanted, count = np.arange(len(self))[rows], points if first else self.points
        columns = [self._take(name, wanted)[:, :count] for name in (("data", "normal") if normals else ("data",))]
        return joined(self.path, columns, self._take("seg", wanted)[:, :count] if seg else None)

    def _has_seg(self) -> bool:
        """Part labels of one parent a point, as converted datasets have them."""
        if "seg" not in self.names:
            return False
        seg = self.file.field("seg")
        if len(seg.shape) == 3 and seg.shape[2] > 1:
            self.notes = (f"{self.path}: part labels of a mixed set are not mixed again",)
            return False
        check_point_labels(self.path, "seg", seg, self.data)
        return True


def files_of(path: Path) -> list[Path]:
    """The dataset's file; of a folder its lists and the files of its rows in the order of their paths, no links."""
    if not path.is_dir():
        return [path]
    found = [p for p in (*path.glob("*/*"), *path.glob("*.tar")) if p.suffix in ROWS]
    lists = [path / name for name in (MANIFEST, METADATA) if (path / name).exists()]  # tars have no metadata beside
    return [*lists, *filter(is_plain, sorted(found))]
