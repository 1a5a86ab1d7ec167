"""A client of one daemon for one tenant.

Owns: `Client` and `connect`: what a tenant has, and what an operator asks. Law: that of `calls`; every
resource that it makes is an object that knows how to end. Opens its connection at the first call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import grpc
from typing_extensions import Self

from linmem import methods
from linmem.aio.calls import Calls
from linmem.aio.decider import Decide, Decider
from linmem.aio.events import Events
from linmem.aio.hooks import Hook
from linmem.aio.io import Wire
from linmem.aio.memory import Memory, labels_of
from linmem.aio.resources import pages as pages_of
from linmem.aio.session import OnNotice, Session
from linmem.deciding import POLICIES, FailurePolicy
from linmem.endpoint import DEFAULT_ENDPOINT, endpoint, tenant_metadata, token_metadata
from linmem.retry import RetryPolicy
from linmem.times import duration
from linmem.v1 import (
    admin_service_pb2,
    hook_service_pb2,
    memory_pb2,
    memory_set_pb2,
    segment_pb2,
    share_pb2,
)
from linmem.v1 import memory_service_pb2 as pb
from linmem.watching import EventName, Place, Position


def connect(
    target: str = DEFAULT_ENDPOINT,
    *,
    tenant: str | None = None,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    token: str | None = None,
    options: Sequence[tuple[str, Any]] = (),
) -> Client:
    """A client of the daemon at `http://HOST:PORT`, `https://HOST:PORT`, `unix:///PATH` or any other
    target of gRPC's, for a tenant (absent: the one that the credentials or the listener imply).

    `timeout` is the time in seconds that each call may take, repeats included; a session, a watch and a
    transfer are one call each. `retry` says how calls
    are repeated. `credentials` are grpcio's own, for TLS; `token` is a bearer token, shown with every
    call; `options` go to the channel."""
    wire = Wire(endpoint(target, credentials, options))
    metadata = tenant_metadata(tenant) + token_metadata(token)
    return Client(wire, metadata, timeout, retry or RetryPolicy())


class Client(Calls):
    """A daemon, for one tenant. Used as a context manager, its connection is closed at the end."""

    async def close(self) -> None:
        """Ends the connection and every call on it, also of the clients that share it."""
        await self.wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.close()

    async def create(
        self,
        memory_id: str | None = None,
        *,
        pages: int = 0,
        maximum_pages: int | None = None,
        shared: bool = False,
        labels: Mapping[str, str] | Iterable[str] | None = None,
        display_name: str | None = None,
        lease: float | timedelta | None = None,
        spec: memory_pb2.MemorySpec | None = None,
        required_capabilities: Iterable[str] = (),
    ) -> Memory:
        """Creates a memory of zeroed pages. What has no argument here is in `spec`, which the other
        arguments go over. Without an id the daemon picks one."""
        wanted = memory_pb2.MemorySpec()
        if spec is not None:
            wanted.CopyFrom(spec)
        given = memory_pb2.MemorySpec(
            initial_pages=pages,
            maximum_pages=maximum_pages,
            shared=shared,
            labels=labels_of(labels),
            display_name=display_name or "",
            lease_ttl=duration(lease),
        )
        wanted.MergeFrom(given)
        request = pb.CreateMemoryRequest(
            memory_id=memory_id, spec=wanted, required_capabilities=required_capabilities
        )
        made = (await self.call(methods.CREATE_MEMORY, request)).memory
        return Memory(self, made.memory_id, made.uid)

    def memory(self, memory_id: str, uid: str | None = None) -> Memory:
        """A memory by its id, without a call. Without a uid it is whichever memory has the id at each
        call; `bind` makes it this one."""
        return Memory(self, memory_id, uid)

    async def memories(self, label_selector: str = "") -> AsyncIterator[memory_pb2.Memory]:
        """Describes the tenant's memories in order of their ids: those whose labels match
        `key`, `!key`, `key=value`, `key!=value`, comma-joined."""
        request = pb.ListMemoriesRequest(label_selector=label_selector)
        async for page in pages_of(self, methods.LIST_MEMORIES, request):
            for memory in page.memories:
                yield memory

    async def create_set(
        self,
        specs: Iterable[memory_pb2.MemorySpec | tuple[str, memory_pb2.MemorySpec]],
        set_id: str | None = None,
    ) -> memory_set_pb2.MemorySet:
        """Creates memories, all or none, and a set of them; each as a spec, or as its id and its spec."""
        members = []
        for one in specs:
            memory_id, spec = one if isinstance(one, tuple) else (None, one)
            members.append(memory_set_pb2.NewMember(memory_id=memory_id, spec=spec))
        request = memory_set_pb2.CreateMemorySetRequest(set_id=set_id, members=members)
        return (await self.call(methods.CREATE_MEMORY_SET, request)).memory_set

    async def get_set(self, set_id: str) -> memory_set_pb2.MemorySet:
        """Describes one set and its memories."""
        request = memory_set_pb2.GetMemorySetRequest(set_id=set_id)
        return (await self.call(methods.GET_MEMORY_SET, request)).memory_set

    async def sets(self) -> AsyncIterator[memory_set_pb2.MemorySet]:
        """Describes the tenant's sets in order of their ids, without their memories."""
        request = memory_set_pb2.ListMemorySetsRequest()
        async for page in pages_of(self, methods.LIST_MEMORY_SETS, request):
            for one in page.memory_sets:
                yield one

    async def delete_set(self, set_id: str, *, allow_missing: bool = False) -> None:
        """Removes a set and every memory of it that is still there."""
        request = memory_set_pb2.DeleteMemorySetRequest(
            set_id=set_id, allow_missing=allow_missing
        )
        await self.call(methods.DELETE_MEMORY_SET, request)

    def members(self, memory_set: memory_set_pb2.MemorySet) -> list[Memory]:
        """The memories of a set, in order, without a call."""
        return [Memory(self, one.memory_id, one.uid) for one in memory_set.members]

    async def put_segment(self, data: bytes, segment_id: str | None = None) -> segment_pb2.Segment:
        """Keeps bytes, to be put into memories by `Memory.init`."""
        request = segment_pb2.PutSegmentRequest(segment_id=segment_id, data=data)
        return (await self.call(methods.PUT_SEGMENT, request)).segment

    async def get_segment(self, segment_id: str) -> segment_pb2.Segment:
        """Describes one segment."""
        request = segment_pb2.GetSegmentRequest(segment_id=segment_id)
        return (await self.call(methods.GET_SEGMENT, request)).segment

    async def segment_data(self, segment_id: str) -> bytes:
        """The bytes of one segment."""
        request = segment_pb2.GetSegmentRequest(segment_id=segment_id, with_data=True)
        return (await self.call(methods.GET_SEGMENT, request)).data

    async def segments(self) -> AsyncIterator[segment_pb2.Segment]:
        """Describes the tenant's segments in order of their ids."""
        request = segment_pb2.ListSegmentsRequest()
        async for page in pages_of(self, methods.LIST_SEGMENTS, request):
            for one in page.segments:
                yield one

    async def drop_segment(self, segment_id: str, *, allow_missing: bool = False) -> None:
        """Ends a segment."""
        request = segment_pb2.DropSegmentRequest(
            segment_id=segment_id, allow_missing=allow_missing
        )
        await self.call(methods.DROP_SEGMENT, request)

    async def shares(self) -> AsyncIterator[share_pb2.Share]:
        """Describes the shares that the tenant gave and was given, in order of their ids."""
        async for page in pages_of(self, methods.LIST_SHARES, share_pb2.ListSharesRequest()):
            for one in page.shares:
                yield one

    async def mount(self, share_id: str, memory_id: str | None = None) -> Memory:
        """Gives a share that was given to the tenant an id among its memories. Without one the daemon
        picks it."""
        request = share_pb2.MountShareRequest(share_id=share_id, memory_id=memory_id)
        mounted = (await self.call(methods.MOUNT_SHARE, request)).memory
        return Memory(self, mounted.memory_id, mounted.uid)

    async def revoke_share(self, share_id: str, *, allow_missing: bool = False) -> None:
        """Ends a share, as the one who gave it or the one who was given it. What came by it is over
        then."""
        request = share_pb2.RevokeShareRequest(share_id=share_id, allow_missing=allow_missing)
        await self.call(methods.REVOKE_SHARE, request)

    async def create_hook(
        self,
        hook_id: str | None = None,
        *,
        label_selector: str = "",
        failure_policy: FailurePolicy = "fail_closed",
        answer_timeout: float | timedelta | None = None,
        rank: int = 0,
    ) -> Hook:
        """Makes a hook, which is asked before memories whose labels match grow, or are created with
        pages. `answer_timeout`: 10 ms to 10 s, 1 s by default."""
        request = hook_service_pb2.CreateGrowHookRequest(
            hook_id=hook_id,
            label_selector=label_selector,
            failure_policy=POLICIES[failure_policy],
            answer_timeout=duration(answer_timeout),
            rank=rank,
        )
        return Hook(self, (await self.call(methods.CREATE_GROW_HOOK, request)).hook.hook_id)

    def hook(self, hook_id: str) -> Hook:
        """A hook by its id, without a call."""
        return Hook(self, hook_id)

    async def hooks(self) -> AsyncIterator[hook_service_pb2.GrowHook]:
        """Describes the tenant's hooks in order of their ids."""
        request = hook_service_pb2.ListGrowHooksRequest()
        async for page in pages_of(self, methods.LIST_GROW_HOOKS, request):
            for one in page.hooks:
                yield one

    def on_grow(self, hook_id: str) -> Callable[[Decide], Decider]:
        """A decorator that makes a function the decider of a hook: what it says about each question is
        the answer. What it leaves is a `Decider`, to be closed."""

        def decorate(decide: Decide) -> Decider:
            return Decider(self, hook_id, decide)

        return decorate

    def events(
        self,
        label_selector: str = "",
        *,
        kinds: Iterable[EventName] = (),
        snapshot: bool = False,
        resume: Position | None = None,
        patience: float = 60,
    ) -> Events:
        """What happens to the tenant's memories from now on, or from where a watch was left
        (`resume`), first of all that there are with `snapshot`. A lost connection is got back for
        `patience` seconds."""
        return Events(self, Place(label_selector, kinds, snapshot, resume), patience)

    async def session(self, on_notice: OnNotice | None = None) -> Session:
        """Opens a session: groups of operations as a pipeline over one stream."""
        return await Session.open(self, on_notice)

    async def host(self) -> admin_service_pb2.HostInfo:
        """What the host is, what the daemon took from it, and what it could not have."""
        return (await self.call(methods.GET_HOST, admin_service_pb2.GetHostRequest())).host

    async def reload(self, validate_only: bool = False) -> admin_service_pb2.ReloadResponse:
        """Has the daemon read its config anew, whole or not at all; what differs, and the hashes.
        With `validate_only` nothing changes."""
        request = admin_service_pb2.ReloadRequest(validate_only=validate_only)
        return await self.call(methods.RELOAD, request)

    async def drain(self) -> timedelta:
        """Starts the daemon's drain, as SIGTERM does; how long it may last."""
        answer = await self.call(methods.DRAIN, admin_service_pb2.DrainRequest())
        return answer.drain_limit.ToTimedelta()

    async def tenants(self) -> AsyncIterator[admin_service_pb2.Tenant]:
        """Describes tenants, and what each has and may have, in order of their names."""
        request = admin_service_pb2.ListTenantsRequest()
        async for page in pages_of(self, methods.LIST_TENANTS, request):
            for one in page.tenants:
                yield one

    async def create_partition(
        self, spec: admin_service_pb2.PartitionSpec, partition_id: str | None = None
    ) -> admin_service_pb2.Partition:
        """Makes a pool of budget that memories can live in."""
        request = admin_service_pb2.CreatePartitionRequest(partition_id=partition_id, spec=spec)
        return (await self.call(methods.CREATE_PARTITION, request)).partition

    async def get_partition(self, partition_id: str) -> admin_service_pb2.Partition:
        """Describes one partition."""
        request = admin_service_pb2.GetPartitionRequest(partition_id=partition_id)
        return (await self.call(methods.GET_PARTITION, request)).partition

    async def partitions(self) -> AsyncIterator[admin_service_pb2.Partition]:
        """Describes partitions in order of their ids."""
        request = admin_service_pb2.ListPartitionsRequest()
        async for page in pages_of(self, methods.LIST_PARTITIONS, request):
            for one in page.partitions:
                yield one

    async def delete_partition(self, partition_id: str, *, allow_missing: bool = False) -> None:
        """Ends a partition that nothing lives in."""
        request = admin_service_pb2.DeletePartitionRequest(
            partition_id=partition_id, allow_missing=allow_missing
        )
        await self.call(methods.DELETE_PARTITION, request)
