"""What may be opened at all: regular files, inside the folder they are read for, and no more of a list than fits."""

from __future__ import annotations

import os
from pathlib import Path

from mixcli.errors import MixError

SIDECARS = ("@eadir", "__macosx", ".appledouble", ".thumbnails", ".@__thumb", "@recycle", "#recycle")
LITTER = (
    "@eadir",
    "@recycle",
    "@tmp",
    "@recently-snapshot",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "icon\r",
)
KERNEL = ("/proc/", "/sys/")  # what lies there looks like files, has no size and may block or never end
MOST_LIST_BYTES = 16 << 20  # ten times ShapeNetPart's longest


def is_litter(name: str) -> bool:
    """Whether a file or folder, by its name without its folders, is what a system or a file manager left there.

    >>> is_litter("@eaDir"), is_litter("._cat.jpg"), is_litter("cat.jpg")
    (True, True, False)
    """
    return name.startswith((".", "__MACOSX", "#recycle", "$RECYCLE.BIN", "SYNOPHOTO_", "SYNOINDEX_")) or (
        name.lower() in LITTER
    )


def in_litter(folder: str) -> bool:
    """Whether a path, with slashes, leads through a folder of thumbnails or sidecars that file managers make."""
    return any(name.lower() in SIDECARS for name in folder.split("/"))


def require_file(path: Path) -> Path:
    """The path, if it is a file with content of its own: no device, no FIFO, nothing of the kernel's."""
    if not os.path.lexists(path):
        raise MixError("no such file", at=path)
    if not os.path.isfile(path) or os.path.realpath(path).startswith(KERNEL):
        raise MixError("is not a regular file", at=path, advice="copy what it holds to one and give that")
    if not os.access(path, os.R_OK):
        raise MixError("may not be read", at=path, advice="change its permissions")
    return path


def require_folder(path: Path) -> Path:
    """The path of a folder, if it may be listed and is none of the kernel's."""
    if (os.path.realpath(path) + "/").startswith(KERNEL):
        raise MixError("belongs to the running system and holds no data", at=path, advice="give a folder of files")
    if not os.access(path, os.R_OK | os.X_OK):
        raise MixError("may not be listed", at=path, advice="change its permissions")
    return path


def require_inside(path: Path, root: Path) -> Path:
    """The path, if no symlink leads it out of `root`."""
    real, home = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([real, home]) != home:
        raise MixError(
            f"is a link that leads out of {root}", at=path, advice="it is not followed, put the file itself there"
        )
    return path


def read_lines(path: Path) -> list[str]:
    """Lines of a list, stripped. Bytes that are not UTF-8 are kept the way file names keep them."""
    size = require_file(path).stat().st_size
    if size > MOST_LIST_BYTES:
        raise MixError(
            f"{size:,} bytes are too many for a list", at=path, advice="give the folder or the file that holds clouds"
        )
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    return [line.strip() for line in text.split("\n")]
