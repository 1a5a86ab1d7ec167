"""A group of operations in its fast form: columns.

Owns: `Packed`, which fills the columns, and the reading of the one buffer that comes back. Law: it means
what the list of `op` means; each result's width follows from what was asked. Sends nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from linmem.op import Operator, Result, unsigned
from linmem.scalars import SCALARS, Kind, Number, Width, pack, unpack
from linmem.v1 import operation_pb2 as pb

C = TypeVar("C", bound=int)
#: What takes a length of the column.
RANGED = frozenset({
    pb.OPCODE_READ, pb.OPCODE_WRITE, pb.OPCODE_COMPARE,
    pb.OPCODE_MEMORY_FILL, pb.OPCODE_MEMORY_COPY, pb.OPCODE_MEMORY_INIT,
})
Reader = tuple[int, Callable[[bytes], Result]]


def _nothing(_data: bytes) -> Result:
    return None


def _number(data: bytes) -> Result:
    return int.from_bytes(data, "little")


def _atomic(name: str, width: Width, operator: str = "") -> pb.Opcode.ValueType:
    """The opcode of an atomic: i64 for 8 bytes, i32 and its narrow forms for fewer."""
    narrow = str(8 * width) if width < 4 else ""
    word = f"I{64 if width == 8 else 32}_ATOMIC_{name}{narrow}{operator}"
    unsigned_form = "_U" if narrow and name != "STORE" else ""
    return pb.Opcode.Value(f"OPCODE_{word}{unsigned_form}")


class Packed:
    """Operations in columns. Every method adds one and returns this, so that they can be chained."""

    def __init__(self) -> None:
        self._opcodes: list[pb.Opcode.ValueType] = []
        self._addresses: list[int] = []
        self._lengths: list[int] = []
        self._data = bytearray()
        self._readers: list[Reader] = []
        self._ranged = False

    def __len__(self) -> int:
        """How many operations there are."""
        return len(self._opcodes)

    def _add(
        self,
        opcode: pb.Opcode.ValueType,
        address: int,
        length: int = 0,
        operand: bytes = b"",
        reader: Reader = (0, _nothing),
    ) -> Packed:
        self._opcodes.append(opcode)
        self._addresses.append(address)
        self._lengths.append(length)
        self._data += operand
        self._readers.append(reader)
        self._ranged |= opcode in RANGED
        return self

    def read(self, offset: int, length: int) -> Packed:
        """Reads a range. Result: its bytes."""
        return self._add(pb.OPCODE_READ, offset, length, reader=(length, bytes))

    def write(self, offset: int, data: bytes) -> Packed:
        """Writes a range."""
        return self._add(pb.OPCODE_WRITE, offset, len(data), data)

    def compare(self, offset: int, expected: bytes) -> Packed:
        """Fails the whole group (CompareFailed) unless a range holds these bytes."""
        return self._add(pb.OPCODE_COMPARE, offset, len(expected), expected)

    def load(self, kind: Kind, address: int) -> Packed:
        """Loads a number. Result: it."""
        scalar = SCALARS[kind]
        reader: Reader = (scalar.packed_bytes, lambda data: unpack(kind, data))
        return self._add(scalar.load, address, reader=reader)

    def store(self, kind: Kind, address: int, number: Number) -> Packed:
        """Stores a number."""
        return self._add(SCALARS[kind].store, address, operand=pack(kind, number))

    def fill(self, offset: int, length: int, value: int = 0) -> Packed:
        """Sets every byte of a range."""
        return self._add(pb.OPCODE_MEMORY_FILL, offset, length, bytes([value]))

    def copy(self, source: int, destination: int, length: int) -> Packed:
        """Copies a range within the memory."""
        operand = struct.pack("<Q", source)
        return self._add(pb.OPCODE_MEMORY_COPY, destination, length, operand)

    def init(self, segment_id: str, source: int, destination: int, length: int) -> Packed:
        """Copies a part of a segment into the memory."""
        name = segment_id.encode("ascii")
        operand = struct.pack("<QB", source, len(name)) + name
        return self._add(pb.OPCODE_MEMORY_INIT, destination, length, operand)

    def atomic_load(self, address: int, width: Width = 4) -> Packed:
        """Loads a number atomically. Result: it, zero-extended."""
        reader: Reader = (8 if width == 8 else 4, _number)
        return self._add(_atomic("LOAD", width), address, reader=reader)

    def atomic_store(self, address: int, number: int, width: Width = 4) -> Packed:
        """Stores a number atomically."""
        operand = self._operand(number, width)
        return self._add(_atomic("STORE", width), address, operand=operand)

    def atomic_rmw(
        self, operator: Operator, address: int, number: int, width: Width = 4
    ) -> Packed:
        """Reads a number, changes it, stores it. Result: what was there, zero-extended."""
        opcode = _atomic("RMW", width, f"_{operator.upper()}")
        reader: Reader = (8 if width == 8 else 4, _number)
        return self._add(opcode, address, operand=self._operand(number, width), reader=reader)

    def atomic_cmpxchg(
        self, address: int, expected: int, replacement: int, width: Width = 4
    ) -> Packed:
        """Stores a number where another is expected. Result: what was there, zero-extended."""
        operand = self._operand(expected, width) + self._operand(replacement, width)
        reader: Reader = (8 if width == 8 else 4, _number)
        return self._add(_atomic("RMW", width, "_CMPXCHG"), address, 0, operand, reader)

    def size(self) -> Packed:
        """Asks for the size. Result: in pages."""
        return self._add(pb.OPCODE_MEMORY_SIZE, 0, reader=(8, _number))

    def fence(self) -> Packed:
        """Does nothing: operations are in order already."""
        return self._add(pb.OPCODE_ATOMIC_FENCE, 0)

    def notify(self, address: int, count: int = 0xFFFF_FFFF) -> Packed:
        """Wakes who waits at an address, after the group's other effects. Result: how many."""
        operand = struct.pack("<I", count)
        return self._add(pb.OPCODE_MEMORY_ATOMIC_NOTIFY, address, 0, operand, (4, _number))

    @staticmethod
    def _operand(number: int, width: Width) -> bytes:
        return unsigned(number, width).to_bytes(8 if width == 8 else 4, "little")

    def message(self) -> pb.PackedOperations:
        """The columns, one entry standing for all where all are alike."""
        return pb.PackedOperations(
            opcodes=_column(self._opcodes),
            addresses=self._addresses,
            lengths=_column(self._lengths) if self._ranged else [],
            data=bytes(self._data),
        )

    def results(self, data: bytes) -> list[Result]:
        """What each operation answered, from the buffer that came back."""
        results, at = [], 0
        for width, reader in self._readers:
            results.append(reader(data[at : at + width]))
            at += width
        if at != len(data):
            raise ValueError(f"{at} bytes of results were due, not {len(data)}")
        return results


def _column(entries: list[C]) -> list[C]:
    return entries[:1] if len(set(entries)) == 1 else entries


def gather(width: int, offsets: Sequence[int]) -> pb.PackedOperations:
    """Reads of one length, as columns: an opcode, a length and an address each."""
    return pb.PackedOperations(opcodes=[pb.OPCODE_READ], addresses=offsets, lengths=[width])


def scatter(width: int, offsets: Sequence[int], data: bytes) -> pb.PackedOperations:
    """Writes of one length, as columns."""
    return pb.PackedOperations(
        opcodes=[pb.OPCODE_WRITE], addresses=offsets, lengths=[width], data=data
    )
