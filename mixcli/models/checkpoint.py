"""Reading a checkpoint that nobody vouches for: only plain tensors come out, whatever went in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from mixcli.errors import CheckpointError
from mixcli.models import pickles
from mixcli.models.pickles import AGAIN, DAMAGED, RESAVE, shown, wording

State = Mapping[str, Tensor]

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "net",
    "model",
    "model_ema",
    "state_dict_ema",
    "ema",
)
COUNTER = "num_batches_tracked"  # missing in checkpoints of torch before 0.4.1
PREFIXES = ("module.", "model.", "net.", "backbone.", "encoder.", "_orig_mod.")
PROGRAMS = {"torchscript": "a TorchScript program", "export": "a torch.export program"}

LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # torch's magic number, pickled with protocol 2
DATASET = "a dataset goes to --in"
OTHERS = (  # what else people pass, by how it begins; and what to do
    (b"\x89hdf", "is an HDF5 file, not a checkpoint", DATASET),
    (b"version https://git-lfs", "is a Git LFS pointer, not the checkpoint itself", "run `git lfs pull`"),
    (b"<!doctype html", "is a web page, not a checkpoint", "download the file itself"),
    (b"<html", "is a web page, not a checkpoint", "download the file itself"),
    (b"\x1f\x8b", "is a gzip archive", "unpack it and pass the checkpoint in it"),
    (b"\x93numpy", "is a NumPy array, not a checkpoint", ""),
    (b"\x89png", "is an image, not a checkpoint", DATASET),
    (b"ply", "is a PLY cloud, not a checkpoint", DATASET),
)
A_PROGRAM = "and a program can do anything on this computer"
TRUST = "pass --trust-ckpt if you trust its author"


@dataclass(frozen=True)
class File:
    """The bytes of a checkpoint: what is checked is what is then loaded, even if the file on disk changes."""

    path: str
    kind: str  # "zip" | "legacy" | "safetensors" | "torchscript" | "export"
    data: bytes

    @cached_property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.data).hexdigest()


def sha256(path: str | Path) -> str:
    """Of a file of code."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# What kind of file it is


def open_file(path: str | Path) -> File:
    """Read a file and tell its kind by its content, not by its name."""
    place = Path(path)
    if not place.exists():
        raise CheckpointError("no such file", at=path, advice="check the path of the checkpoint")
    if not place.is_file():  # and to open a pipe waits for whoever writes to it
        what = "a folder" if place.is_dir() else "a pipe or a device"
        raise CheckpointError(f"is {what}, not a file", at=path, advice="pass the checkpoint file itself")
    with wording(path, "cannot be read"), place.open("rb") as file:
        _refuse_others(path, file.read(64))  # before all of a large dataset is read
        file.seek(0)
        data = file.read()
    return File(str(path), _kind(path, data), data)


def _refuse_others(path: str | Path, head: bytes) -> None:
    if not head:
        raise CheckpointError("is empty", at=path, advice=AGAIN)
    for magic, reason, advice in OTHERS:
        if head.lstrip().lower().startswith(magic):
            raise CheckpointError(reason, at=path, advice=advice)


def _kind(path: str | Path, data: bytes) -> str:
    if data.startswith(b"PK\x03\x04"):
        return _zip_kind(path, data)
    if data.startswith(b"\x80") and LEGACY[2:] in data[:32]:  # whatever the protocol
        return "legacy"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < 100_000_000:
        return "safetensors"
    if LEGACY.startswith(data) or b"PK\x03\x04".startswith(data):
        raise CheckpointError(DAMAGED, at=path, advice=AGAIN)
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise CheckpointError("is a plain pickle, not a checkpoint of torch.save", at=path, advice=RESAVE)
    raise CheckpointError("is not a checkpoint of torch.save or safetensors", at=path, advice=RESAVE)


