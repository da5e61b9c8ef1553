"""The values in a pickle of plain containers, numbers, text and arrays, as CIFAR's batches are, without unpickling.

Every opcode that such pickles use is carried out here on plain values; any other ends the reading, and so does any
class or function but the few that stand for an array of numpy or for bytes. None is ever looked up, let alone called.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mixcli.files.rows_on_disk import RowsOnDisk

MOST_STEPS = 20_000_000  # CIFAR-100 takes half a million
INLINE = 1 << 16  # bytes of a text that is kept; a longer one is the content of an array

# Opcodes that are followed by the length of a text and the text: bytes of the length, and whether it is text or bytes.
COUNTED = {b"U": (1, bytes), b"T": (4, bytes), b"C": (1, bytes), b"B": (4, bytes), b"\x8e": (8, bytes),
           b"\x96": (8, bytes), b"\x8c": (1, str), b"X": (4, str), b"\x8d": (8, str)}  # fmt: skip
NUMBERS = {b"K": (1, False), b"M": (2, False), b"J": (4, True)}  # bytes, and whether it may be negative
CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
PUTS, GETS = {b"q": 1, b"r": 4}, {b"h": 1, b"j": 4}
ALLOWED = {
    "_codecs.encode",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
}


@dataclass
class Name:
    """A class or function that the pickle asks for."""

    name: str


@dataclass
class Span:
    """Bytes that are left where they are."""

    start: int
    size: int


@dataclass
class Kind:
    """A dtype."""

    code: str
    order: str = "|"

    def dtype(self) -> np.dtype:
        code = self.code if isinstance(self.code, str) else type(self.code).__name__  # whatever else may be endless
        if not re.fullmatch("[iu][1248]", code) or self.order not in ("<", ">", "|", "="):
            raise Refused(f"it holds an array of {code[:20]!r}; expected whole numbers")
        return np.dtype(self.order + self.code)


MOST_SIDES, LONGEST = 8, 1 << 40  # of an array's shape


@dataclass
class Array:
    """An array whose bytes are in the pickle."""

    kind: Kind | None = None
    shape: tuple[int, ...] = ()
    by_columns: bool = False
    content: bytes | Span = b""

    def load(self, path: Path) -> np.ndarray:
        """The array, read from the pickle's file where it is long. Refused where its bytes are not as declared."""
        sides = self.shape if isinstance(self.shape, tuple) and len(self.shape) <= MOST_SIDES else [None]
        sound = all(type(side) is int and 0 <= side < LONGEST for side in sides)
        if not sound or not isinstance(self.kind, Kind) or not isinstance(self.content, (bytes, Span)):
            raise Refused("it holds an array that is none")
        dtype = self.kind.dtype()
        size = self.content.size if isinstance(self.content, Span) else len(self.content)
        if math.prod(self.shape) * dtype.itemsize != size or not size:
            raise Refused(f"it declares an array of {self.shape} {dtype} and holds {size:,} bytes of it")
        order: Literal["F", "C"] = "F" if self.by_columns else "C"
        if isinstance(self.content, Span):
            stored = RowsOnDisk(path, dtype, (math.prod(self.shape),), self.content.start)[:]
            return np.ndarray(self.shape, dtype, stored, order=order)
        return np.ndarray(self.shape, dtype, self.content, order=order)


class Refused(ValueError):
    """Why a pickle is not read."""


def read_plain(data: Any) -> Any:
    """The value of a pickle in `data`, bytes or a memory map. Refused where it is anything but plain values."""
    machine = _Machine(data)
    try:
        return machine.run()
    except Refused:
        raise
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as e:  # whatever wrong opcodes lead to
        raise Refused("it is damaged") from e


class _Machine:
    """A stack and a memo, as any reader of pickles has them."""

    def __init__(self, data: Any):
        self.data, self.at, self.encoded = data, 0, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # heights of the stack
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_STEPS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            self.step(code)
        raise Refused("it is longer than any that is known")

    def step(self, code: bytes) -> None:
        if code in COUNTED:
            self.stack.append(self.text(*COUNTED[code]))
        elif code in NUMBERS:
            size, signed = NUMBERS[code]
            self.stack.append(int.from_bytes(self.take(size), "little", signed=signed))
        elif code in PUTS:
            self.memo[int.from_bytes(self.take(PUTS[code]), "little")] = self.stack[-1]
        elif code in GETS:
            self.stack.append(self.memo[int.from_bytes(self.take(GETS[code]), "little")])
        elif code in CONSTANTS:
            self.stack.append(CONSTANTS[code])
        elif code in TUPLES:
            self.stack[-TUPLES[code] :] = [tuple(self.stack[-TUPLES[code] :])]
        elif code in RULES:
            RULES[code](self)
        else:
            raise Refused(f"it asks for what no such file does (opcode {code!r})")

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        if len(taken) < size:
            raise Refused("it is cut short")
        self.at += size
        return taken

    def text(self, width: int, kind: type) -> bytes | str | Span:
        size = int.from_bytes(self.take(width), "little")
        if self.at + size > len(self.data):
            raise Refused("it is cut short")
        if kind is bytes and size > INLINE:
            self.at += size
            return Span(self.at - size, size)
        return self.take(size) if kind is bytes else self.take(size).decode("utf-8", "surrogatepass")

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 256)
        return self.take(end + 1 - self.at)[:-1].decode("ascii")

    def popped(self) -> list[Any]:
        """What lies above the last mark."""
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def name(self, module: str, name: str) -> None:
        if f"{module}.{name}" not in ALLOWED:
            raise Refused(f"it asks for {f'{module}.{name}'[:80]!r}, which no such file needs and may run code")
        self.stack.append(Name(f"{module}.{name}"))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or not all(isinstance(key, (str, bytes)) for key in items[::2]):
            raise Refused("it is damaged")
        target.update(zip(items[::2], items[1::2], strict=True))

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise Refused("it is damaged")
        self.stack[-1].extend(items)

    def reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        call = function.name.rpartition(".")[2]
        made: Array | Kind | bytes
        if call == "_reconstruct":
            made = Array()
        elif call == "dtype":
            made = Kind(_ascii(args[0]))
        elif call == "encode" and args[1] == "latin1":
            self.encoded += len(args[0])
            if self.encoded > len(self.data):  # a text of the memo may be asked for any number of times
                raise Refused("it holds more than the file does")
            made = args[0].encode("latin1")
        elif call == "_frombuffer":
            content, kind, shape, order = args
            made = Array(kind, shape, order == "F", content)
        else:
            raise Refused(f"it calls {function.name!r}, which no such file does")
        self.stack.append(made)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Kind):
            target.order = _ascii(state[1])
        elif isinstance(target, Array):
            _, target.shape, target.kind, target.by_columns, target.content = state
        else:
            raise Refused("it is damaged")


def _ascii(text: str | bytes) -> str:
    return text.decode("ascii") if isinstance(text, bytes) else text


RULES = {
    b"\x80": lambda m: m.take(1),  # the protocol
    b"\x95": lambda m: m.take(8),  # a frame
    b"}": lambda m: m.stack.append({}),
    b"]": lambda m: m.stack.append([]),
    b")": lambda m: m.stack.append(()),
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"t": lambda m: m.stack.append(tuple(m.popped())),
    b"e": lambda m: m.extend(m.popped()),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"u": lambda m: m.set_items(m.popped()),
    b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    b"\x8a": lambda m: m.stack.append(int.from_bytes(m.take(m.take(1)[0]), "little", signed=True)),
    b"\x94": lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: m.name(m.stack.pop(-2), m.stack.pop()),
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}
