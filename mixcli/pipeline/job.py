"""Everything one run was asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli.errors import UsageError
from mixcli.methods import FROM_A_MODEL, OF_A_LAYER, Method, restored
from mixcli.methods.offered import check_given, check_kind, kinds_mixed
from mixcli.option import option, options
from mixcli.settings.run import Settings
from mixcli.values import FilePath, Many, PathText

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding
    from mixcli.sources.named_files import Listed
    from mixcli.sources.reading import Reading

STREAM = Path("-")
TARS = "webdataset"
STREAMED = "--out -"


class SourceName(FilePath):
    """What `--in` names: a path, or the files that stdin named."""

    def check(self, value: Any) -> Any:
        from mixcli.sources.named_files import Listed

        return value if isinstance(value, Listed) else super().check(value)


@dataclass(frozen=True)
class Job(Settings):
    """Arguments of a run: its method, its files, and `Settings`, where all other options are declared."""

    method: Method
    sources: tuple[str | Listed, ...] = option(
        flags="--in",
        help="A file, a glob, a folder or a list, in any of the layouts of the README; may be repeated.",
        metavar="PATH",
        values=Many(SourceName()),
    )
    out: Path = option(
        help="The dataset to write: .h5, .npz, or a folder with a file for each row; - streams images as one tar.",
        metavar="PATH",
        says={"hidden": "The dataset to write: .h5 or .npz."},
    )
    ckpt: PathText | None = option(
        None,
        "Trained network, for methods that look at saliency.",
        needs=("network",),
        says={"hidden": "Trained network; required."},
    )
    folder: bool = False  # whether `out` is a folder whatever its suffix
    command: str | None = None  # as typed, for the record
    viewing: bool = False  # maps are mixed along, to be seen: no field holds them

    @classmethod
    def asked(cls, method: type[Method], sources: Any, out: Any, given: Mapping[str, Any]) -> Job:
        """The job of a method with options by name, its own and those of a run, as Python and the command line give
        them; UsageError where one is unknown, wrong, or for the other kind of data."""
        own = {name: value for name, value in given.items() if name in options(method)}
        rest = {name: value for name, value in given.items() if name not in own}
        _check_known(rest, method)
        chosen = method(**own)
        check_given(options(cls), rest, chosen, asked="on" in own)
        sources, out = options(cls)["sources"].settle(sources), options(cls)["out"].settle(out)
        return cls(chosen, sources, out, **rest)

    @classmethod
    def recalled(cls, recipe: Mapping[str, Any], sources: Sequence[str | Listed], out: Path, **more: Any) -> Job:
        """The job that a manifest's recipe tells; UsageError where no job can be like that."""
        told = {name: one.recalled(recipe) for name, one in options(cls).items() if one.recorded}
        return cls(restored(recipe), tuple(sources), out, **{**told, **more})

    @property
    def data(self) -> str:
        """The kind of its data, as options know it: "points", "images" or "hidden"."""
        return self.method.traits.writes or self.method.traits.data

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
        from mixcli.sources.reading import Reading

        return Reading.asked(self)

    @property
    def carried(self) -> tuple[str, ...]:
        """What mixes carry beside their data: fields that are kept, and maps that are to be seen."""
        return (*self.keep, "saliency") if self.viewing else self.keep

    def __post_init__(self) -> None:
        self._check_options()
        self._check_together()
        self._check_writing()

    def _check_options(self) -> None:
        """Each by itself."""
        kinds, done = kinds_mixed(type(self.method)), "mixed"
        if self.method.traits.name == "convert":  # nobody chooses the kind
            kinds, done = (), "converted"
        for name, one in options(type(self)).items():
            value = getattr(self, name)
            if name == "pairing" and value == self.pairless:
                continue
            if not one.is_default(value):
                check_kind(one, self.data, kinds, done)
            kept = one.settle(value, self.data)
            if kept is not value:
                object.__setattr__(self, name, kept)

    @property
    def pairless(self) -> str | None:
        """What stands for the pairing of a method that pairs nobody."""
        traits = self.method.traits
        return "group" if traits.group else "none" if traits.parents == 1 else None

    def _check_together(self) -> None:
        traits, name = self.method.traits, self.method.traits.name
        if self.resume and self.overwrite:
            raise UsageError("--resume goes on with what is there, --overwrite starts again", advice="choose one")
        if self.pairless and self.pairing not in (None, self.pairless):
            told = "groups, not pairs" if traits.group else "no pairs"
            raise UsageError(f"{name} mixes {told}", at=f"--pairing {self.pairing}", advice="leave it out")
        maps = self.saliency or traits.saliency
        if maps in FROM_A_MODEL and not (self.ckpt or self.model):
            raise UsageError(f"{name} needs saliency: give the trained classifier with --ckpt")
        if self.layer is not None and maps not in OF_A_LAYER:
            told = f"is for --saliency activation, and {name} takes {maps or 'no'} maps with these options"
            raise UsageError(told, at=f"--layer {self.layer}", advice="leave it out")
        if "saliency" in self.keep and not maps:
            raise UsageError(f"{name} takes no saliency with these options", at="--keep saliency")
        if not traits.draws and self.k > 1:
            raise UsageError(f"{name} draws nothing, so -k {self.k} copies would be equal", advice="use --partners")

    def _check_writing(self) -> None:
        if self.format:
            _ = self.container
        _ = self.encoding
        if self.streams:
            self._check_stream()
        elif self.manifest:
            told = "other datasets have their manifest in them"
            raise UsageError("is for --out -", at=f"--manifest {self.manifest}", advice=told)

    def _check_stream(self) -> None:
        if self.data != "images":
            told = f"streams pictures, which {self.method.traits.name} does not write"
            raise UsageError(told, at=STREAMED, advice="name a file or a folder")
        if self.resume:
            told = "what was streamed is gone, so --out - cannot go on"
            raise UsageError(told, at="--resume", advice="leave --resume out")
        if not self.manifest:
            told = "a stream has no place for its manifest"
            raise UsageError(told, at=STREAMED, advice="--manifest PATH says where it goes")


