"""The header of a PLY file: which elements it holds, of which properties, how often and in which form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mixcli.errors import MixError
from mixcli.files.shape import File

LONGEST_HEADER = 1 << 20  # bytes
FORMS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}


@dataclass(frozen=True)
class Property:
    name: str
    dtype: np.dtype  # of the value, or of each entry of a list
    length: np.dtype | None = None  # of the number that stands before a list; None: a single value


@dataclass
class Element:
    name: str
    count: int
    by_name: dict[str, Property] = field(default_factory=dict)

    @property
    def properties(self) -> list[Property]:
        return list(self.by_name.values())

    @property
    def has_lists(self) -> bool:
        return any(p.length is not None for p in self.properties)

    @property
    def row_bytes(self) -> int:
        """The least that one row takes in a binary file: its lists may be empty."""
        return sum((p.length or p.dtype).itemsize for p in self.properties)


@dataclass(frozen=True)
class Header:
    is_text: bool
    elements: dict[str, Element]
    comments: list[str]


def read_header(file: File) -> Header:
    """Everything up to `end_header`; the file then stands behind it."""
    lines = _lines(file)
    form = next((words[1] for words, _ in lines if words[0] == "format" and len(words) > 1), "")
    if form not in FORMS:
        raise file.bad(f"its format is {form[:24]!a}", f"export it as {' or '.join(FORMS)}")
    elements: dict[str, Element] = {}
    for words, text in lines:
        if words[0] == "element":
            _add_element(file, elements, words, text)
        elif words[0] == "property":
            _add_property(file, elements, words, text, FORMS[form])
    for element in elements.values():
        if element.count and not element.by_name:
            raise file.bad(f"its header gives {element.name[:24]!a} no property")
    comments = [text.removeprefix("comment").removeprefix(" ") for words, text in lines if words[0] == "comment"]
    return Header(form == "ascii", elements, comments)


def _lines(file: File) -> list[tuple[list[str], str]]:
    """Lines between `ply` and `end_header`, each as its words and as it stands, without the empty ones."""
    if file.line(16).rstrip() != b"ply":
        raise file.bad("it does not begin with the line 'ply'", "check its suffix, or export it again")
    lines: list[tuple[list[str], str]] = []
    left = LONGEST_HEADER
    while True:
        line = file.line(left)
        left -= len(line)
        if not line.endswith(b"\n"):
            raise file.bad("its header has no line 'end_header'")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        words = text.split()
        if words == ["end_header"]:
            return lines
        if words:
            lines.append((words, text))


def _add_element(file: File, elements: dict[str, Element], words: list[str], text: str) -> None:
    known = len(words) == 3 and words[1] not in elements and words[2].isascii() and words[2].isdigit()
    if not known or len(words[2]) > 18:
        raise _odd(file, text)
    elements[words[1]] = Element(words[1], int(words[2]))


def _add_property(file: File, elements: dict[str, Element], words: list[str], text: str, order: str) -> None:
    is_list = words[1:2] == ["list"]
    names = words[1 + is_list : -1]
    types = [TYPES[name] for name in names if name in TYPES]
    if not elements or not len(types) == len(names) == 1 + is_list or (is_list and types[0].startswith("f")):
        raise _odd(file, text)
    dtypes = [np.dtype(order + name) for name in types]
    element = next(reversed(elements.values()))
    if words[-1] in element.by_name:
        raise _odd(file, text)
    element.by_name[words[-1]] = Property(words[-1], dtypes[-1], dtypes[0] if is_list else None)


def _odd(file: File, text: str) -> MixError:
    return file.bad(f"its header has a line that does not fit: {text[:60]!a}")
