"""How the files of a source are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mixcli.errors import UsageError

SPLITS = ("auto", "train", "val", "test", "all")
SCALES = ("full", "range")
VERSION = 2  # of how files are read; part of the recipe: it changes where the same files give other samples


class Asked(Protocol):
    """Options of a command that concern reading."""

    @property
    def split(self) -> str: ...

    @property
    def drop_background(self) -> bool: ...

    @property
    def drop_nan_points(self) -> bool: ...

    @property
    def scale_16bit(self) -> str: ...

    @property
    def class_names(self) -> str | None: ...


@dataclass(frozen=True)
class Reading:
    """How files are read; part of the recipe."""

    split: str = "auto"  # auto: the train split where the source tells train from test, else everything
    drop_background: bool = False  # points that ScanObjectNN's `mask` marks
    drop_nan_points: bool = False  # of clouds
    scale_16bit: str = "full"  # of 16-bit pictures: 0..65535 to 0..255, or from their lowest to their highest value
    class_names: Path | None = None  # a list of names, for classes that the source numbers only

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UsageError(f"must be one of {', '.join(SPLITS)}", at=f"--split {self.split}")
        if self.scale_16bit not in SCALES:
            raise UsageError(f"must be one of {', '.join(SCALES)}", at=f"--scale-16bit {self.scale_16bit}")

    @classmethod
    def asked(cls, options: Asked) -> Reading:
        """As the options of a command say."""
        return cls(
            split=options.split,
            drop_background=options.drop_background,
            drop_nan_points=options.drop_nan_points,
            scale_16bit=options.scale_16bit,
            class_names=Path(options.class_names) if options.class_names else None,
        )

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Reading:
        """As a manifest's recipe says; class names only name what is read."""
        return cls(
            split=recipe["split"],
            drop_background=recipe["drop_background"],
            drop_nan_points=recipe.get("drop_nan_points", False),
            scale_16bit=recipe.get("scale_16bit", "full"),
        )


def no_background(path: Path | str) -> UsageError:
    """What is wrong with `--drop-background` where nothing says which points are background."""
    return UsageError(f"{path} has no 'mask' as ScanObjectNN's files", at="--drop-background", advice="leave it out")
