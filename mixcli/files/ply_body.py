"""The rows of PLY elements, binary and text, lists of any length included."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field

import numpy as np

from mixcli.errors import MixError
from mixcli.files.ply_header import Element, Property
from mixcli.files.shape import MOST_POINTS, File
from mixcli.files.text_rows import Rows, parse, read_rows


@dataclass(frozen=True)
class Lists:
    """One list of every row, end to end or with other numbers between them."""

    entries: np.ndarray  # (T,)
    first: np.ndarray  # (R,) i64, each row's first entry
    count: np.ndarray  # (R,) i64


@dataclass(frozen=True)
class Table:
    """What the rows of one element hold, by the names of its properties."""

    columns: dict[str, np.ndarray] = field(default_factory=dict)  # (R,), types as declared
    lists: dict[str, Lists] = field(default_factory=dict)


def read_tables(file: File, elements: list[Element], is_text: bool, limit: int | None) -> dict[str, Table]:
    """Elements from the first on, by name. If the last is of points alone, of it only `limit` rows."""
    last = elements[-1]
    rows = last.count if limit is None or last.has_lists else min(last.count, limit)
    if is_text:
        return _text(file, [*elements[:-1], Element(last.name, rows, last.by_name)])
    if any(e.has_lists for e in elements):
        return _binary(file, elements, file.rest())
    file.skip(sum(e.count * e.row_bytes for e in elements[:-1]))
    file.need(last.count * last.row_bytes)
    return {last.name: _fixed(last, rows, file.take(rows * last.row_bytes), 0)}


def _binary(file: File, elements: list[Element], data: bytes) -> dict[str, Table]:
    tables, at = {}, 0
    for element in elements:
        if element.count * element.row_bytes > len(data) - at:
            raise _cut_short(file, element)
        if element.has_lists and element.count:
            tables[element.name], at = _listed(file, element, data, at)
        else:
            tables[element.name] = _fixed(element, element.count, data, at)
            at += element.count * element.row_bytes
    return tables


def _fixed(element: Element, rows: int, data: bytes, at: int) -> Table:
    """Rows of one size."""
    row = np.dtype([(p.name, p.length or p.dtype) for p in element.properties])
    table = np.frombuffer(data, row, rows, at) if rows else np.empty(0, row)
    return Table({p.name: table[p.name].astype(p.dtype.newbyteorder("=")) for p in element.properties})


def _listed(file: File, element: Element, data: bytes, at: int) -> tuple[Table, int]:
    """Rows with lists, and where they end. Only where these differ in length is row after row looked at."""
    if element.count * len(element.by_name) > 4 * MOST_POINTS:
        raise file.bad(f"{element.count:,} rows of {element.name[:24]!a} are too many for one shape", "simplify it")
    starts, counts, end = _walk(file, element, data, at, 1)
    steps = np.arange(element.count)[:, None] * (end - at)
    last = end + int(steps[-1, 0])
    if last <= len(data) and _same(element, data, starts + steps, counts):
        starts, counts, end = starts + steps, counts.repeat(element.count, 0), last
    else:
        starts, counts, end = _walk(file, element, data, at, element.count)
    table = Table()
    for i, p in enumerate(element.properties):
        entries = _entries(np.frombuffer(data, np.uint8)[at:end], starts[:, i] - at, counts[:, i], p)
        if p.length is None:
            table.columns[p.name] = entries
        else:
            table.lists[p.name] = Lists(entries, counts[:, i].cumsum() - counts[:, i], counts[:, i])
    return table, end


def _walk(file: File, element: Element, data: bytes, at: int, rows: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Of each property of each row the place of its first entry and their number, (rows,p) i64, and the end."""
    places = array("q")
    plan = [(p.length and struct.Struct(_code(p.length)), p.dtype.itemsize) for p in element.properties]
    for _ in range(rows):
        for length, size in plan:
            count = 1
            if length is not None:
                if at + length.size > len(data):
                    raise _cut_short(file, element)
                count = length.unpack_from(data, at)[0]
                at += length.size
            places.extend((at, count))
            at += max(count, 0) * size
        if at > len(data):
            raise _cut_short(file, element)
    table = np.array(places, np.int64).reshape(rows, len(plan), 2)
    if (table[:, :, 1] < 0).any():
        raise file.bad(f"{element.name[:24]!a} has a list of negative length")
    return table[:, :, 0], table[:, :, 1], at


def _code(dtype: np.dtype) -> str:
    return (">" if dtype.str[0] == ">" else "<") + dtype.char


def _same(element: Element, data: bytes, starts: np.ndarray, counts: np.ndarray) -> bool:
    """Whether every list is as long as in the first row. (R,p) places of entries, (1,p) numbers of them."""
    for i, p in enumerate(element.properties):
        if p.length is not None:
            places = starts[:, i, None] - p.length.itemsize + np.arange(p.length.itemsize)
            if (np.frombuffer(data, np.uint8)[places].view(p.length) != counts[0, i]).any():
                return False
    return True


def _entries(data: np.ndarray, start: np.ndarray, count: np.ndarray, p: Property) -> np.ndarray:
    """All rows' entries of one property, one after the other: the bytes between each first and last. data (n,) u8."""
    filled = count > 0
    edge = np.zeros(len(data) + 1, np.int8)
    edge[start[filled]] += 1
    edge[(start + count * p.dtype.itemsize)[filled]] -= 1
    inside = np.cumsum(edge, dtype=np.int8)[:-1].view(bool)
    entries = data[inside].view(p.dtype)
    return entries.astype(p.dtype.newbyteorder("="))


def _cut_short(file: File, element: Element) -> MixError:
    promised = f"{element.count:,} of {element.name[:24]!a}"
    return file.bad(f"its header promises {promised}, but fewer follow: it is cut short")


def _text(file: File, elements: list[Element]) -> dict[str, Table]:
    rows, at, tables = read_rows(file, sum(e.count for e in elements), parse), 0, {}
    for element in elements:
        own = rows[at : at + element.count]
        if len(own) < element.count:
            raise _cut_short(file, element)
        tables[element.name] = _text_table(file, element, own)
        at += element.count
    return tables


def _text_table(file: File, element: Element, rows: Rows) -> Table:
    """One property after the other, in all rows at once."""
    table, at, end = Table(), rows.first, rows.first + rows.count
    values = np.append(rows.values, 0.0)  # behind the last row stands something, which is refused below
    for p in element.properties:
        here = np.minimum(at, len(values) - 1)
        if p.length is None:
            table.columns[p.name] = typed(file, values[here], p)
            at = at + 1
        else:
            count = typed(file, values[here], Property(f"{p.name} length", p.length))
            table.lists[p.name] = Lists(values, at + 1, np.clip(count, 0, len(values)).astype(np.int64))
            at = at + 1 + table.lists[p.name].count
    if (at != end).any():
        row = int((at != end).argmax())
        raise file.bad(f"line {rows.line[row]} has {rows.count[row]} numbers, not those that its header promises")
    return table


def typed(file: File, values: np.ndarray, p: Property) -> np.ndarray:
    """Numbers of a text (R,) f64 in the type that the header gives them."""
    if p.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(p.dtype)
    bounds = np.iinfo(p.dtype)
    wrong = ~((values >= bounds.min) & (values <= bounds.max) & (np.floor(values) == values))
    if wrong.any():
        row = int(wrong.argmax())
        raise file.bad(f"{p.name[:24]!a} of row {row} is {values[row]:g}, which is no {p.dtype.name}")
    return values.astype(p.dtype)
