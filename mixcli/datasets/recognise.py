"""Is this ours? Answered from the text of the manifest alone, without a reader of the rows.

Whatever replaces or removes something asks here first, and so does whatever is given a path of any kind.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mixcli.datasets.folder_names import MANIFEST, foreign, is_of_tars
from mixcli.datasets.manifest_text import H5_MANIFEST, NPZ_MANIFEST, parsed_manifest
from mixcli.datasets.plain_files import open_plain
from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import TORN

if TYPE_CHECKING:
    import h5py

SUFFIXES = {".h5": "h5", ".hdf5": "h5", ".npz": "npz", ".ply": "folder", "": "folder"}
ZIP, HDF5 = b"PK", b"\x89HDF"  # the first bytes of a file
MOST_RATIO, SMALL = 200, 16 << 20  # a compressed member that grows further, and is not small, is a bomb


def is_mixed(path: Path) -> bool:
    """Whether mixcli wrote it. Cheap; whatever is wrong with it, the answer is no."""
    try:
        parsed_manifest(path, text_at(path))
    except (MixError, KeyError, *TORN):
        return False
    return True


def replaceable(out: Path) -> None:
    """UsageError if what has this name is not mixcli's to replace: a folder, or a file without suffix, of others."""
    if out.is_symlink() and not out.is_file():
        raise UsageError("is a symbolic link", at=out, advice="remove it or choose another --out")
    if out.is_dir():
        if any(out.iterdir()) and not is_mixed(out):
            raise UsageError("is a folder that mixcli did not write", at=out, advice="choose another --out")
        check_own(out)
    elif os.path.lexists(out) and SUFFIXES.get(out.suffix.lower()) not in ("h5", "npz") and not is_mixed(out):
        raise UsageError("is a file that mixcli did not write", at=out, advice="choose another --out")


def check_own(folder: Path) -> None:
    """UsageError where a folder holds anything that a dataset does not have."""
    if other := foreign(folder):
        advice = "move it away or choose another --out"
        raise UsageError(f"holds {other}, which mixcli did not write", at=folder, advice=advice)


def container_at(path: Path) -> str:
    """What a path is, from its first bytes: "h5", "npz", "folder" or "tar"; MixError where it is no dataset at all."""
    if path.is_dir():
        return "tar" if is_of_tars(path) else "folder"
    if not path.is_file():
        raise MixError("no such file or folder", at=path)
    with open(path, "rb") as file:
        head = file.read(len(HDF5))
    if head.startswith(ZIP):
        return "npz"
    if head != HDF5 and SUFFIXES.get(path.suffix.lower()) != "h5":  # HDF5 may begin further behind
        advice = "mixcli reads the .h5, .npz and folders that it wrote"
        raise MixError("is no mixed dataset", at=path, advice=advice)
    return "h5"


def text_at(path: Path) -> str | bytes | None:
    """The text of a manifest, whatever its container; None, or MixError, where there is none."""
    container = container_at(path)
    if container == "h5":
        from mixcli.files.hdf5 import open_h5

        with open_h5(path) as file:
            return text_of_h5(file)
    if container == "npz":
        with zipfile.ZipFile(path) as archive:
            return text_of_npz(path, archive)
    return text_of_folder(path)


def text_of_h5(file: h5py.File) -> str | None:
    """Of an open file."""
    text = file.attrs.get(H5_MANIFEST)
    return text if isinstance(text, str) else None


def text_of_npz(path: Path, archive: zipfile.ZipFile) -> bytes | None:
    """Of an open archive: that of the last member of this name, as the format has it."""
    infos = [info for info in archive.infolist() if info.filename == NPZ_MANIFEST]
    if not infos:
        return None
    check_ratio(path, infos[-1])
    try:
        return archive.read(infos[-1])
    except TORN as e:
        advice = "copy or make the file again"
        raise MixError(f"'{NPZ_MANIFEST}' cannot be unpacked ({e})", at=path, advice=advice) from e


def check_ratio(path: Path, info: zipfile.ZipInfo) -> None:
    """MixError for a member that grows beyond belief."""
    if info.compress_type != zipfile.ZIP_STORED and info.file_size > max(SMALL, MOST_RATIO * info.compress_size):
        sizes = f"{info.compress_size:,} bytes that claim to be {info.file_size:,}"
        reason = f"'{info.filename}' is {sizes}, which is not believed"
        raise MixError(reason, at=path, advice="save it with numpy.savez")


def text_of_folder(folder: Path) -> bytes:
    """Of a folder of files or of archives; no link is followed."""
    if not os.path.lexists(folder / MANIFEST):
        raise MixError(f"no {MANIFEST} in it", at=folder, advice="mixcli did not write this folder")
    descriptor, _ = open_plain(folder / MANIFEST)
    with open(descriptor, "rb") as file:
        return file.read()
