"""Operations of a group in its pleasant form: one function for each, and what their results say.

Owns: the making of `Operation` messages and the reading of `OperationResult`s. Law: the names of
`operation.proto`; nothing is checked that the daemon checks. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from linmem.scalars import SCALARS, Kind, Number, Width, plain, to_value
from linmem.v1 import operation_pb2 as pb

Operation = pb.Operation
Result = bytes | int | float | None
"""What an operation answers: bytes of a read, a number, or nothing."""
Operator = Literal["add", "sub", "and", "or", "xor", "xchg"]
"""What an atomic read-modify-write does."""

OPERATORS: dict[Operator, pb.AtomicOperator.ValueType] = {
    "add": pb.ATOMIC_OPERATOR_ADD,
    "sub": pb.ATOMIC_OPERATOR_SUB,
    "and": pb.ATOMIC_OPERATOR_AND,
    "or": pb.ATOMIC_OPERATOR_OR,
    "xor": pb.ATOMIC_OPERATOR_XOR,
    "xchg": pb.ATOMIC_OPERATOR_XCHG,
}
#: Bytes of results that a daemon remembers for a request_id, unless its limits say otherwise.
REMEMBERED_BYTES = 1024


def unsigned(number: int, width: int) -> int:
    """A number of `width` bytes as the bits that an atomic takes; negative ones wrap."""
    bits = 8 * width
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(f"{number} does not fit in {width} bytes")
    return number & ((1 << bits) - 1)


def read(offset: int, length: int) -> Operation:
    """Reads a range. Result: its bytes."""
    return Operation(read=pb.ReadOperation(offset=offset, length=length))


def write(offset: int, data: bytes) -> Operation:
    """Writes a range."""
    return Operation(write=pb.WriteOperation(offset=offset, data=bytes(data)))


def compare(offset: int, expected: bytes) -> Operation:
    """Fails the whole group (CompareFailed) unless a range holds these bytes."""
    return Operation(compare=pb.CompareOperation(offset=offset, expected=bytes(expected)))


def gather(width: int, offsets: Iterable[int]) -> Operation:
    """Reads many ranges of one length. Result: the bytes of all."""
    return Operation(gather=pb.GatherOperation(width=width, offsets=offsets))


def scatter(width: int, offsets: Iterable[int], data: bytes) -> Operation:
    """Writes many ranges of one length."""
    return Operation(scatter=pb.ScatterOperation(width=width, offsets=offsets, data=bytes(data)))


def load(kind: Kind, address: int, static_offset: int = 0) -> Operation:
    """Loads a number. Result: it, with the sign of its instruction's type."""
    scalar = SCALARS[kind]
    return Operation(
        load=pb.LoadOperation(opcode=scalar.load, address=address, static_offset=static_offset)
    )


def store(kind: Kind, address: int, number: Number, static_offset: int = 0) -> Operation:
    """Stores a number."""
    return Operation(
        store=pb.StoreOperation(
            opcode=SCALARS[kind].store,
            address=address,
            static_offset=static_offset,
            value=to_value(kind, number),
        )
    )


def fill(offset: int, length: int, value: int = 0) -> Operation:
    """Sets every byte of a range."""
    return Operation(fill=pb.FillOperation(offset=offset, length=length, value=value))


def copy(source: int, destination: int, length: int) -> Operation:
    """Copies a range within the memory."""
    operation = pb.CopyOperation(
        source_offset=source, destination_offset=destination, length=length
    )
    return Operation(copy=operation)


def init(segment_id: str, source: int, destination: int, length: int) -> Operation:
    """Copies a part of a segment into the memory."""
    operation = pb.InitOperation(
        segment_id=segment_id, source_offset=source, destination_offset=destination, length=length
    )
    return Operation(init=operation)


def atomic_load(address: int, width: Width = 4) -> Operation:
    """Loads a number atomically. Result: it, zero-extended."""
    return Operation(atomic_load=pb.AtomicLoadOperation(width=width, address=address))


def atomic_store(address: int, number: int, width: Width = 4) -> Operation:
    """Stores a number atomically."""
    operand = unsigned(number, width)
    operation = pb.AtomicStoreOperation(width=width, address=address, operand=operand)
    return Operation(atomic_store=operation)


def atomic_rmw(operator: Operator, address: int, number: int, width: Width = 4) -> Operation:
    """Reads a number, changes it, stores it. Result: what was there, zero-extended."""
    operation = pb.AtomicRmwOperation(
        width=width,
        address=address,
        operator=OPERATORS[operator],
        operand=unsigned(number, width),
    )
    return Operation(atomic_rmw=operation)


def atomic_cmpxchg(
    address: int, expected: int, replacement: int, width: Width = 4
) -> Operation:
    """Stores a number where another is expected. Result: what was there, zero-extended."""
    operation = pb.AtomicCmpxchgOperation(
        width=width,
        address=address,
        expected=unsigned(expected, width),
        replacement=unsigned(replacement, width),
    )
    return Operation(atomic_cmpxchg=operation)


def size() -> Operation:
    """Asks for the size. Result: in pages."""
    return Operation(size=pb.SizeOperation())


def fence() -> Operation:
    """Does nothing: operations are in order already."""
    return Operation(fence=pb.FenceOperation())


def notify(address: int, count: int = 0xFFFF_FFFF) -> Operation:
    """Wakes who waits at an address, after the group's other effects. Result: how many."""
    return Operation(notify=pb.NotifyOperation(address=address, count=count))


def result(message: pb.OperationResult) -> Result:
    """What an operation answered."""
    arm = message.WhichOneof("result")
    if arm == "data":
        return message.data
    if arm == "value":
        return plain(message.value)
    if arm == "old_value":
        return message.old_value
    if arm == "size_pages":
        return message.size_pages
    return message.woken_count if arm == "woken_count" else None


def is_remembered(operations: Iterable[Operation]) -> bool:
    """Whether a list stores something and answers so little that it can be sent under a request_id."""
    stores, answers = False, 0
    for one in operations:
        arm = one.WhichOneof("operation")
        if arm == "read":
            answers += one.read.length
        elif arm == "gather":
            answers += len(one.gather.offsets) * one.gather.width
        elif arm == "load":
            answers += 16
        elif arm in ("atomic_load", "size"):
            answers += 8
        elif arm in ("atomic_rmw", "atomic_cmpxchg", "notify"):
            stores, answers = True, answers + 8
        elif arm not in ("compare", "fence", None):
            stores = True
    return stores and answers <= REMEMBERED_BYTES
