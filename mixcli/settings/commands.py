"""What the other commands, and the functions behind them, may be asked for: each option declared once.

An option without flags is set from Python alone, or is an argument of the command.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mixcli.option import as_in, option, settle
from mixcli.settings import normalize as presets
from mixcli.settings.run import Settings
from mixcli.values import Function, PathText, Size

MOVED = "Where the source is now, if it moved."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Options that are held to their declarations when they are set."""

    def __post_init__(self) -> None:
        settle(self)


@dataclass(frozen=True, kw_only=True)
class Converting(Asked):
    """Of `convert`: what concerns reading and writing."""

    source: PathText = option(help="A source, or a mixed dataset.", flags=())
    out: PathText = option(help="The dataset to write.", flags=())
    points: int | None = as_in(
        Settings, "points", default=None, help="Points of a cloud; by default as many as the source has."
    )
    size: Size | None = as_in(Settings, "size", help="Size of images; by default that of the source.")
    seed: int = as_in(Settings, "seed", help="Decides --subsample random.", shown=False)
    format: str | None = as_in(Settings, "format")
    quality: int | None = as_in(Settings, "quality")
    subsample: str = as_in(Settings, "subsample")
    pad: str = as_in(Settings, "pad")
    normalize: str | None = as_in(Settings, "normalize", "points", kinds=("points",), ways={})
    drop_background: bool = as_in(Settings, "drop_background")
    drop_nan_points: bool = as_in(Settings, "drop_nan_points")
    scale_16bit: str = as_in(Settings, "scale_16bit")
    split: str = as_in(Settings, "split")
    class_names: PathText | None = as_in(Settings, "class_names")
    classes: int | None = as_in(Settings, "classes")
    workers: int | None = as_in(Settings, "workers")
    on_error: str = as_in(Settings, "on_error")
    resume: bool = as_in(Settings, "resume")
    overwrite: bool = as_in(Settings, "overwrite")


@dataclass(frozen=True, kw_only=True)
class Merging(Asked):
    """Of `merge`."""

    paths: tuple[PathText, ...] = option(help="The shards.", flags=())
    out: PathText = option(help="The whole dataset: .h5, .npz or a folder.", metavar="PATH")
    overwrite: bool = option(False, "Replace an existing output.")
    folder: bool = option(False, "Whether `out` is a folder whatever its suffix.", flags=())


@dataclass(frozen=True, kw_only=True)
class Inspecting(Asked):
    """Of `inspect`, and of `score`, which is behind --score."""

    path: PathText = option(help="The dataset.", flags=())
    full: bool = option(False, "Look at every row of a large dataset, not at a sample.")
    score: bool = option(False, "Measure how good the mixes are, with the checkpoint.")
    ckpt: PathText | None = option(None, "Another checkpoint for --score than that of the manifest.")
    normalize: str | None = option(
        None, "What its images were normalised by, as for the mixing commands.", form=presets.parse, metavar="PRESET"
    )
    trust_ckpt: bool = option(False, "Load a checkpoint that is a program.")
    source: list[PathText] | None = option(None, MOVED, metavar="PATH")


@dataclass(frozen=True, kw_only=True)
class Verifying(Asked):
    """Of `verify`."""

    path: PathText = option(help="The dataset.", flags=())
    replay: int | None = option(
        0, "Make so many rows again from source and checkpoint.", word="all", metavar="N|all", shown=False
    )
    source: list[PathText] | None = option(
        None, "Where the source is now, if it moved; may be repeated.", metavar="PATH"
    )
    ckpt: PathText | None = option(None, "Where the checkpoint is now, if it moved.")
    trust_ckpt: bool = option(False, "Load a checkpoint that is a program.")


@dataclass(frozen=True, kw_only=True)
class Viewing(Asked):
    """Of `view`; how it is shown (out, serve, port, gui, overwrite) is for the command alone."""

    path: PathText = option(help="The dataset.", flags=())
    out: PathText | None = option(None, "Write a contact sheet, .png, or a gallery, .html.", flags=("-o", "--out"))
    count: int = option(12, "How many rows.", flags="-n", least=1)
    rows: str | None = option(None, "These rows.", metavar="3,7-9")
    klass: str | None = option(None, "Rows with a share of this class.", flags="--class", metavar="NAME")
    sort: str | None = option(None, "By lambda, or the evenest mixes first.", choices=("row", "lam", "even"))
    worst: bool = option(False, "The rows that inspect --score found worst.")
    seed: int | None = option(None, "Draw the rows instead of spreading them.", least=0, most=2**62 - 1)
    color: str = option("lam", "What colours mean.", choices=("lam", "parent", "saliency"))
    up: str = option("y", "The axis that points up.", choices=("x", "y", "z"))
    source: list[PathText] | None = option(None, MOVED, metavar="PATH")
    ckpt: PathText | None = option(None, "Where the checkpoint is now, for --color saliency.")
    trust_ckpt: bool = option(False, "Load a checkpoint that is a program.")
    serve: bool = option(False, "Serve all rows to a browser on this machine or through ssh -L.")
    port: int = option(0, "Port of --serve; any free one by default.", least=0, most=65535, shown=False)
    gui: bool = option(False, "Open3D's window; needs a display.")
    overwrite: bool = option(False, "Replace an existing picture.")


@dataclass(frozen=True, kw_only=True)
class Opening(Asked):
    """Of `open_dataset`, which only Python has."""

    path: PathText = option(help="The dataset.", flags=())
    fields: tuple[str, ...] = option(("data", "soft_label"), "Fields of a row, in this order.", flags=())
    transform: Callable[[Any], Any] | None = option(
        None, "Applied to each row's data, a tensor.", flags=(), values=Function()
    )


COMMANDS: dict[str, type] = {
    "convert": Converting,
    "merge": Merging,
    "inspect": Inspecting,
    "verify": Verifying,
    "view": Viewing,
    "open_dataset": Opening,
}
