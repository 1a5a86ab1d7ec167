"""The RPCs of linmem.v1, each with the types of its request and its answer.

Owns: the table and the service config that follows from the protos. Law: as many as the protos have,
which a test holds; what has no side effects is read from the protos, never written here. Calls nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from linmem.v1 import admin_service_pb2 as admin
from linmem.v1 import event_service_pb2 as event
from linmem.v1 import hook_service_pb2 as hook
from linmem.v1 import memory_service_pb2 as memory
from linmem.v1 import memory_set_pb2 as memory_set
from linmem.v1 import segment_pb2 as segment
from linmem.v1 import session_pb2 as session
from linmem.v1 import share_pb2 as share
from linmem.v1 import stats_pb2 as stats
from linmem.v1 import view_pb2 as view
from linmem.v1 import wait_pb2 as wait

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

FILES: tuple[FileDescriptor, ...] = (
    memory.DESCRIPTOR, hook.DESCRIPTOR, event.DESCRIPTOR, admin.DESCRIPTOR
)
"""The files that define services."""


def described() -> Iterator[MethodDescriptor]:
    """Every RPC as its proto describes it."""
    for file in FILES:
        for service in file.services_by_name.values():
            yield from service.methods


def without_side_effects(method: MethodDescriptor) -> bool:
    """Whether its proto says NO_SIDE_EFFECTS."""
    level = method.GetOptions().idempotency_level
    return bool(level == MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS)


_HARMLESS = frozenset(
    f"/{one.containing_service.full_name}/{one.name}"
    for one in described()
    if without_side_effects(one)
)


@dataclass(frozen=True)
class Method(Generic[Q, A]):
    """One RPC."""

    path: str
    """Its path on the wire."""
    request: type[Q]
    """What it is asked with."""
    answer: type[A]
    """What it answers."""

    @property
    def harmless(self) -> bool:
        """Whether it has no side effects."""
        return self.path in _HARMLESS


def _of(service: str, name: str, request: type[Q], answer: type[A]) -> Method[Q, A]:
    return Method(f"/linmem.v1.{service}/{name}", request, answer)


GET_SERVER_INFO = _of(
    "MemoryService", "GetServerInfo", memory.GetServerInfoRequest, memory.GetServerInfoResponse
)
CREATE_MEMORY = _of(
    "MemoryService", "CreateMemory", memory.CreateMemoryRequest, memory.CreateMemoryResponse
)
GET_MEMORY = _of("MemoryService", "GetMemory", memory.GetMemoryRequest, memory.GetMemoryResponse)
LIST_MEMORIES = _of(
    "MemoryService", "ListMemories", memory.ListMemoriesRequest, memory.ListMemoriesResponse
)
UPDATE_MEMORY = _of(
    "MemoryService", "UpdateMemory", memory.UpdateMemoryRequest, memory.UpdateMemoryResponse
)
DELETE_MEMORY = _of(
    "MemoryService", "DeleteMemory", memory.DeleteMemoryRequest, memory.DeleteMemoryResponse
)
KEEP_ALIVE_MEMORY = _of(
    "MemoryService",
    "KeepAliveMemory",
    memory.KeepAliveMemoryRequest,
    memory.KeepAliveMemoryResponse,
)
GROW_MEMORY = _of(
    "MemoryService", "GrowMemory", memory.GrowMemoryRequest, memory.GrowMemoryResponse
)
READ_MEMORY = _of(
    "MemoryService", "ReadMemory", memory.ReadMemoryRequest, memory.ReadMemoryResponse
)
WRITE_MEMORY = _of(
    "MemoryService", "WriteMemory", memory.WriteMemoryRequest, memory.WriteMemoryResponse
)
FILL_MEMORY = _of(
    "MemoryService", "FillMemory", memory.FillMemoryRequest, memory.FillMemoryResponse
)
COPY_MEMORY = _of(
    "MemoryService", "CopyMemory", memory.CopyMemoryRequest, memory.CopyMemoryResponse
)
EXECUTE_OPERATIONS = _of(
    "MemoryService",
    "ExecuteOperations",
    memory.ExecuteOperationsRequest,
    memory.ExecuteOperationsResponse,
)
OPEN_SESSION = _of(
    "MemoryService", "OpenSession", session.OpenSessionRequest, session.OpenSessionResponse
)
DISCARD_MEMORY = _of(
    "MemoryService", "DiscardMemory", memory.DiscardMemoryRequest, memory.DiscardMemoryResponse
)
PROTECT_MEMORY = _of(
    "MemoryService", "ProtectMemory", memory.ProtectMemoryRequest, memory.ProtectMemoryResponse
)
SET_VOLATILITY = _of(
    "MemoryService", "SetVolatility", memory.SetVolatilityRequest, memory.SetVolatilityResponse
)
VERIFY_MEMORY = _of(
    "MemoryService", "VerifyMemory", memory.VerifyMemoryRequest, memory.VerifyMemoryResponse
)
DOWNLOAD_MEMORY = _of(
    "MemoryService", "DownloadMemory", memory.DownloadMemoryRequest, memory.DownloadMemoryResponse
)
UPLOAD_MEMORY = _of(
    "MemoryService", "UploadMemory", memory.UploadMemoryRequest, memory.UploadMemoryResponse
)
WAIT_ON_ADDRESS = _of(
    "MemoryService", "WaitOnAddress", wait.WaitOnAddressRequest, wait.WaitOnAddressResponse
)
NOTIFY_ADDRESS = _of(
    "MemoryService", "NotifyAddress", wait.NotifyAddressRequest, wait.NotifyAddressResponse
)
PUT_SEGMENT = _of(
    "MemoryService", "PutSegment", segment.PutSegmentRequest, segment.PutSegmentResponse
)
GET_SEGMENT = _of(
    "MemoryService", "GetSegment", segment.GetSegmentRequest, segment.GetSegmentResponse
)
LIST_SEGMENTS = _of(
    "MemoryService", "ListSegments", segment.ListSegmentsRequest, segment.ListSegmentsResponse
)
INIT_MEMORY = _of(
    "MemoryService", "InitMemory", segment.InitMemoryRequest, segment.InitMemoryResponse
)
DROP_SEGMENT = _of(
    "MemoryService", "DropSegment", segment.DropSegmentRequest, segment.DropSegmentResponse
)
CREATE_MEMORY_SET = _of(
    "MemoryService",
    "CreateMemorySet",
    memory_set.CreateMemorySetRequest,
    memory_set.CreateMemorySetResponse,
)
GET_MEMORY_SET = _of(
    "MemoryService", "GetMemorySet", memory_set.GetMemorySetRequest, memory_set.GetMemorySetResponse
)
LIST_MEMORY_SETS = _of(
    "MemoryService",
    "ListMemorySets",
    memory_set.ListMemorySetsRequest,
    memory_set.ListMemorySetsResponse,
)
DELETE_MEMORY_SET = _of(
    "MemoryService",
    "DeleteMemorySet",
    memory_set.DeleteMemorySetRequest,
    memory_set.DeleteMemorySetResponse,
)
OPEN_VIEW = _of("MemoryService", "OpenView", view.OpenViewRequest, view.OpenViewResponse)
REFRESH_VIEW = _of(
    "MemoryService", "RefreshView", view.RefreshViewRequest, view.RefreshViewResponse
)
CLOSE_VIEW = _of("MemoryService", "CloseView", view.CloseViewRequest, view.CloseViewResponse)
RESET_MEMORY_STATS = _of(
    "MemoryService",
    "ResetMemoryStats",
    stats.ResetMemoryStatsRequest,
    stats.ResetMemoryStatsResponse,
)
SHARE_MEMORY = _of(
    "MemoryService", "ShareMemory", share.ShareMemoryRequest, share.ShareMemoryResponse
)
LIST_SHARES = _of("MemoryService", "ListShares", share.ListSharesRequest, share.ListSharesResponse)
REVOKE_SHARE = _of(
    "MemoryService", "RevokeShare", share.RevokeShareRequest, share.RevokeShareResponse
)
MOUNT_SHARE = _of("MemoryService", "MountShare", share.MountShareRequest, share.MountShareResponse)
CREATE_GROW_HOOK = _of(
    "HookService", "CreateGrowHook", hook.CreateGrowHookRequest, hook.CreateGrowHookResponse
)
GET_GROW_HOOK = _of("HookService", "GetGrowHook", hook.GetGrowHookRequest, hook.GetGrowHookResponse)
LIST_GROW_HOOKS = _of(
    "HookService", "ListGrowHooks", hook.ListGrowHooksRequest, hook.ListGrowHooksResponse
)
DELETE_GROW_HOOK = _of(
    "HookService", "DeleteGrowHook", hook.DeleteGrowHookRequest, hook.DeleteGrowHookResponse
)
ANSWER_GROW_HOOK = _of(
    "HookService", "AnswerGrowHook", hook.AnswerGrowHookRequest, hook.AnswerGrowHookResponse
)
WATCH_EVENTS = _of(
    "EventService", "WatchEvents", event.WatchEventsRequest, event.WatchEventsResponse
)
GET_HOST = _of("AdminService", "GetHost", admin.GetHostRequest, admin.GetHostResponse)
RELOAD = _of("AdminService", "Reload", admin.ReloadRequest, admin.ReloadResponse)
DRAIN = _of("AdminService", "Drain", admin.DrainRequest, admin.DrainResponse)
LIST_TENANTS = _of(
    "AdminService", "ListTenants", admin.ListTenantsRequest, admin.ListTenantsResponse
)
CREATE_PARTITION = _of(
    "AdminService", "CreatePartition", admin.CreatePartitionRequest, admin.CreatePartitionResponse
)
GET_PARTITION = _of(
    "AdminService", "GetPartition", admin.GetPartitionRequest, admin.GetPartitionResponse
)
LIST_PARTITIONS = _of(
    "AdminService", "ListPartitions", admin.ListPartitionsRequest, admin.ListPartitionsResponse
)
DELETE_PARTITION = _of(
    "AdminService", "DeletePartition", admin.DeletePartitionRequest, admin.DeletePartitionResponse
)

METHODS: dict[str, Method[Message, Message]] = {
    one.path: one for one in list(globals().values()) if isinstance(one, Method)
}
"""Every RPC by its path."""


def service_config() -> str:
    """The gRPC service config, as JSON, that makes a channel of stock grpcio retry what is safe to
    retry: UNAVAILABLE up to four times on RPCs without side effects, and on no other."""
    names = [
        {"service": one.containing_service.full_name, "method": one.name}
        for one in described()
        if without_side_effects(one)
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


SERVICE_CONFIG = service_config()
"""The service config, for `grpc.insecure_channel(target, [("grpc.service_config", SERVICE_CONFIG)])`."""
