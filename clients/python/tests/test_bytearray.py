"""A memory is used as a `bytearray` is.

Owns: claims about indices, slices, streams and whole-range calls of the blocking half. Law: what a
`bytearray` does is asked of a `bytearray`.
"""

import random

import pytest

import linmem
from linmem import PAGE
from linmem.errors import BytesCorrupted


def test_it_has_a_length_and_begins_as_zeros(memory):
    assert len(memory) == 2 * PAGE and memory
    assert bytes(memory) == bytes(2 * PAGE)
    assert memory.pages() == 2


def test_every_slice_is_what_a_bytearray_would_give_and_take(memory):
    model = bytearray(2 * PAGE)
    chance = random.Random(1)
    memory[:], model[:] = (bytes(range(256)) * 512,) * 2
    size = len(model)
    ends = (None, 0, 1, -1, 7, -7, size, -size, size + 5, -size - 5, 300, PAGE)
    for _ in range(120):
        key = slice(chance.choice(ends), chance.choice(ends), chance.choice((None, 1, 2, -1, -3, 777)))
        assert memory[key] == model[key], key
        length = len(model[key])
        if length <= 400:
            data = chance.randbytes(length)
            memory[key] = data
            model[key] = data
            assert memory[key] == data, key
    assert bytes(memory) == model


def test_indices_count_from_either_end_and_end_at_the_size(memory):
    memory[0] = 1
    memory[-1] = 255
    assert (memory[0], memory[2 * PAGE - 1], memory[-1], memory[-2]) == (1, 255, 255, 0)
    assert next(iter(memory)) == 1
    for beyond in (2 * PAGE, -2 * PAGE - 1):
        with pytest.raises(IndexError):
            memory[beyond]
        with pytest.raises(IndexError):
            memory[beyond] = 1


def test_the_end_moves_when_somebody_else_grows_it(client, memory):
    assert len(memory) == 2 * PAGE
    client.memory(memory.id).grow(1)
    memory[3 * PAGE - 1] = 9
    assert memory[-1] == 9 and memory[3 * PAGE - 1] == 9 and memory[2 * PAGE] == 0


def test_an_assignment_never_resizes(memory):
    for key, value in ((slice(0, 4), b"12345"), (slice(0, 10, 3), b"12345"), (slice(5, 5), b"1")):
        with pytest.raises(ValueError):
            memory[key] = value
    with pytest.raises(ValueError):
        memory[0] = 256
    for wrong in (lambda: memory.__setitem__(0, b"x"), lambda: memory.__setitem__(slice(0, 1), 1)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError):
        del memory[0]
    assert bytes(memory) == bytes(2 * PAGE)


def test_more_than_one_call_carries_goes_as_a_stream_and_comes_back(client):
    with client.create(pages=130) as large:
        data = random.Random(2).randbytes(130 * PAGE)
        large[:] = data
        assert bytes(large) == data
        assert large[1 : 129 * PAGE] == data[1 : 129 * PAGE]
        chunks = list(large.download(PAGE, 3 * PAGE, chunk_bytes=PAGE))
        assert [len(chunk) for chunk in chunks] == [PAGE] * 3
        assert b"".join(chunks) == data[PAGE : 4 * PAGE]
        assert large.info().stats.read_bytes >= 130 * PAGE


def test_an_upload_takes_chunks_of_any_length_under_one_checksum(memory):
    parts = [b"abc", b"", bytearray(b"d" * 70_000), memoryview(b"e")]
    sent = memory.upload(parts, 5, chunk_bytes=30_000)
    whole = b"".join(bytes(part) for part in parts)
    assert sent.bytes_written == len(whole) and memory[5 : 5 + len(whole)] == whole
    assert memory.upload(b"").bytes_written == 0


def test_an_upload_past_the_end_says_what_stands(memory):
    with pytest.raises(linmem.reasons.OutOfBounds):
        memory.upload(b"x" * PAGE, PAGE + 1)
    assert bytes(memory) == bytes(2 * PAGE), "checked at once, where the length is known"
    with pytest.raises(linmem.reasons.OutOfBounds) as refused:
        memory.upload(iter([b"x" * PAGE] * 2), PAGE, chunk_bytes=PAGE)
    assert refused.value.number("bytes_written") == PAGE
    assert memory[PAGE:] == b"x" * PAGE


def test_what_the_source_of_an_upload_raises_is_raised(memory):
    def source():
        yield b"first"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        memory.upload(source())


def test_bytes_that_arrive_changed_are_told(memory, monkeypatch):
    monkeypatch.setattr("linmem.transfer.crc32c", lambda data, before=0: 1)
    with pytest.raises(BytesCorrupted) as broken:
        list(memory.download(8, 16))
    assert broken.value.offset == 8


def test_fill_copy_and_discard_change_their_range_only(client, memory):
    memory.fill(10, 20, 0xAB)
    memory.copy(10, 15, 20)
    assert memory[8:37] == bytes(2) + b"\xab" * 25 + bytes(2)
    with client.create(pages=1) as other:
        memory.copy(10, 0, 4, to=other)
        assert other[:6] == b"\xab" * 4 + bytes(2)
    memory.discard(0, PAGE)
    assert bytes(memory) == bytes(2 * PAGE)


def test_a_protected_range_refuses_what_it_does_not_allow(memory):
    memory[0:4] = b"keep"
    memory.protect(0, 4, "read")
    with pytest.raises(linmem.reasons.Protected):
        memory[0] = 1
    assert memory[0:4] == b"keep"
    memory.protect(0, 4, "none")
    with pytest.raises(linmem.reasons.Protected):
        memory.read(0, 4)
    memory.protect(0, 4, "read_write")
    memory[0] = 75


def test_a_volatile_range_stays_while_the_host_has_room(memory):
    memory[0:4] = b"stay"
    assert memory.set_volatile(0, PAGE) is False
    assert memory.set_volatile(0, PAGE, False) is False
    assert memory[0:4] == b"stay"


def test_a_verification_reports_its_checks(memory):
    report = memory.verify()
    assert {check.check for check in report.checks} >= {"lengths", "guards"}
