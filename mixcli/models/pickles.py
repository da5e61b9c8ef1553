"""Loading torch's pickles: find out what one would do without doing it, then load it if that is harmless."""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mixcli.errors import CheckpointError, MixError

DAMAGED, AGAIN = "is cut short or damaged", "copy or download it again"
RESAVE = "save model.state_dict() with torch.save and pass that file"

# Bytes to an element of each storage that torch.save names.
WIDTHS = {
    "torch.ByteStorage": 1,
    "torch.CharStorage": 1,
    "torch.BoolStorage": 1,
    "torch.ShortStorage": 2,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.IntStorage": 4,
    "torch.FloatStorage": 4,
    "torch.LongStorage": 8,
    "torch.DoubleStorage": 8,
    "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
}
DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "bool")

# What torch's restricted loader may build for real. Its own list is longer: left out is what allocates by a
# number in the pickle (bytearray, torch.Tensor, UntypedStorage) and what gives no plain tensor (sparse ones).
BUILT = {
    "_codecs.encode",
    "builtins.complex",
    "builtins.set",
    "collections.Counter",
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    *WIDTHS,
    *(f"torch.{name}" for name in DTYPES),
}

# What published checkpoints carry beside the weights; it loads as an inert stand-in that keeps nothing.
STUBBED = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath")),
    *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "WindowsPath")),
}
# Training logs live in whatever module their author had: the name of the class alone tells them.
LOGS = {"AverageMeter", "MetricLogger", "ProgressMeter", "RecorderMeter", "SmoothedValue"}

EXTENSIONS = {"EXT1", "EXT2", "EXT4"}  # look classes up in a table of the process, not by name
STORES = {"PUT", "BINPUT", "LONG_BINPUT"}


def shown(text: str) -> str:
    """Text of others, fit for a line on a terminal.

    >>> shown("two\\n lines \\x1b[31m")
    'two lines ?[31m'
    """
    text = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


