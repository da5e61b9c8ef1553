"""A dataset that mixcli wrote, as a source: its soft labels are mixed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixcli.datasets.container import open_mixed
from mixcli.datasets.contract import Mixed
from mixcli.datasets.folder_names import MANIFEST, METADATA
from mixcli.datasets.plain_files import is_plain
from mixcli.errors import MixError
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.clouds.stacked import check_data, check_point_labels, joined
from mixcli.sources.contract import SoftLabels
from mixcli.sources.labels import no_distributions
from mixcli.sources.remarks import Remarks
from mixcli.sources.stacked_arrays import check_labels, class_numbers, described

ROWS = (".ply", ".png", ".jpg", ".webp", ".tar")  # files of rows in a folder


class Own:
    """Labels and rows of one dataset. Nothing but the labels is read before it is asked for."""

    random_access, preload = True, True
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path):
        self.path, self.files, self.remarks = path, files_of(path), Remarks()
        self.file = open_mixed(path)
        self.fields = self.file.names
        for name in ("data", "label"):
            if name not in self.fields:
                raise MixError(f"no '{name}' in it", at=path, advice="mixcli verify tells what else is missing")
        self.data = self.file.field("data")
        self._check_data()
        check_labels(path, "label", self.file.field("label"), len(self))
        self.labels = class_numbers(path, self.file.read("label", 0, len(self)))
        self.shares = self._shares()
        self.class_names = self.file.class_names

    @property
    def since(self) -> int:
        """See Part.since."""
        return 1

    def _check_data(self) -> None:
        """MixError where 'data' is not what the kind of source needs."""

    def __len__(self) -> int:
        return self.data.shape[0]

    def address(self, row: int) -> tuple[str, int]:
        return str(self.path), int(row)

    def _shares(self) -> SoftLabels | None:
        if "soft_label" not in self.fields:
            return None
        soft = self.file.field("soft_label")
        if len(soft.shape) != 2 or soft.shape[0] != len(self) or np.dtype(soft.dtype).kind != "f":
            expected = f"expected ({len(self)}, classes) floats"
            raise MixError(f"'soft_label' is {described(soft)}", at=self.path, advice=expected)
        return OwnShares(self.path, self.file, soft.shape[1])


class OwnShares:
    """Soft labels of a dataset, read and checked as they are wanted."""

    def __init__(self, path: Path, file: Mixed, classes: int):
        self.path, self.file, self.classes = path, file, classes

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """See SoftLabels.dense."""
        dense = taken(self.file, "soft_label", rows).astype(np.float32)
        bad = no_distributions(dense)
        if bad.any():
            row = int(rows[bad.argmax()])
            raise MixError(
                "'soft_label' is no distribution", at=f"{self.path}[{row}]", advice="mixcli verify tells more"
            )
        return dense


def taken(file: Mixed, name: str, rows: np.ndarray) -> np.ndarray:
    """Rows of a field in any order, repeated or not."""
    if len(rows) and (np.diff(rows) == 1).all():
        return file.read(name, int(rows[0]), len(rows))
    distinct, place = np.unique(rows, return_inverse=True)
    return file.take(name, distinct)[place]


class OwnClouds(Own):
    """Clouds of a dataset that mixcli wrote."""

    drops_background = False

    @property
    def since(self) -> int:
        """Normals are brought to length 1 since 2."""
        return 2 if self.has_normals else 1

    def __init__(self, path: Path):
        super().__init__(path)
        self.points: int = self.data.shape[1]
        self.has_normals = "normal" in self.fields and self.file.field("normal").shape == self.data.shape
        self.has_seg = self._has_seg()

    def _check_data(self) -> None:
        check_data(self.path, "data", self.data, fits=(3,))

    def read(self, rows: slice | np.ndarray, wanted: Wanted) -> np.ndarray:
        """See CloudPart.read."""
        every = np.arange(len(self))[rows]
        names = ("data", "normal") if wanted.normals else ("data",)
        columns = [taken(self.file, name, every)[:, : wanted.limit] for name in names]
        seg = taken(self.file, "seg", every)[:, : wanted.limit] if wanted.seg else None
        return joined(self.path, columns, seg)

    def _has_seg(self) -> bool:
        """Part labels of one parent a point, as converted datasets have them."""
        if "seg" not in self.fields:
            return False
        seg = self.file.field("seg")
        if len(seg.shape) == 3 and seg.shape[2] > 1:
            self.notes = (f"{self.path}: part labels of a mixed set are not mixed again",)
            return False
        check_point_labels(self.path, "seg", seg, (self.data.shape[0], self.data.shape[1]))
        return True


def files_of(path: Path) -> list[Path]:
    """The dataset's file; of a folder its lists and the files of its rows in the order of their paths, no links."""
    if not path.is_dir():
        return [path]
    rows = [p for p in (*path.glob("*/*"), *path.glob("*.tar")) if p.suffix in ROWS]
    lists = [path / name for name in (MANIFEST, METADATA) if (path / name).exists()]  # tars have no metadata beside
    return [*lists, *filter(is_plain, sorted(rows))]
