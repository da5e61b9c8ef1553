"""Everything one run was asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixcli.errors import UsageError

MOST = 10**9


@dataclass(frozen=True)
class Job:
    """Arguments of a run; the command line's options have the same names and defaults."""

    method: Any  # an instance of a method's dataclass
    sources: tuple[str, ...]
    out: Path
    ckpt: str | None = None
    k: int = 1
    partners: int = 1
    window: int = 1024
    pairing: str = "random"
    pairing_fallback: str | None = None
    seed: int = 0
    include_originals: bool = False
    shard: tuple[int, int] = (0, 1)
    points: int = 1024
    subsample: str = "first"
    normalize: str = "none"
    classes: int | None = None
    model: str | None = None
    trust_ckpt: bool = False
    saliency_target: str = "label"
    batch_size: int | None = None  # auto
    device: str = "auto"
    workers: int | None = None  # one a core
    point_weight: bool = True
    on_error: str = "raise"
    resume: bool = False
    overwrite: bool = False
    command: str | None = None  # as typed, for the record

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("partners", 1), ("window", 2), ("points", 1), ("classes", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value <= MOST:
                raise UsageError(f"--{name} {value}: must be at least {least} and at most {MOST:,}")
        part, parts = self.shard
        if not 0 <= part < parts:
            raise UsageError(f"--shard {part}/{parts}: shards of n are numbered 0/{parts} to {parts - 1}/{parts}")
        if self.resume and self.overwrite:
            raise UsageError("--resume goes on with what is there, --overwrite starts again: choose one")
        traits = self.method.traits
        if traits.saliency == "gradient" and not (self.ckpt or self.model):
            raise UsageError(f"{traits.name} needs saliency: give the trained classifier with --ckpt")
        if not traits.draws and self.k > 1:
            raise UsageError(f"{traits.name} draws nothing, so -k {self.k} copies would be equal; use --partners")


def check_out(out: Path, inputs: Sequence[Path] = ()) -> None:
    """The output's name is usable and is none of the inputs."""
    if out.suffix != ".h5":
        raise UsageError(f"--out {out}: this version writes .h5; give a name that ends in it")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: the folder {out.parent} does not exist; make it first (mkdir -p {out.parent})")
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file in it")
    if any(out.resolve() == path.resolve() for path in inputs):
        raise UsageError(f"--out {out}: is the source itself; choose another name")
