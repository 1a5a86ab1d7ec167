"""The asyncio half's way to the wire: grpc.aio's channel.

Owns: `Wire`, one channel and what every call of it carries, and `Duplex`, one open stream both ways.
Law: the same names as `linmem.io`, which the modules that are written once rely on; every failure
leaves here as a `LinmemError`. Repeats nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message
from grpc import aio

from linmem.endpoint import Endpoint
from linmem.errors import Cancelled, failure
from linmem.methods import Method

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]

sleep = asyncio.sleep
_EOF: Any = aio.EOF


async def ahead(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """An iterator of what is iterable, either way."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class Incoming(Generic[A]):
    """A stream of answers, until its end or `cancel`."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._ended = False

    async def receive(self) -> A | None:
        """The next answer; None at the end."""
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            raise failure(error) from error
        except asyncio.CancelledError:
            # Whose was it: the stream's, or the waiting task's?
            if self._call.cancelled() and not _task_is_cancelled(self._ended):
                raise Cancelled("the stream was cancelled") from None
            raise
        return None if message is _EOF else cast(A, message)

    def cancel(self) -> None:
        """Ends it from this side."""
        self._ended = True
        self._call.cancel()


def _task_is_cancelled(ended: bool) -> bool:
    """Whether the running task is being cancelled; before Python 3.11, which cannot say, it is unless the
    stream was ended from this side."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return not ended if cancelling is None else bool(cancelling())


class Duplex(Incoming[A], Generic[Q, A]):
    """A stream both ways."""

    def __init__(self, call: Any) -> None:
        super().__init__(call)
        # grpc.aio takes one write at a time, and loses the second of two at once.
        self._sending = asyncio.Lock()

    async def send(self, message: Q) -> None:
        """Sends a message, once there is room for it."""
        try:
            async with self._sending:
                await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The reading side says why it ended.
            pass

    async def done(self) -> None:
        """Sends no more; what was sent is answered."""
        try:
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass


class Wire:
    """One channel."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.credentials is None:
            self.channel = aio.insecure_channel(endpoint.target, endpoint.options)
        else:
            self.channel = aio.secure_channel(
                endpoint.target, endpoint.credentials, endpoint.options
            )

    async def unary(
        self, method: Method[Q, A], request: Q, metadata: Metadata, left: float | None
    ) -> A:
        """One request, one answer."""
        call: Any = self.channel.unary_unary(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        try:
            return cast(A, await call(request, timeout=left, metadata=metadata))
        except grpc.RpcError as error:
            raise failure(error) from error

    def incoming(
        self, method: Method[Q, A], request: Q, metadata: Metadata, left: float | None
    ) -> Incoming[A]:
        """One request, a stream of answers."""
        call: Any = self.channel.unary_stream(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        return Incoming(call(request, timeout=left, metadata=metadata))

    async def outgoing(
        self, method: Method[Q, A], requests: AsyncIterator[Q], metadata: Metadata, left: float | None
    ) -> A:
        """A stream of requests, one answer. What the iterator raises is raised here."""
        stub: Any = self.channel.stream_unary(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        call = stub(timeout=left, metadata=metadata)
        try:
            try:
                async for request in requests:
                    await call.write(request)
                await call.done_writing()
            except (grpc.RpcError, asyncio.InvalidStateError):
                # It was refused before its end: the answer says why.
                pass
            return cast(A, await call)
        except grpc.RpcError as error:
            raise failure(error) from error
        finally:
            call.cancel()

    def duplex(self, method: Method[Q, A], metadata: Metadata, left: float | None) -> Duplex[Q, A]:
        """A stream both ways."""
        call: Any = self.channel.stream_stream(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        return Duplex(call(timeout=left, metadata=metadata))

    async def close(self) -> None:
        """Ends the channel and every call on it."""
        await self.channel.close(None)
