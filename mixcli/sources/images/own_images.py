"""A dataset of images that mixcli wrote, as a source: its soft labels are mixed on."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mixcli.sources.foreign import Foreign
from mixcli.sources.images.decode import Fit, fitted
from mixcli.sources.images.encoded import each
from mixcli.sources.own_clouds import Own, taken
from mixcli.sources.stacked_arrays import described


class OwnPictures(Own):
    """Images of a dataset that mixcli wrote."""

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.data.shape[1:3]
        return height, width

    def _check_data(self) -> None:
        if len(self.data.shape) != 4 or self.data.shape[3] != 3 or self.data.dtype != np.uint8:
            raise Foreign(f"'data' is {described(self.data)}", at=self.path, advice="expected (images, H, W, 3) bytes")

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """See PicturePart.sizes."""
        return np.tile(np.array(self.size, np.int64), (len(rows), 1))

    def read(self, rows: np.ndarray, fit: Fit | None = None) -> list[np.ndarray]:
        """See PicturePart.read."""
        stored = list(taken(self.file, "data", rows))
        if fit is None or fit.sides == self.size:
            return stored
        return each(lambda picture: fitted(Image.fromarray(picture), fit), stored)
