"""Which files, lists and folders an `--in` argument means."""

from __future__ import annotations

from pathlib import Path

from mixcli.datasets.recognise import is_mixed
from mixcli.errors import UsageError
from mixcli.files.geometry import SUFFIXES as GEOMETRY
from mixcli.files.regular import require_file, require_folder
from mixcli.sources.clouds.id_lists import id_lists, is_id_list
from mixcli.sources.clouds.recognise import holds_clouds, is_row_of_numbers
from mixcli.sources.clouds.shapenet import is_shapenet, split_lists
from mixcli.sources.file_splits import STACKED, listed_files, split_of, stacked_files
from mixcli.sources.foreign import ForeignArgument
from mixcli.sources.named_files import Listed
from mixcli.sources.named_paths import matching

PICKLES = (".dat", ".pkl", ".pickle")

READABLE = (
    f"this version reads {', '.join(STACKED)}, folders of classes with {', '.join(GEOMETRY)} files, lists of files or "
    "of ModelNet40's ids, ShapeNetPart's folder, and what mixcli wrote"
)


def expand(argument: str | Listed, split: str, notes: list[str]) -> list[Path | Listed]:
    """One `--in`: a file, a glob, a folder, or a list -> what is opened as a part each."""
    if isinstance(argument, Listed):
        clouds, others = argument.split(GEOMETRY)
        return [*clouds, *(part for path in others for part in _one(path, split, notes))]
    return [part for path in matching(argument) for part in _one(path, split, notes)]


def _one(path: Path, split: str, notes: list[str]) -> list[Path]:
    if path.is_dir():
        return _folder(require_folder(path), split, notes)
    suffix = require_file(path).suffix.lower()
    if suffix in STACKED or suffix == ".json":
        return [_of(path, split, notes)]
    if suffix == ".txt" and not _is_cloud(path):
        return [_of(path, split, notes)] if is_id_list(path) else listed_files(path)
    if suffix in PICKLES:
        raise UsageError(
            "is not read, since a pickle can run programs",
            at=path,
            advice="give the folder of clouds that it was made from",
        )
    if suffix in GEOMETRY:
        raise UsageError(
            "is one cloud without a label", at=path, advice="give the folder that holds a folder for each class"
        )
    raise ForeignArgument("cannot be read", at=path, advice=READABLE, bare=True)


def _of(path: Path, split: str, notes: list[str]) -> Path:
    """A file that was named: it holds one split, whatever was asked for; only an .npz may tell."""
    told = split_of(path.name)
    fits = told == split or (split == "train" and told in ("val", "trainval"))
    if split in ("train", "val", "test") and not fits and path.suffix.lower() != ".npz":
        notes.append(f"{path}: was named, so all of it is read, whatever --split {split} says")
    return path


def _is_cloud(path: Path) -> bool:
    """Whether the first line of a .txt file is numbers: a cloud, no list."""
    with open(path, "rb") as file:
        return is_row_of_numbers(file.readline(1000))


def _folder(folder: Path, split: str, notes: list[str]) -> list[Path]:
    if is_mixed(folder):
        return [folder]
    if is_shapenet(folder):
        return split_lists(folder, split, notes)
    if files := id_lists(folder, split, notes) or stacked_files(folder, split, notes):
        return files
    if any(path.is_dir() for path in folder.iterdir()):
        return [folder]
    loose = next((p for p in folder.iterdir() if p.suffix.lower() in GEOMETRY), None)
    if loose is None:
        reason = f"no {', '.join(STACKED)} file and no class folder in it"
        raise ForeignArgument(reason, at=f"--in {folder}", advice=READABLE)
    refusal = UsageError if holds_clouds(folder) else ForeignArgument
    advice = f"put {loose.name} into a folder named as its class"
    raise refusal("has clouds but no class folders", at=f"--in {folder}", advice=advice)
