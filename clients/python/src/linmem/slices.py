"""Python's indices and slices, as ranges of a memory.

Owns: the arithmetic. Law: a `bytearray` of the same size would mean the same bytes. Asks nobody.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex


def plain_bounds(key: slice, known: int) -> tuple[int, int] | None:
    """The offset and length of a slice that a memory of at least `known` bytes decides without being
    asked for its size; None where it must be asked."""
    step = 1 if key.step is None else operator.index(key.step)
    if step != 1 or key.start is None or key.stop is None:
        return None
    start, stop = operator.index(key.start), operator.index(key.stop)
    if start < 0 or stop < 0 or max(start, stop) > known:
        return None
    return start, max(stop - start, 0)


def spots(key: slice, size: int) -> range:
    """The offsets that a slice names in a memory of so many bytes, in its order."""
    return range(*key.indices(size))


def covering(wanted: range) -> tuple[int, int]:
    """The offset and length of the shortest range that holds them all."""
    if not wanted:
        return 0, 0
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return low, high - low + 1


def chosen(data: bytes, wanted: range) -> bytes:
    """What a slice names of the bytes of its covering range."""
    return data if wanted.step == 1 else data[:: wanted.step]


def one(key: SupportsIndex, size: int) -> int:
    """The offset of an index, or an IndexError."""
    index = operator.index(key)
    at = index + size if index < 0 else index
    if not 0 <= at < size:
        raise IndexError(f"index {index} of a memory of {size} bytes")
    return at
