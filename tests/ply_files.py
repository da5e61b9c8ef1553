"""A plain writer of binary `.ply` files for tests."""

from pathlib import Path

import numpy as np

TYPES = {"f4": "float", "f8": "double", "i4": "int", "u4": "uint", "i2": "short", "u2": "ushort", "u1": "uchar"}


def write_ply(file, columns, comments=()):
    """One point per row, a property per column: (P,) each, of a type in `TYPES`."""
    dtype = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    rows = np.empty(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        rows[name] = column
    said = "".join(f"comment {' '.join(comment.splitlines())}\n" for comment in comments)
    properties = "".join(f"property {TYPES[column.dtype.str[1:]]} {name}\n" for name, column in columns.items())
    head = f"ply\nformat binary_little_endian 1.0\n{said}element vertex {len(rows)}\n{properties}end_header\n"
    content = head.encode() + rows.tobytes()
    if isinstance(file, Path):
        file.write_bytes(content)
    else:
        file.write(content)
