"""Where the elements of an array lie in a memory.

Owns: the arithmetic of shapes and strides, with NumPy where it is installed. Law: elements that follow
one another without a gap are one range. Reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def contiguous(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides, in bytes, of an array in C order without gaps."""
    strides, step = [], itemsize
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


def ranges(
    offset: int, shape: Sequence[int], strides: Sequence[int], itemsize: int
) -> tuple[int, npt.NDArray[np.int64]]:
    """The width of a range, and where each begins, in C order of the array."""
    import numpy as np

    if len(shape) != len(strides):
        raise ValueError(f"{len(strides)} strides for {len(shape)} dimensions")
    width, outer = itemsize, len(shape)
    # From the innermost dimension on, for as long as the next element follows at once.
    while outer and (strides[outer - 1] == width or shape[outer - 1] == 1):
        outer -= 1
        width *= shape[outer]
    starts = np.array([offset], dtype=np.int64)
    for length, stride in zip(shape[:outer], strides[:outer], strict=True):
        steps = np.arange(length, dtype=np.int64) * stride
        starts = (starts[:, None] + steps[None, :]).ravel()
    if starts.size and int(starts.min()) < 0:
        raise ValueError("an element would lie before the memory's start")
    return width, starts
