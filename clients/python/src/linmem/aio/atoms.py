"""Numbers in linear memory: struct formats, typed loads and stores, atomics.

Owns: `Atoms`. Law: one call each; what stores atomically goes under a request_id, so that a repeat of
it is no second addition. Little-endian, but for struct formats that say otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from linmem import op
from linmem.aio.calls import Bytes
from linmem.errors import ProtocolBroken
from linmem.op import Operation, Operator
from linmem.scalars import Kind, Number, Width, from_value


class Atoms(Bytes):
    """Numbers of a memory."""

    async def unpack_from(self, format: str, offset: int = 0) -> tuple[Any, ...]:
        """`struct.unpack_from`: what a format says of the bytes at an offset, read in one go. Formats
        begin with `<`, or they mean this machine's own alignment."""
        return struct.unpack(format, await self.read(offset, struct.calcsize(format)))

    async def pack_into(self, format: str, offset: int, *values: Any) -> None:
        """`struct.pack_into`: writes what a format makes of values, in one go."""
        await self.write(offset, struct.pack(format, *values))

    async def iter_unpack(
        self, format: str, offset: int, count: int
    ) -> Iterator[tuple[Any, ...]]:
        """`struct.iter_unpack` of `count` in a row, read in one go."""
        data = await self.read(offset, struct.calcsize(format) * count)
        return struct.iter_unpack(format, data)

    async def load(self, kind: Kind, address: int, static_offset: int = 0) -> Number:
        """Loads a number, as WebAssembly's instruction for its kind does."""
        (result,) = await self.results([op.load(kind, address, static_offset)])
        if result.WhichOneof("result") != "value":
            raise ProtocolBroken("a load without a value")
        return from_value(kind, result.value)

    async def store(
        self, kind: Kind, address: int, number: Number, static_offset: int = 0
    ) -> None:
        """Stores a number, as WebAssembly's instruction for its kind does."""
        await self.execute([op.store(kind, address, number, static_offset)])

    async def atomic_load(self, address: int, width: Width = 4) -> int:
        """Loads a number atomically, zero-extended."""
        return await self._old(op.atomic_load(address, width))

    async def atomic_store(self, address: int, number: int, width: Width = 4) -> None:
        """Stores a number atomically."""
        await self.execute([op.atomic_store(address, number, width)])

    async def atomic_add(self, address: int, number: int, width: Width = 4) -> int:
        """Adds, wrapping; what was there before."""
        return await self.atomic_rmw("add", address, number, width)

    async def atomic_sub(self, address: int, number: int, width: Width = 4) -> int:
        """Subtracts, wrapping; what was there before."""
        return await self.atomic_rmw("sub", address, number, width)

    async def atomic_and(self, address: int, number: int, width: Width = 4) -> int:
        """Keeps the bits that are set in both; what was there before."""
        return await self.atomic_rmw("and", address, number, width)

    async def atomic_or(self, address: int, number: int, width: Width = 4) -> int:
        """Sets bits; what was there before."""
        return await self.atomic_rmw("or", address, number, width)

    async def atomic_xor(self, address: int, number: int, width: Width = 4) -> int:
        """Turns bits over; what was there before."""
        return await self.atomic_rmw("xor", address, number, width)

    async def atomic_exchange(self, address: int, number: int, width: Width = 4) -> int:
        """Puts another number; what was there before."""
        return await self.atomic_rmw("xchg", address, number, width)

    async def atomic_rmw(
        self, operator: Operator, address: int, number: int, width: Width = 4
    ) -> int:
        """Reads a number, changes it, stores it; what was there before, zero-extended."""
        return await self._old(op.atomic_rmw(operator, address, number, width))

    async def atomic_cmpxchg(
        self, address: int, expected: int, replacement: int, width: Width = 4
    ) -> int:
        """Stores a number where another is expected; what was there before, zero-extended: it was
        stored where that is the expected one."""
        return await self._old(op.atomic_cmpxchg(address, expected, replacement, width))

    async def _old(self, operation: Operation) -> int:
        (result,) = await self.results([operation])
        if result.WhichOneof("result") != "old_value":
            raise ProtocolBroken("an atomic without an old value")
        return result.old_value