@contextmanager
def wording(path: str | Path, reason: str, advice: str = "", why: bool = True) -> Iterator[None]:
    """Whatever the code of others raises in this block comes out as a CheckpointError; its warnings do not.

    What the error itself said stands behind the sentence; ``why=False`` leaves it out, since of torch.load it is advice
    to load unsafely.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (MixError, torch.cuda.OutOfMemoryError):  # to the latter the caller has an answer
            raise
        except (Exception, SystemExit) as err:  # a program may do anything, sys.exit() included
            detail = f" ({type(err).__name__}: {shown(str(err))})" if why else ""
            if advice:
                raise CheckpointError(reason, at=path, advice=advice + detail) from err
            raise CheckpointError(reason + detail, at=path) from err


# What a pickle names


class Inert:
    """Stands for any object of a pickle: takes whatever is given and does nothing with it."""

    full_name = ""  # of the class that it stands for

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    append = extend = add = __setstate__


@dataclass(frozen=True)
class Scan:
    """What a pickle names (classes and functions in their order, storages of tensors), and its value."""

    protocol: int
    names: list[str] = field(default_factory=list)
    storages: dict[str, int] = field(default_factory=dict)  # key -> bytes
    value: Any = None

    def refused(self) -> list[str]:
        """The names that mixcli does not load, in the order of the pickle."""
        return [name for name in self.names if name not in BUILT and stand_in(name) is None]


def stand_in(name: str) -> Callable[..., Any] | None:
    """What is loaded in the place of a harmless class or function; None when it is not known as one."""
    if name == "collections.defaultdict":
        return _plain_dict  # torch's loader fills none but plain containers
    if name == "collections.deque":
        return _plain_list
    known = name in STUBBED or name.rpartition(".")[2] in LOGS
    return Inert if known else None


def _plain_dict(*_: Any) -> dict:
    return {}


def _plain_list(*_: Any) -> list:
    return []


def scan(file: BinaryIO) -> Scan:
    """Read the next pickle of ``file`` and say what it names; a malformed one may raise anything."""
    protocol, data = _opcodes(file)
    dry = _DryRun(data)
    value = dry.load()
    return Scan(protocol, list(dict.fromkeys(dry.names)), dry.storages, value)


def _opcodes(file: BinaryIO) -> tuple[int, bytes]:
    """The protocol and the bytes of the next pickle, whose opcodes and lengths are then known to be sound."""
    start, protocol = file.tell(), 0
    for count, (op, arg, _) in enumerate(pickletools.genops(file)):
        if op.name == "PROTO" and isinstance(arg, int):
            protocol = arg
        if op.name in EXTENSIONS:
            raise ValueError("copyreg extension")
        if op.name in STORES and isinstance(arg, int) and arg > count:
            raise ValueError("memo out of order")  # it is an array as long as the largest index
    end = file.tell()
    file.seek(start)
    return protocol, file.read(end - start)


class _DryRun(pickle.Unpickler):
    """Runs a pickle with every class and function replaced by an inert one, and notes what it asked for."""

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.names: list[str] = []
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> type:
        """An inert class of that name, as Python 3 calls it."""
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        self.names.append(f"{module}.{name}")
        return type(name, (Inert,), {"full_name": self.names[-1]})

    def persistent_load(self, pid: Any) -> Any:
        """Note a storage: pid is ("storage", class, key, location, elements[, view])."""
        if pid[0] == "module":  # a class with its source, in the older format
            return pid[1]
        kind, storage, key, _, elements = pid[:5]
        named = storage if isinstance(storage, type) else type(storage)  # an instance declares as much as its class
        full_name = named.full_name if issubclass(named, Inert) else ""
        if kind == "storage" and full_name in WIDTHS:
            if type(key) not in (str, int) or type(elements) is not int or elements < 0:
                raise ValueError("a storage has no name, or no count of elements")  # of a nested one str() has no end
            self.storages[str(key)] = max(self.storages.get(str(key), 0), elements * WIDTHS[full_name])
        return Inert()


# What a file holds


def opened(path: str | Path, data: bytes) -> zipfile.ZipFile:
    """A zip archive that begins where its directory says: on others, readers of zip disagree."""
    with wording(path, DAMAGED, AGAIN):
        archive = zipfile.ZipFile(io.BytesIO(data))
        if archive.infolist()[0].header_offset:
            raise CheckpointError(DAMAGED, at=path, advice=AGAIN)  # such as the archive in a cut archive
    return archive


def scan_zip(path: str, data: bytes) -> Scan:
    """Names and storages of a torch.save archive, whose directory must tell the truth."""
    archive = opened(path, data)
    entries = archive.infolist()
    sizes = {entry.filename.lower(): entry.file_size for entry in entries}  # torch ignores case here
    if any(entry.compress_type or entry.file_size != entry.compress_size for entry in entries):
        raise CheckpointError("has compressed entries, which torch.save never writes", at=path, advice=RESAVE)
    if sum(sizes.values()) > len(data) or len(sizes) < len(entries):
        raise CheckpointError("has a zip directory that does not fit its content", at=path, advice=RESAVE)
    root = entries[0].filename.partition("/")[0]
    content = scan(io.BytesIO(archive.read(f"{root}/data.pkl")))
    declared = sum(content.storages.values())
    held = sum(sizes.get(f"{root}/data/{key}".lower(), 0) for key in content.storages)
    if any(size > sizes.get(f"{root}/data/{key}".lower(), -1) for key, size in content.storages.items()):
        raise _claims(path, declared, held)
    return content


def scan_legacy(path: str, data: bytes) -> Scan:
    """Names and storages of the older format: five pickles, then for each storage its length and bytes."""
    stream = io.BytesIO(data)
    *head, content, keys = (scan(stream) for _ in ("magic number", "version", "platform", "content", "keys"))
    declared = sum(size + 8 for size in content.storages.values())
    held = len(data) - stream.tell()
    if declared > held:
        raise _claims(path, declared, held)
    if sorted(map(str, keys.value)) != sorted(content.storages):
        raise ValueError("storages without bytes")
    return replace(content, names=[name for part in (content, keys, *head) for name in part.names])


def _claims(path: str, declared: int, held: int) -> CheckpointError:
    return CheckpointError(f"declares {declared:,} bytes of weights and holds {held:,}", at=path, advice=AGAIN)


def load(path: str, data: bytes) -> Any:
    """The object in a file of torch.save, of either format, made of plain containers, numbers and tensors."""
    with wording(path, DAMAGED, AGAIN):
        content = (scan_zip if data.startswith(b"PK") else scan_legacy)(path, data)
    _refuse_names(path, content)
    stubs: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = []
    stubs += [(stub, name) for name in content.names if (stub := stand_in(name))]
    # Bytes in memory, since torch before 2.6 tries a file on disk as an older format that it reads unsafely.
    with wording(path, "cannot be loaded", RESAVE, why=False), torch.serialization.safe_globals(stubs):
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, encoding="latin1")


def _refuse_names(path: str, content: Scan) -> None:
    refused = [shown(name) for name in content.refused()]
    if any(name.startswith(("torch.nn.modules.", "torch.nn.parallel.")) for name in refused):
        what = f"is a whole pickled module of class {refused[0]}, and loading one runs code"
        raise CheckpointError(what, at=path, advice=RESAVE)
    if refused:
        names = ", ".join(refused[:3]) + (f" and {len(refused) - 3} more" if len(refused) > 3 else "")
        what = f"asks for {names}, which is not loaded because it may run code"
        raise CheckpointError(what, at=path, advice=RESAVE)
    if content.protocol > 2:
        what = f"is pickled with protocol {content.protocol}"
        raise CheckpointError(what, at=path, advice="save it again without pickle_protocol=")
