"""Numbers, groups, strings and arrays in linear memory.

Owns: claims about `atoms`, `op`, `packed`, `strings` and `arrays` of the blocking half. Law: `struct` and
NumPy say what is right.
"""

import struct

import numpy as np
import pytest

import linmem
from linmem import PAGE, Packed, op

KINDS = {
    "i8": ("<b", -128, 127), "u8": ("<B", 0, 255), "i16": ("<h", -32768, 32767),
    "u16": ("<H", 0, 65535), "i32": ("<i", -(2**31), 2**31 - 1), "u32": ("<I", 0, 2**32 - 1),
    "i64": ("<q", -(2**63), 2**63 - 1), "u64": ("<Q", 0, 2**64 - 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_integers_are_stored_as_struct_packs_them_and_no_others_are(memory, kind):
    format, low, high = KINDS[kind]
    for number in (low, high, 0, 1):
        memory.store(kind, 3, number)
        assert memory.unpack_from(format, 3) == (number,)
        assert memory.load(kind, 1, static_offset=2) == number
        packed = Packed().store(kind, 100, number).load(kind, 100)
        assert memory.execute_packed(packed) == [None, number]
    for number in (low - 1, high + 1):
        with pytest.raises(OverflowError):
            memory.store(kind, 3, number)


def test_floats_and_vectors_keep_their_bits(memory):
    memory.store("f32", 0, 1.5)
    memory.store("f64", 8, -0.1)
    assert memory.unpack_from("<f4xd") == (1.5, -0.1)
    assert (memory.load("f32", 0), memory.load("f64", 8)) == (1.5, -0.1)
    memory.store("v128", 16, bytes(range(16)))
    assert memory.load("v128", 16) == bytes(range(16)) == memory[16:32]
    with pytest.raises(ValueError):
        memory.store("v128", 16, b"short")


def test_struct_formats_are_packed_in_place(memory):
    memory.pack_into("<IHB", 10, 1, 2, 3)
    assert memory.unpack_from("<IHB", 10) == (1, 2, 3)
    memory[0:12] = struct.pack("<6H", *range(6))
    assert list(memory.iter_unpack("<2H", 0, 3)) == [(0, 1), (2, 3), (4, 5)]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_atomics_tell_what_was_there_and_wrap(memory, width):
    top = (1 << 8 * width) - 1
    memory.atomic_store(8, top, width)
    assert memory.atomic_add(8, 2, width) == top
    assert memory.atomic_sub(8, 1, width) == 1
    assert memory.atomic_or(8, 6, width) == 0
    assert memory.atomic_and(8, 3, width) == 6
    assert memory.atomic_xor(8, 1, width) == 2
    assert memory.atomic_exchange(8, -1, width) == 3
    assert memory.atomic_cmpxchg(8, 5, 9, width) == top
    assert memory.atomic_cmpxchg(8, top, 9, width) == top
    assert memory.atomic_load(8, width) == 9
    packed = Packed().atomic_store(16, 5, width).atomic_cmpxchg(16, 5, 7, width)
    packed.atomic_rmw("add", 16, 1, width).atomic_load(16, width)
    assert memory.execute_packed(packed) == [None, 5, 7, 8]


def test_an_atomic_off_its_width_is_refused(memory):
    with pytest.raises(linmem.reasons.Unaligned) as refused:
        memory.atomic_add(2, 1)
    assert refused.value.number("width") == 4


def test_a_list_and_columns_mean_the_same(client, memory):
    client.put_segment(b"segment", "numbers")

    def said(begin):
        add = begin
        add.write(0, b"abcdefgh").copy(0, 8, 8).fill(16, 4, 0xFF).init("numbers", 3, 20, 4)
        add.store("i64", 24, -5).read(0, 32).load("i64", 24).size().fence().notify(32)
        return add

    class Listed:
        def __init__(self):
            self.operations = []

        def __getattr__(self, name):
            def add(*arguments):
                self.operations.append(getattr(op, name)(*arguments))
                return self

            return add

    columns = memory.execute_packed(said(Packed()))
    memory.fill(0, 64)
    assert memory.execute(said(Listed()).operations) == columns
    whole = b"abcdefghabcdefgh" + b"\xff" * 4 + b"ment" + struct.pack("<q", -5)
    assert columns == [None] * 5 + [whole, -5, 2, None, 0]
    client.drop_segment("numbers")


def test_a_group_that_compares_wrong_does_nothing(memory):
    for group in (
        lambda: memory.execute([op.write(0, b"no"), op.compare(0, b"xx")]),
        lambda: memory.execute_packed(Packed().write(0, b"no").compare(0, b"xx")),
    ):
        with pytest.raises(linmem.reasons.CompareFailed) as refused:
            group()
        assert refused.value.number("operation_index") == 1
    assert memory[0:2] == bytes(2)
    memory.execute([op.compare(0, bytes(2)), op.write(0, b"ok")])
    assert memory[0:2] == b"ok"


def test_a_string_ends_at_its_nul_within_its_bound(memory):
    assert memory.write_cstring(5, b"hello") == 6
    assert memory.read_cstring(5) == b"hello" == memory.read_cstring(5, 6)
    for limit in (5, 0):
        with pytest.raises(linmem.StringTooLong):
            memory.read_cstring(5, limit)
    long = b"x" * 1000
    memory.write_cstring(0, long)
    assert memory.read_cstring(0) == long
    memory.fill(PAGE, PAGE, 1)
    with pytest.raises(linmem.StringTooLong):
        memory.read_cstring(2 * PAGE - 3)
    with pytest.raises(linmem.StringTooLong):
        memory.write_cstring(0, b"12345", room=5)
    with pytest.raises(ValueError):
        memory.write_cstring(0, b"a\0b")


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_prefixed_string_is_bounded_by_its_limit(memory, width):
    text = b"t" * 200
    assert memory.write_prefixed(7, text, width, byteorder="big") == width + 200
    assert memory.read_prefixed(7, width, byteorder="big") == text
    with pytest.raises(linmem.StringTooLong):
        memory.read_prefixed(7, width, 199, "big")
    with pytest.raises(linmem.StringTooLong):
        memory.write_prefixed(7, text, width, room=200)
    if width > 1:
        memory.write_prefixed(0, b"y" * 3000, width)
        assert memory.read_prefixed(0, width) == b"y" * 3000
    else:
        with pytest.raises(linmem.StringTooLong):
            memory.write_prefixed(0, b"y" * 256, width)
    memory.write_prefixed(2 * PAGE - width, b"", width)
    assert memory.read_prefixed(2 * PAGE - width, width) == b""


def test_an_array_is_read_as_numpy_lays_it_out_in_one_gather(memory):
    whole = np.arange(600, dtype="<u4").reshape(20, 30)
    memory.put_ndarray(64, whole)
    before = memory.stats().access_count
    assert np.array_equal(memory.ndarray(64, (20, 30), "<u4"), whole)
    assert memory.stats().access_count == before + 1, "what lies together is one range"
    # Every other column of every third row, last row first.
    wanted = whole[18::-3, 1::2]
    offset = 64 + (18 * 30 + 1) * 4
    seen = memory.ndarray(offset, wanted.shape, "<u4", wanted.strides)
    assert np.array_equal(seen, wanted)
    seen[0] = 0
    assert memory.ndarray(64, 600, "<u4")[18 * 30 + 1] == whole[18, 1], "it is an array of its own"
    assert memory.ndarray(64, (), "<u4") == 0
    assert memory.ndarray(64, (0, 5), "<f8").shape == (0, 5)
    with pytest.raises(linmem.reasons.OutOfBounds):
        memory.ndarray(0, 2 * PAGE + 1)
    with pytest.raises(ValueError):
        memory.ndarray(0, 2, "<u4", (-4,))


def test_an_array_is_written_strided_and_nothing_between(memory):
    memory.fill(0, 100, 0xEE)
    memory.put_ndarray(0, np.array([[1, 2], [3, 4]], dtype="<u2"), (20, 10))
    assert [memory.unpack_from("<H", at)[0] for at in (0, 10, 20, 30)] == [1, 2, 3, 4]
    assert memory[2:10] == b"\xee" * 8
    memory.scatter(2, [40, 50], b"abcd")
    assert memory.gather(2, [50, 40]) == b"cdab"
    assert memory.gather(2, []) == b""
    with pytest.raises(ValueError):
        memory.scatter(2, [40], b"abc")
