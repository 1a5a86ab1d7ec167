"""What every call of a client has in common, and the calls that move a memory's bytes.

Owns: `Calls`, the tenant, the deadline and the repeats of one client; `Bytes`, one memory and its plain
reads, writes and groups. Law: a request that can have a request_id gets one, so that a repeat is the
same call; `retry` decides about repeats. Everything else about memories is built on `Bytes`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import Message
from typing_extensions import Self

from linmem import methods, op
from linmem.aio.io import Metadata, Wire, sleep
from linmem.endpoint import TENANT_METADATA, tenant_metadata
from linmem.errors import LinmemError, ProtocolBroken
from linmem.methods import Method
from linmem.op import Operation, Result
from linmem.packed import Packed
from linmem.retry import Attempts, RetryPolicy
from linmem.v1 import memory_service_pb2 as pb
from linmem.v1 import operation_pb2

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


def with_request_id(request: Q) -> Q:
    """The request with a request_id, where it can have one and has none."""
    if "request_id" not in request.DESCRIPTOR.fields_by_name or request.HasField("request_id"):
        return request
    named = type(request)()
    named.CopyFrom(request)
    named.request_id = str(uuid.uuid4())  # type: ignore[attr-defined]
    return named


def _has_request_id(request: Message) -> bool:
    return "request_id" in request.DESCRIPTOR.fields_by_name and request.HasField("request_id")


class Calls:
    """A channel, for one tenant, with one deadline and one way of repeating."""

    def __init__(
        self, wire: Wire, metadata: Metadata, timeout: float | None, retry: RetryPolicy
    ) -> None:
        self.wire = wire
        self.metadata = metadata
        self.timeout = timeout
        """Seconds that each call may take, repeats included; None: any."""
        self.retry = retry
        """How calls are repeated."""
        self._limits: pb.Limits | None = None

    def _like(
        self, metadata: Metadata, timeout: float | None, retry: RetryPolicy
    ) -> Self:
        return type(self)(self.wire, metadata, timeout, retry)

    def with_tenant(self, tenant: str | None) -> Self:
        """The same channel for another tenant (metadata `linmem-tenant`)."""
        others = tuple(one for one in self.metadata if one[0] != TENANT_METADATA)
        return self._like(tenant_metadata(tenant) + others, self.timeout, self.retry)

    def with_timeout(self, timeout: float | None) -> Self:
        """The same channel with another deadline for each call, in seconds."""
        return self._like(self.metadata, timeout, self.retry)

    def with_retry(self, retry: RetryPolicy) -> Self:
        """The same channel with another way of repeating."""
        return self._like(self.metadata, self.timeout, retry)

    async def call(self, method: Method[Q, A], request: Q) -> A:
        """Makes any unary call, with the tenant, the deadline and the repeats of this client. A
        request that can have a request_id gets one; a group gets none but its caller's."""
        if method is not methods.EXECUTE_OPERATIONS:
            request = with_request_id(request)
        harmless = method.harmless or _has_request_id(request)
        attempts = Attempts(self.retry, self.timeout)
        while True:
            left = attempts.start()
            try:
                return await self.wire.unary(method, request, self.metadata, left)
            except LinmemError as error:
                pause = attempts.pause_after(error, harmless=harmless)
            await sleep(pause)

    async def server_info(self) -> pb.ServerInfo:
        """What the daemon is, can do and allows, and what the tenant uses."""
        answer = await self.call(methods.GET_SERVER_INFO, pb.GetServerInfoRequest())
        return answer.server_info

    async def limits(self) -> pb.Limits:
        """The daemon's limits, asked for once."""
        if self._limits is None:
            self._limits = (await self.server_info()).limits
        return self._limits


class Bytes:
    """One memory of a tenant, by its id and, once known, its uid. What it answers about another memory
    that got the id later is UidMismatch."""

    def __init__(self, calls: Calls, memory_id: str, uid: str | None = None) -> None:
        self.calls = calls
        self.id = memory_id
        """Its name within the tenant."""
        self.uid = uid
        """Its uid, where it is known: from its creation, or from `bind`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, uid={self.uid!r})"

    async def read(self, offset: int, length: int) -> bytes:
        """Reads one range in one call, atomically: at most `limits.max_read_bytes` (63 pages)."""
        request = pb.ReadMemoryRequest(
            memory_id=self.id, uid=self.uid, offset=offset, length=length
        )
        return (await self.calls.call(methods.READ_MEMORY, request)).data

    async def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Writes one range in one call, atomically: at most `limits.max_write_bytes` (63 pages)."""
        request = pb.WriteMemoryRequest(
            memory_id=self.id, uid=self.uid, offset=offset, data=bytes(data)
        )
        await self.calls.call(methods.WRITE_MEMORY, request)

    async def execute(self, operations: Iterable[Operation]) -> list[Result]:
        """Carries a list of operations out, whole or not at all; an answer for each. One that stores
        something is sent under a request_id where its results are few enough to be remembered."""
        return [op.result(one) for one in await self.results(operations)]

    async def results(
        self, operations: Iterable[Operation]
    ) -> list[operation_pb2.OperationResult]:
        """The same, with the results as messages."""
        operations = list(operations)
        request = pb.ExecuteOperationsRequest(
            memory_id=self.id,
            uid=self.uid,
            list=operation_pb2.OperationList(operations=operations),
        )
        if op.is_remembered(operations):
            request = with_request_id(request)
        answer = await self.calls.call(methods.EXECUTE_OPERATIONS, request)
        results = list(answer.list.results)
        if len(results) != len(operations):
            raise ProtocolBroken("a result was due for each operation")
        return results

    async def execute_packed(self, packed: Packed, *, request_id: str | None = None) -> list[Result]:
        """Carries a group in columns out, whole or not at all; an answer for each operation."""
        data = await self.columns(packed.message(), request_id=request_id)
        try:
            return packed.results(data)
        except ValueError as error:
            raise ProtocolBroken(str(error)) from None

    async def columns(
        self, packed: operation_pb2.PackedOperations, *, request_id: str | None = None
    ) -> bytes:
        """The same, with the columns and the answer as they are on the wire."""
        request = pb.ExecuteOperationsRequest(
            memory_id=self.id, uid=self.uid, packed=packed, request_id=request_id
        )
        return (await self.calls.call(methods.EXECUTE_OPERATIONS, request)).packed.data
