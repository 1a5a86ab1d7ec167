"""A memory's indices and slices, awaited.

Owns: `Indexing` of the asyncio half. Law: that of `linmem.indexing`: the same bytes as a `bytearray`
has. What Python cannot await (`len`, assignment, `bytes`) is `size`, `set` and `tobytes` here.
"""

from __future__ import annotations

import operator
from collections.abc import Coroutine, Iterable
from typing import Any, SupportsIndex, overload

from linmem import op, slices
from linmem.aio.transfer import Transfer


class Indexing(Transfer):
    """Indices, slices and lengths."""

    #: The size as it was last told. A memory never shrinks, so that it is at least this.
    _known = 0

    async def size(self) -> int:
        """Its size now, in bytes."""
        raise NotImplementedError

    async def tobytes(self) -> bytes:
        """All of its bytes, as long as it is now."""
        return await self.pull(0, await self._size())

    @overload
    def __getitem__(self, key: SupportsIndex) -> Coroutine[Any, Any, int]: ...
    @overload
    def __getitem__(self, key: slice) -> Coroutine[Any, Any, bytes]: ...
    def __getitem__(
        self, key: SupportsIndex | slice
    ) -> Coroutine[Any, Any, int] | Coroutine[Any, Any, bytes]:
        """`await memory[3]` is a byte, `await memory[3:9]` the bytes of a slice."""
        return self._slice(key) if isinstance(key, slice) else self._byte(key)

    async def set(
        self, key: SupportsIndex | slice, value: int | bytes | bytearray | memoryview | Iterable[int]
    ) -> None:
        """Sets a byte, or the bytes of a slice to as many others. A stepped slice is one group, whole
        or not at all."""
        if isinstance(key, slice):
            if isinstance(value, int):
                raise TypeError("a slice is set to bytes, not to a number")
            data = bytes(value)
            wanted = slices.spots(key, await self._size())
            if len(data) != len(wanted):
                raise ValueError(f"{len(wanted)} bytes cannot become {len(data)}: no slice resizes")
            if wanted.step == 1:
                await self.push(wanted.start, data)
            elif data:
                await self.execute([op.scatter(1, list(wanted), data)])
        elif isinstance(value, int):
            await self.write(await self._at(key), bytes([value]))
        else:
            raise TypeError("a byte is set to a number from 0 to 255")

    async def _size(self) -> int:
        self._known = await self.size()
        return self._known

    async def _byte(self, key: SupportsIndex) -> int:
        return (await self.read(await self._at(key), 1))[0]

    async def _slice(self, key: slice) -> bytes:
        plain = slices.plain_bounds(key, self._known)
        if plain is not None:
            return await self.pull(*plain)
        wanted = slices.spots(key, await self._size())
        return slices.chosen(await self.pull(*slices.covering(wanted)), wanted)

    async def _at(self, key: SupportsIndex) -> int:
        # Only what lies within what is known is known without asking; the end is not.
        if 0 <= operator.index(key) < self._known:
            return operator.index(key)
        return slices.one(key, await self._size())
