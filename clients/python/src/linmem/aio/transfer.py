"""Bytes of any length out of a memory and into it, as streams of chunks.

Owns: `Transfer`. Law: every message follows the one before without a gap and each one's CRC-32C is
checked; a download that breaks goes on where it broke if it cannot continue in another memory (its uid
is known, or nothing had arrived). An upload is not repeated, for its source cannot be rewound: its
failure says how many bytes stand (`number("bytes_written")`). Messages are atomic one by one: neither is
a snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass

import google_crc32c

from linmem import methods
from linmem.aio.calls import Bytes
from linmem.aio.io import ahead, sleep
from linmem.errors import BytesCorrupted, LinmemError, ProtocolBroken
from linmem.retry import Attempts
from linmem.v1 import memory_service_pb2 as pb

Chunk = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Uploaded:
    """What an upload wrote, on which both sides agree."""

    bytes_written: int
    """How many bytes."""
    crc32c: int
    """CRC-32C of them."""


def crc32c(data: bytes, before: int = 0) -> int:
    """CRC-32C of bytes that follow those whose checksum is `before`."""
    return int(google_crc32c.extend(before, data))


class Transfer(Bytes):
    """A memory's bytes, as streams."""

    async def download(
        self, offset: int = 0, length: int | None = None, *, chunk_bytes: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range, chunk by chunk, each checked; without a length to the memory's end."""
        attempts = Attempts(self.calls.retry, self.calls.timeout)
        at, end, arrived = offset, None if length is None else offset + length, False
        while True:
            left = attempts.start()
            request = pb.DownloadMemoryRequest(
                memory_id=self.id,
                uid=self.uid,
                offset=at,
                length=None if end is None else end - at,
                chunk_bytes=chunk_bytes,
                checksum=True,
            )
            metadata = self.calls.metadata
            stream = self.calls.wire.incoming(methods.DOWNLOAD_MEMORY, request, metadata, left)
            try:
                while True:
                    message = await stream.receive()
                    if message is None:
                        break
                    _check(message, at, end)
                    at += len(message.data)
                    arrived = True
                    attempts.progressed()
                    yield message.data
                if end is not None and at != end:
                    raise ProtocolBroken(f"a download ended at {at} instead of {end}")
                return
            except LinmemError as error:
                if arrived and self.uid is None:
                    raise
                pause = attempts.pause_after(error, harmless=True)
            finally:
                stream.cancel()
            await sleep(pause)

    async def upload(
        self,
        chunks: Chunk | Iterable[Chunk] | AsyncIterable[Chunk],
        offset: int = 0,
        *,
        length: int | None = None,
        chunk_bytes: int | None = None,
    ) -> Uploaded:
        """Writes what the chunks have, in messages of `chunk_bytes`, under one checksum of all. With a
        length, which is known where one chunk is given, the whole range is checked at once."""
        if isinstance(chunks, (bytes, bytearray, memoryview)):
            length, chunks = len(chunks), [chunks]
        size = chunk_bytes or (await self.calls.limits()).default_chunk_bytes
        sent = _Sent()
        left = Attempts(self.calls.retry, self.calls.timeout).start()
        first = pb.UploadMemoryRequest(
            memory_id=self.id, uid=self.uid, offset=offset, length=length
        )
        messages = _messages(first, chunks, size, sent)
        metadata = self.calls.metadata
        answer = await self.calls.wire.outgoing(methods.UPLOAD_MEMORY, messages, metadata, left)
        if answer.bytes_written != sent.count:
            raise ProtocolBroken(f"{sent.count} bytes sent, {answer.bytes_written} written")
        if answer.crc32c != sent.crc32c:
            raise BytesCorrupted(offset, sent.crc32c, answer.crc32c)
        return Uploaded(sent.count, sent.crc32c)

    async def pull(self, offset: int, length: int) -> bytes:
        """A range of any length: in one atomic call where it is short enough, else as a download."""
        if length <= (await self.calls.limits()).max_read_bytes:
            return await self.read(offset, length)
        parts = bytearray()
        async for chunk in self.download(offset, length):
            parts += chunk
        return bytes(parts)

    async def push(self, offset: int, data: Chunk) -> None:
        """Writes a range of any length: in one atomic call where it is short enough, else as an
        upload."""
        if len(data) <= (await self.calls.limits()).max_write_bytes:
            await self.write(offset, data)
        else:
            await self.upload(data, offset)


def _check(message: pb.DownloadMemoryResponse, at: int, end: int | None) -> None:
    if message.offset != at:
        raise ProtocolBroken(f"a download went on at {message.offset} instead of {at}")
    if not message.HasField("crc32c"):
        raise ProtocolBroken("a download without its checksums")
    found = crc32c(message.data)
    if found != message.crc32c:
        raise BytesCorrupted(at, message.crc32c, found)
    if end is not None and at + len(message.data) > end:
        raise ProtocolBroken("a download brought too much")


class _Sent:
    """What has been handed over of an upload."""

    def __init__(self) -> None:
        self.count = 0
        self.crc32c = 0


async def _messages(
    first: pb.UploadMemoryRequest,
    chunks: Iterable[Chunk] | AsyncIterable[Chunk],
    size: int,
    sent: _Sent,
) -> AsyncIterator[pb.UploadMemoryRequest]:
    """One message is held back, so that the last can carry the checksum."""
    held = first
    async for chunk in ahead(chunks):
        view = memoryview(chunk).cast("B")
        for begin in range(0, len(view), size):
            data = bytes(view[begin : begin + size])
            sent.count += len(data)
            sent.crc32c = crc32c(data, sent.crc32c)
            if held.data:
                yield held
                held = pb.UploadMemoryRequest()
            held.data = data
    held.crc32c = sent.crc32c
    yield held