def _check_known(given: Mapping[str, Any], cls: type[Method]) -> None:
    """UsageError where a run has no option of this name."""
    import difflib

    known = {f.name for f in fields(Job)} - {"method", "sources", "out", "viewing"}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, [*options(cls), *sorted(known), "source", "out"], 1)
            told = f"did you mean {near[0]!r}?" if near else f"mixcli {cls.traits.name} --help lists them"
            raise UsageError(f"{cls.traits.name} has no option {name!r}", advice=told)


def formatted(out: Path, folder: bool, form: str | None) -> str:
    """The container of a name and a --format: "h5", "npz", "folder" or "tar"; UsageError where they do not fit."""
    from mixcli.datasets.container import container_of

    kind = container_of(out, folder)
    if form is None:
        return kind
    options(Settings)["format"].settle(form)
    tars = form.startswith(TARS)
    if kind != "folder":
        what = "tars" if tars else "pictures"
        raise UsageError(f"--format {form} writes a folder of {what}", at=f"--out {out}", advice="name a folder")
    return "tar" if tars else "folder"


def encoding_of(form: str | None, quality: int | None, level: int | None = None) -> Encoding | None:
    """How --format, --quality and --png-level keep pictures; None where nothing was asked for."""
    if form is quality is level is None:
        return None
    from mixcli.files.picture_files import encoding

    name = (form or "").removeprefix(TARS).removeprefix("-")
    return encoding(name or "png", quality, level)


def check_out(out: Path, folder: bool = False, inputs: Sequence[Path | str] = ()) -> None:
    """The output's name is usable and is none of the inputs."""
    from mixcli.datasets.container import container_of

    if out == STREAM:
        return
    container_of(out, folder)
    at = f"--out {out}"
    if not out.parent.is_dir():
        told = f"the folder {out.parent} does not exist"
        raise UsageError(told, at=at, advice=f"make it first (mkdir -p {out.parent})")
    for path in inputs:
        if isinstance(path, str):  # a list of files: see `named_files.Root`
            continue
        if out.resolve() == path.resolve():
            raise UsageError(f"is {path}, which is read", at=at, advice="choose another name")
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"lies inside {path}, which is read", at=at, advice="choose a place outside of it")
