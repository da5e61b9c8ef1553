"""Which codec keeps the rows of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mixcli.errors import UsageError

if TYPE_CHECKING:
    from mixcli.data.fields import Field
    from mixcli.datasets.codec import Codec
    from mixcli.files.picture_files import Encoding


def codec_of(fields: tuple[Field, ...], path: Path, how: Encoding | None = None) -> Codec:
    """Images become pictures, by default `.png`, clouds `.ply`; MixError where the fields are of neither."""
    data = next((f for f in fields if f.name == "data"), None)
    if data is not None and len(data.shape) == 3 and data.dtype == "|u1":
        from mixcli.datasets.picture_rows import PictureRows

        return PictureRows(fields, path, how)
    if how is not None:
        reason = f"{how.suffix} files are of images, and these are clouds"
        raise UsageError(reason, at=path, advice="leave the format out")
    from mixcli.datasets.ply_rows import PlyRows

    return PlyRows(fields, path)
