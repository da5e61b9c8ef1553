"""LibLZF's compression (Lehmann), which `.pcd` files use: runs of bytes as they are, and copies of earlier ones."""

from __future__ import annotations


def decompress(packed: bytes, size: int) -> bytearray | None:
    """The `size` bytes that were packed; None where they are not these. Never more than `size` + 264 bytes are made."""
    full, at, end = bytearray(), 0, len(packed)
    while at < end and len(full) <= size:
        control = packed[at]
        if control < 32:
            full += packed[at + 1 : at + 2 + control]
            at += 2 + control
            continue
        length, more = control >> 5, control >> 5 == 7
        if at + 1 + more >= end:
            return None
        length += packed[at + 1] if more else 0
        start = len(full) - ((control & 31) << 8) - packed[at + 1 + more] - 1
        if start < 0:
            return None
        piece = full[start : start + length + 2]
        full += piece * ((length + 2) // len(piece)) + piece[: (length + 2) % len(piece)]
        at += 2 + more
    return full if at == end and len(full) == size else None
