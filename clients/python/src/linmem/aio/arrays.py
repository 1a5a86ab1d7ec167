"""Many ranges at once, and arrays in linear memory.

Owns: `Arrays`. Law: one ExecuteOperations of columns for each call, so that an array is read or written
whole or not at all; elements that lie together are one range of it. NumPy is needed for arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from linmem import packed, strides
from linmem.aio.calls import Bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Arrays(Bytes):
    """Ranges and arrays of a memory."""

    async def gather(self, width: int, offsets: Sequence[int]) -> bytes:
        """Reads many ranges of one length in one go; the bytes of all, one after the other."""
        return await self.columns(packed.gather(width, offsets)) if offsets else b""

    async def scatter(self, width: int, offsets: Sequence[int], data: bytes) -> None:
        """Writes many ranges of one length in one go; of those that overlap the later ones count."""
        if len(data) != width * len(offsets):
            raise ValueError(f"{len(offsets)} ranges of {width} bytes are not {len(data)} bytes")
        if offsets:
            await self.columns(packed.scatter(width, offsets, bytes(data)))

    async def ndarray(
        self,
        offset: int,
        shape: int | Sequence[int],
        dtype: npt.DTypeLike = "u1",
        strides_bytes: Sequence[int] | None = None,
    ) -> npt.NDArray[Any]:
        """An array that lies at `offset`, as a NumPy array of its own. `strides_bytes` says how far
        apart neighbours are in each dimension, negative ones too; absent: C order without gaps. It is
        read in one packed gather, so all of it is of one moment."""
        import numpy as np

        kind, sizes = _laid_out(dtype, shape)
        steps = strides_bytes or strides.contiguous(sizes, kind.itemsize)
        width, starts = strides.ranges(offset, sizes, steps, kind.itemsize)
        data = await self.gather(width, starts.tolist()) if width else b""
        return np.frombuffer(bytearray(data), dtype=kind).reshape(sizes)

    async def put_ndarray(
        self, offset: int, array: npt.ArrayLike, strides_bytes: Sequence[int] | None = None
    ) -> None:
        """Writes an array to `offset`, its neighbours as far apart as `strides_bytes` says, in one
        packed group."""
        import numpy as np

        solid = np.ascontiguousarray(array)
        sizes = np.shape(array)
        steps = strides_bytes or strides.contiguous(sizes, solid.itemsize)
        width, starts = strides.ranges(offset, sizes, steps, solid.itemsize)
        if width:
            await self.scatter(width, starts.tolist(), solid.tobytes())


def _laid_out(
    dtype: npt.DTypeLike, shape: int | Sequence[int]
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    import numpy as np

    kind = np.dtype(dtype)
    if kind.hasobject:
        raise TypeError("objects have no bytes")
    return kind, (shape,) if isinstance(shape, int) else tuple(shape)
