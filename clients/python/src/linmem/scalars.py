"""Numbers in linear memory: which of WebAssembly's instructions loads and stores each kind.

Owns: the table of kinds, and the two ways between a Python number and `Value`. Law: little-endian, and a
number that its kind cannot hold is an OverflowError before anything is sent. Sends nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from linmem.v1 import operation_pb2 as pb

Kind = Literal["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64", "v128"]
"""A kind of number, named as in WebAssembly; `u` is unsigned, and a v128 is 16 bytes."""
Number = int | float | bytes
"""What a kind's number is in Python."""
Width = Literal[1, 2, 4, 8]
"""How many bytes an atomic operation takes."""


@dataclass(frozen=True)
class Scalar:
    """How one kind is loaded, stored and packed."""

    load: pb.Opcode.ValueType
    store: pb.Opcode.ValueType
    #: What a packed operand or result is: the instruction's type, not the bytes in memory.
    packed: str
    bits: int
    signed: bool = False

    @property
    def packed_bytes(self) -> int:
        """The length of an operand or result in a packed group."""
        return struct.calcsize(self.packed)


SCALARS: dict[Kind, Scalar] = {
    "i8": Scalar(pb.OPCODE_I32_LOAD8_S, pb.OPCODE_I32_STORE8, "<i", 8, True),
    "u8": Scalar(pb.OPCODE_I32_LOAD8_U, pb.OPCODE_I32_STORE8, "<I", 8),
    "i16": Scalar(pb.OPCODE_I32_LOAD16_S, pb.OPCODE_I32_STORE16, "<i", 16, True),
    "u16": Scalar(pb.OPCODE_I32_LOAD16_U, pb.OPCODE_I32_STORE16, "<I", 16),
    "i32": Scalar(pb.OPCODE_I32_LOAD, pb.OPCODE_I32_STORE, "<i", 32, True),
    "u32": Scalar(pb.OPCODE_I32_LOAD, pb.OPCODE_I32_STORE, "<I", 32),
    "i64": Scalar(pb.OPCODE_I64_LOAD, pb.OPCODE_I64_STORE, "<q", 64, True),
    "u64": Scalar(pb.OPCODE_I64_LOAD, pb.OPCODE_I64_STORE, "<Q", 64),
    "f32": Scalar(pb.OPCODE_F32_LOAD, pb.OPCODE_F32_STORE, "<f", 32),
    "f64": Scalar(pb.OPCODE_F64_LOAD, pb.OPCODE_F64_STORE, "<d", 64),
    "v128": Scalar(pb.OPCODE_V128_LOAD, pb.OPCODE_V128_STORE, "16s", 128),
}
"""Every kind."""


def pack(kind: Kind, number: Number) -> bytes:
    """A number as the operand of a packed store."""
    scalar = SCALARS[kind]
    if kind in ("f32", "f64"):
        return struct.pack(scalar.packed, number)
    if kind == "v128":
        if not isinstance(number, bytes) or len(number) != 16:
            raise ValueError("a v128 is 16 bytes")
        return number
    if not isinstance(number, int):
        raise TypeError(f"an {kind} is an int, not {type(number).__name__}")
    low = -(1 << (scalar.bits - 1)) if scalar.signed else 0
    if not low <= number < low + (1 << scalar.bits):
        raise OverflowError(f"{number} does not fit in {kind}")
    return struct.pack(scalar.packed, number)


def unpack(kind: Kind, data: bytes) -> Number:
    """The number of a packed load's result."""
    number: Number = struct.unpack(SCALARS[kind].packed, data)[0]
    return number


def to_value(kind: Kind, number: Number) -> pb.Value:
    """A number as the operand of a list's store."""
    data = pack(kind, number)
    if kind == "v128":
        return pb.Value(v128=data)
    if kind == "f32":
        return pb.Value(f32_bits=struct.unpack("<I", data)[0])
    if kind == "f64":
        return pb.Value(f64_bits=struct.unpack("<Q", data)[0])
    if len(data) == 8:
        return pb.Value(i64=struct.unpack("<q", data)[0])
    return pb.Value(i32=struct.unpack("<i", data)[0])


def from_value(kind: Kind, value: pb.Value) -> Number:
    """The number of a list's load."""
    arm = value.WhichOneof("value")
    if arm == "v128":
        return value.v128
    if arm == "f32_bits":
        return unpack(kind, struct.pack("<I", value.f32_bits))
    if arm == "f64_bits":
        return unpack(kind, struct.pack("<Q", value.f64_bits))
    if arm == "i64":
        return unpack(kind, struct.pack("<q", value.i64))
    return unpack(kind, struct.pack("<i", value.i32))


def plain(value: pb.Value) -> Number:
    """A value as its own type says, integers signed."""
    arms: dict[str, Kind] = {"i32": "i32", "i64": "i64", "f32_bits": "f32", "f64_bits": "f64"}
    return from_value(arms.get(value.WhichOneof("value") or "", "v128"), value)
