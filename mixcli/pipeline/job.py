"""Everything one run was asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli.datasets.container import container_of
from mixcli.datasets.schema import MOST_SHARDS
from mixcli.errors import UsageError
from mixcli.methods import FROM_A_MODEL, OF_A_LAYER
from mixcli.sources.named_files import Listed, Root
from mixcli.sources.reading import Reading

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

MOST = 10**9
STREAM = Path("-")
TARS = "webdataset"
FORMATS = ("png", "jpg", "webp", TARS, f"{TARS}-jpg", f"{TARS}-webp")


@dataclass(frozen=True)
class Job:
    """Arguments of a run; the command line's options have the same names and defaults."""

    method: Any  # an instance of a method's dataclass
    sources: tuple[str | Listed, ...]
    out: Path
    ckpt: str | None = None
    k: int = 1
    partners: int = 1
    window: int = 1024
    pairing: str | None = None  # None: the method's own, mostly "random"
    saliency: str | None = None  # of images; None: the method's own
    pairing_fallback: str | None = None
    seed: int = 0
    include_originals: bool = False
    shard: tuple[int, int] = (0, 1)
    points: int | None = 1024  # None: as many as the source's clouds have
    subsample: str = "first"
    pad: str = "none"
    normalize: str | None = None  # none for clouds, imagenet for images
    size: tuple[int, int] | None = None  # H, W of images; None: the source's
    norm: str = "l2"  # of an image's gradient over its channels
    layer: str | None = None  # of an image network, whose maps or states are taken; None: the last maps
    normals: bool = False  # carried even where no model asks for them
    split: str = "auto"
    drop_background: bool = False
    classes: int | None = None
    model: str | None = None
    trust_ckpt: bool = False
    saliency_target: str = "label"
    batch_size: int | None = None  # auto
    device: str = "auto"
    workers: int | None = None  # one a core
    point_weight: bool = True
    keep: tuple[str, ...] = ()
    folder: bool = False  # whether `out` is a folder whatever its suffix
    format: str | None = None  # of images in a folder, one of FORMATS; None: png
    quality: int | None = None  # 1 to 100; None: 95 of jpg, 90 of webp
    png_level: int | None = None  # 0 to 9; None: 1
    manifest: Path | None = None  # of a dataset that is streamed
    on_error: str = "raise"
    resume: bool = False
    overwrite: bool = False
    command: str | None = None  # as typed, for the record

    @property
    def streams(self) -> bool:
        """Whether the dataset goes to stdout, as one tar."""
        return self.out == STREAM

    @property
    def container(self) -> str:
        """What `out` will be: "h5", "npz", "folder" or "tar"."""
        return formatted(self.out, self.folder, self.format)

    @property
    def encoding(self) -> Encoding | None:
        """Of the pictures; None where nothing was asked for."""
        return encoding_of(self.format, self.quality, self.png_level)

    @property
    def reading(self) -> Reading:
        return Reading(self.split, self.drop_background)

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("partners", 1), ("window", 2), ("points", 1), ("classes", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value <= MOST:
                raise UsageError(f"--{name} {value}: must be at least {least} and at most {MOST:,}")
        if not 0 <= self.seed < 1 << 62:
            raise UsageError(f"--seed {self.seed}: must be at least 0 and below 2**62")
        part, parts = self.shard
        if not 0 <= part < parts:
            raise UsageError(f"--shard {part}/{parts}: shards of n are numbered 0/{parts} to {parts - 1}/{parts}")
        if parts > MOST_SHARDS:
            raise UsageError(f"--shard {part}/{parts}: are too many; at most {MOST_SHARDS:,}")
        if self.resume and self.overwrite:
            raise UsageError("--resume goes on with what is there, --overwrite starts again: choose one")
        traits = self.method.traits
        if traits.writes and (self.saliency or self.pairing == "greedy"):
            flag = f"--saliency {self.saliency}" if self.saliency else "--pairing greedy"
            raise UsageError(f"{flag}: {traits.name} looks at no saliency maps; leave it out")
        maps = self.saliency or traits.saliency
        if maps in FROM_A_MODEL and not (self.ckpt or self.model):
            raise UsageError(f"{traits.name} needs saliency: give the trained classifier with --ckpt")
        if self.layer is not None and maps not in OF_A_LAYER:
            told = f"{traits.name} takes {maps or 'no'} maps with these options"
            raise UsageError(f"--layer {self.layer}: is for --saliency activation, and {told}; leave it out")
        if "saliency" in self.keep and not maps:
            raise UsageError(f"--keep saliency: {traits.name} takes no saliency with these options")
        if not traits.draws and self.k > 1:
            raise UsageError(f"{traits.name} draws nothing, so -k {self.k} copies would be equal; use --partners")
        self._check_writing()

    def _check_writing(self) -> None:
        if self.format:
            _ = self.container
        _ = self.encoding
        if self.streams:
            self._check_stream()
        elif self.manifest:
            raise UsageError(f"--manifest {self.manifest}: is for --out -; other datasets have their manifest in them")

    def _check_stream(self) -> None:
        traits = self.method.traits
        if traits.data != "images" or traits.writes:
            raise UsageError(f"--out -: streams pictures, which {traits.name} does not write; name a file or a folder")
        if self.resume:
            raise UsageError("--resume: what was streamed is gone, so --out - cannot go on; leave --resume out")
        if not self.manifest:
            raise UsageError("--out -: a stream has no place for its manifest; --manifest PATH says where it goes")


def formatted(out: Path, folder: bool, form: str | None) -> str:
    """The container of a name and a --format: "h5", "npz", "folder" or "tar"; UsageError where they do not fit."""
    kind = container_of(out, folder)
    if form is None:
        return kind
    if form not in FORMATS:
        raise UsageError(f"--format {form}: must be one of {', '.join(FORMATS)}")
    tars = form.startswith(TARS)
    if kind != "folder":
        what = "tars" if tars else "pictures"
        raise UsageError(f"--out {out}: --format {form} writes a folder of {what}; name a folder")
    return "tar" if tars else "folder"


def encoding_of(form: str | None, quality: int | None, level: int | None = None) -> Encoding | None:
    """How --format, --quality and --png-level keep pictures; None where nothing was asked for."""
    if form is quality is level is None:
        return None
    from mixcli.files.picture_files import encoding

    name = (form or "").removeprefix(TARS).removeprefix("-")
    return encoding(name or "png", quality, level)


def check_out(out: Path, folder: bool = False, inputs: Sequence[Path | Root] = ()) -> None:
    """The output's name is usable and is none of the inputs."""
    if out == STREAM:
        return
    container_of(out, folder)
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: the folder {out.parent} does not exist; make it first (mkdir -p {out.parent})")
    for path in inputs:
        if isinstance(path, Root):
            continue
        if out.resolve() == path.resolve():
            raise UsageError(f"--out {out}: is {path}, which is read; choose another name")
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"--out {out}: lies inside {path}, which is read; choose a place outside of it")
