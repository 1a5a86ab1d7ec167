"""The blocking half's way to the wire: grpcio's channel, threads' sleep.

Owns: `Wire`, one channel and what every call of it carries, and `Duplex`, one open stream both ways.
Law: the same names as `linmem.aio.io`, which the modules that are written once rely on; every failure
leaves here as a `LinmemError`. Repeats nothing.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message

from linmem.endpoint import Endpoint
from linmem.errors import failure
from linmem.methods import Method

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]

sleep = time.sleep


def ahead(items: Iterable[T]) -> Iterator[T]:
    """An iterator of what is iterable."""
    return iter(items)


class Incoming(Generic[A]):
    """A stream of answers, until its end or `cancel`."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def receive(self) -> A | None:
        """The next answer; None at the end."""
        try:
            return cast(A, next(self._call))
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise failure(error) from error

    def cancel(self) -> None:
        """Ends it from this side."""
        self._call.cancel()


class Duplex(Incoming[A], Generic[Q, A]):
    """A stream both ways."""

    def __init__(self, call: Any, unsent: queue.SimpleQueue[Q | None]) -> None:
        super().__init__(call)
        self._unsent = unsent

    def send(self, message: Q) -> None:
        """Sends a message, once there is room for it."""
        self._unsent.put(message)

    def done(self) -> None:
        """Sends no more; what was sent is answered."""
        self._unsent.put(None)

    def cancel(self) -> None:
        """Ends it from this side."""
        self._unsent.put(None)
        super().cancel()


class Wire:
    """One channel."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.credentials is None:
            self.channel = grpc.insecure_channel(endpoint.target, endpoint.options)
        else:
            self.channel = grpc.secure_channel(
                endpoint.target, endpoint.credentials, endpoint.options
            )

    def unary(self, method: Method[Q, A], request: Q, metadata: Metadata, left: float | None) -> A:
        """One request, one answer."""
        call = self.channel.unary_unary(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        try:
            return call(request, timeout=left, metadata=metadata)
        except grpc.RpcError as error:
            raise failure(error) from error

    def incoming(
        self, method: Method[Q, A], request: Q, metadata: Metadata, left: float | None
    ) -> Incoming[A]:
        """One request, a stream of answers."""
        call = self.channel.unary_stream(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        return Incoming(call(request, timeout=left, metadata=metadata))

    def outgoing(
        self, method: Method[Q, A], requests: Iterator[Q], metadata: Metadata, left: float | None
    ) -> A:
        """A stream of requests, one answer. What the iterator raises is raised here."""
        call = self.channel.stream_unary(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        broken: list[BaseException] = []

        def guarded() -> Iterator[Q]:
            try:
                yield from requests
            except BaseException as error:
                broken.append(error)
                raise

        try:
            return call(guarded(), timeout=left, metadata=metadata)
        except grpc.RpcError as error:
            if broken:
                raise broken[0] from None
            raise failure(error) from error

    def duplex(self, method: Method[Q, A], metadata: Metadata, left: float | None) -> Duplex[Q, A]:
        """A stream both ways."""
        call = self.channel.stream_stream(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        unsent: queue.SimpleQueue[Q | None] = queue.SimpleQueue()
        return Duplex(call(iter(unsent.get, None), timeout=left, metadata=metadata), unsent)

    def close(self) -> None:
        """Ends the channel and every call on it."""
        self.channel.close()
