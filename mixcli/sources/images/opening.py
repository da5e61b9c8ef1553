"""Labelled pictures, whatever layout a path holds them in: the one place that knows every layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mixcli.errors import MixError, UsageError
from mixcli.files.regular import is_litter, require_file, require_folder, require_inside
from mixcli.sources.file_splits import STACKED, split_of
from mixcli.sources.images.annotations import annotated_folder
from mixcli.sources.images.arrays import array_file
from mixcli.sources.images.cifar import cifar_file, cifar_folder
from mixcli.sources.images.cifar_binary import binary_file, binary_folder
from mixcli.sources.images.class_folders import class_folders, is_picture, scan
from mixcli.sources.images.hub import METADATA, image_folder
from mixcli.sources.images.idx import idx_file, idx_folder
from mixcli.sources.images.image_part import PicturePart
from mixcli.sources.images.parquet import Parquet, holds_pictures
from mixcli.sources.images.splits import wanted
from mixcli.sources.images.svhn import svhn_file, svhn_folder
from mixcli.sources.images.tar import Tars

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
TABLES, ARCHIVES = ".parquet", ".tar"


def open_pictures(path: Path, split: str = "auto") -> tuple[PicturePart | None, list[str]]:
    """The pictures that a file or folder holds, None where it holds none; and notes for the user on how it was read.

    split: "auto" reads train where the source tells it from the rest, else everything; "train", "val", "test", "all".
    """
    part = _folder(require_folder(path), split) if path.is_dir() else _file(require_file(path), split)
    if part is None:
        return None, []
    if not len(part):
        raise MixError("holds no picture", at=path, advice="leave it out")
    return part, list(part.notes)


def _folder(root: Path, split: str) -> PicturePart | None:
    for layout in LAYOUTS:
        if (part := layout(root, split)) is not None:
            return part
    if loose := scan(root, root).pictures:
        hold = f"put {loose[0]!r} into a folder named as its class, or its label into a metadata.jsonl"
        raise UsageError("has pictures but no class folders", at=root, advice=hold)
    return None


def _file(path: Path, split: str) -> PicturePart | None:
    name, suffix = path.name.lower(), path.suffix.lower()
    if suffix in STACKED:
        return array_file(path, split)
    if suffix == ARCHIVES:
        return _none_if_empty(Tars(path, [path]))
    if suffix == TABLES:
        return Parquet(path, [path]) if holds_pictures(path) else None
    if path.name in METADATA:
        return image_folder(path.parent, split)
    if name.endswith(PACKED):
        raise UsageError("is a packed archive", at=path, advice="unpack it and give what comes out")
    if is_picture(path.name):
        raise UsageError(
            "is one picture without a label", at=path, advice="give the folder that holds a folder for each class"
        )
    return cifar_file(path) or binary_file(path) or svhn_file(path) or idx_file(path)


def _archives(root: Path, split: str) -> Tars | None:
    notes: list[str] = []
    chosen = _of_split(root, _by_suffix(root, ARCHIVES), split, notes)
    return _none_if_empty(Tars(root, chosen, tuple(notes))) if chosen else None


def _tables(root: Path, split: str) -> Parquet | None:
    """Files of a folder, or of the folders in it: `data`, a configuration, or a split."""
    tables = _by_suffix(root, TABLES) or _by_suffix(root, TABLES, "*/") or _by_suffix(root, TABLES, "*/*/")
    if not tables or not holds_pictures(tables[0]):
        return None
    notes: list[str] = []
    return Parquet(root, _of_split(root, tables, split, notes), tuple(notes))


def _by_suffix(root: Path, suffix: str, below: str = "") -> list[Path]:
    return [
        require_inside(path, root) for path in sorted(root.glob(f"{below}[!.]*{suffix}")) if not is_litter(path.name)
    ]


def _of_split(root: Path, files: list[Path], split: str, notes: list[str]) -> list[Path]:
    """Files of a split, by their names or their folders' names."""
    told = {path.relative_to(root).as_posix(): split_of(path.name) or split_of(path.parent.name) for path in files}
    told = {name: "train" if of == "trainval" else of for name, of in told.items()}
    return [root / name for name in wanted(root, told, split, notes)] if files else []


def _none_if_empty(part: Tars) -> Tars | None:
    return part if len(part) else None


LAYOUTS: tuple[Callable[[Path, str], PicturePart | None], ...] = (
    *(cifar_folder, binary_folder, image_folder, annotated_folder, class_folders, svhn_folder, idx_folder),
    *(_archives, _tables),
)