def _zip_kind(path: str | Path, data: bytes) -> str:
    names = pickles.opened(path, data).namelist()
    inner = {name.partition("/")[2] for name in names} | set(names)
    if inner & {"archive_format", "serialized_exported_program.json"}:
        return "export"
    if "constants.pkl" in inner:
        return "torchscript"
    if "data.pkl" in inner:
        return "zip"
    raise CheckpointError("is a zip archive, but not one of torch.save", at=path, advice=RESAVE)


# The weights in it


def read(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """The weights under their bare names, and a note on what was unwrapped to find them."""
    state, note = weights(open_file(path))
    *_, (state, prefix) = variants(state)
    return dict(state), joined(note, stripped(prefix))


def weights(file: File) -> tuple[State, str]:
    """The weights under the names they were saved with, and a note on where they were found."""
    if file.kind in PROGRAMS:
        raise CheckpointError(f"is {PROGRAMS[file.kind]}, {A_PROGRAM}", at=file.path, advice=TRUST)
    content = _content(file)
    unwrapped = _unwrap(content)
    if unwrapped is None:
        raise CheckpointError(f"holds {_describe(content)} and no weights", at=file.path, advice=RESAVE)
    state, trail = unwrapped
    state = {key: value.detach() for key, value in state.items() if key != "n_averaged"}  # EMA's own counter
    _refuse_names(file, state)
    _refuse_claims(file, state)
    return state, f"found under {trail}" if trail else ""


def _content(file: File) -> Any:
    """The object in the file, made of plain containers, numbers, strings and tensors."""
    if file.kind == "safetensors":
        from safetensors.torch import load

        with wording(file.path, DAMAGED, AGAIN):
            return load(file.data)
    return pickles.load(file.path, file.data)


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())
    )


def _unwrap(value: Any, depth: int = 3) -> tuple[State, str] | None:
    """The first state dict in ``value`` in the order of WRAPPERS, and the trail of names that leads to it."""
    if _is_state(value):
        return value, ""
    if not isinstance(value, Mapping) or not depth:
        return None
    for name in WRAPPERS:
        inner = _unwrap(value.get(name), depth - 1)
        if inner:
            state, trail = inner
            return state, f"'{name}'" + (f" › {trail}" if trail else "")
    only = [(item, f"'{name}'") for name, item in value.items() if _is_state(item)]
    return only[0] if len(only) == 1 else None


def _describe(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    if not value:
        return "an empty dict"
    keys = (repr(key) if type(key) in (str, int) else f"a {type(key).__name__}" for key in list(value)[:5])
    return "the keys " + ", ".join(map(shown, keys))


def _refuse_names(file: File, state: State) -> None:
    """Names of weights are shown on terminals and written to manifests."""
    for key in state:
        if not key.isprintable() or len(key) > 300:
            raise CheckpointError(f"a weight has the unlikely name {shown(repr(key))}", at=file.path, advice=RESAVE)


def _refuse_claims(file: File, state: State) -> None:
    """A view can claim any shape over one number, and a network built to that shape would fill the memory."""
    claimed = sum(value.numel() * value.element_size() for value in state.values())
    if claimed > 4 * len(file.data):
        what = f"its tensors claim {claimed:,} bytes in a file of {len(file.data):,}"
        raise CheckpointError(what, at=file.path, advice=RESAVE)


def variants(state: State) -> Iterator[tuple[State, str]]:
    """The weights as saved, then with each prefix that all keys share taken off: (state, what was taken)."""
    taken = ""
    yield state, taken
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None):
        state, taken = {key[len(prefix) :]: value for key, value in state.items()}, taken + prefix
        yield state, taken


def stripped(prefix: str) -> str:
    """The note on a prefix.

    >>> stripped("module.")
    "prefix 'module.' stripped"
    """
    return f"prefix '{prefix}' stripped" if prefix else ""


def joined(*notes: str) -> str:
    """Those that say something, in one line."""
    return "; ".join(filter(None, notes))


def shapes(state: State) -> dict[str, tuple[int, ...]]:
    """What layouts are recognised by."""
    return {key: tuple(value.shape) for key, value in state.items()}
