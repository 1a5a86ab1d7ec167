"""Strings in linear memory, as C and as Pascal have them.

Owns: `Strings`. Law: nothing is read past its bound, nor past the memory's end, and nothing is written
past the room that its caller named: StringTooLong. Knows no encoding but the one it is told.
"""

from __future__ import annotations

from typing import Literal

from linmem.aio.calls import Bytes
from linmem.errors import StringTooLong

PrefixWidth = Literal[1, 2, 4, 8]
#: The first look for a NUL; most strings end within it.
FIRST_LOOK = 256
#: The longest look, so that no single answer is long.
LONGEST_LOOK = 65_536


class Strings(Bytes):
    """NUL-terminated and length-prefixed strings."""

    async def size(self) -> int:
        """Its size now, in bytes."""
        raise NotImplementedError

    async def read_cstring(self, offset: int, limit: int = 4096) -> bytes:
        """The bytes before the first NUL, which is among the first `limit` bytes from `offset` on and
        within the memory; else StringTooLong. A long string is looked at piece by piece."""
        end = min(offset + limit, await self.size())
        found, at, look = bytearray(), offset, FIRST_LOOK
        while at < end:
            piece = await self.read(at, min(look, end - at))
            text, nul, _rest = piece.partition(b"\0")
            found += text
            if nul:
                return bytes(found)
            at += len(piece)
            look = min(look * 2, LONGEST_LOOK)
        raise StringTooLong(f"no NUL within {max(end - offset, 0)} bytes of offset {offset}")

    async def write_cstring(self, offset: int, text: bytes, room: int | None = None) -> int:
        """Writes bytes and a NUL after them; with `room`, into no more than so many bytes. How many
        were written."""
        if b"\0" in text:
            raise ValueError("a NUL would end the string early")
        return await self._put(offset, bytes(text) + b"\0", room)

    async def read_prefixed(
        self,
        offset: int,
        width: PrefixWidth = 4,
        limit: int = 4096,
        byteorder: Literal["little", "big"] = "little",
    ) -> bytes:
        """A string after its length, a number of `width` bytes; StringTooLong past `limit`. Both are
        read in one go where the string is short, so that they belong together."""
        end = await self.size()
        piece = await self.read(offset, min(width + min(limit, FIRST_LOOK), max(end - offset, width)))
        length = int.from_bytes(piece[:width], byteorder)
        if length > limit:
            raise StringTooLong(f"{length} bytes at offset {offset}, {limit} at most")
        if width + length > len(piece):
            piece = await self.read(offset, width + length)
            if int.from_bytes(piece[:width], byteorder) != length:
                return await self.read_prefixed(offset, width, limit, byteorder)
        return piece[width : width + length]

    async def write_prefixed(
        self,
        offset: int,
        text: bytes,
        width: PrefixWidth = 4,
        room: int | None = None,
        byteorder: Literal["little", "big"] = "little",
    ) -> int:
        """Writes a length, a number of `width` bytes, and the bytes after it, in one go; with `room`,
        into no more than so many bytes. How many were written."""
        if len(text) >= 1 << (8 * width):
            raise StringTooLong(f"{len(text)} bytes have no length of {width} bytes")
        return await self._put(offset, len(text).to_bytes(width, byteorder) + bytes(text), room)

    async def _put(self, offset: int, data: bytes, room: int | None) -> int:
        if room is not None and len(data) > room:
            raise StringTooLong(f"{len(data)} bytes, and room for {room}")
        await self.write(offset, data)
        return len(data)
