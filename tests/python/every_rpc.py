"""A stock Python client makes every RPC of linmem.v1 once, and checks each answer.

Owns: one pass over all services on a daemon of its own, whose Unix socket is given: partitions and the
drain need it. Law: stock grpcio, no channel options but for the socket's name, stubs compiled from `proto/`; what was called is
compared with what the protos describe. The last call ends the daemon. Checks no failures: `client.py` does.
"""

import queue
import sys

import grpc
from google.protobuf import descriptor_pool, duration_pb2, field_mask_pb2
from linmem.v1 import admin_service_pb2 as admin_pb
from linmem.v1 import admin_service_pb2_grpc as admin_rpc
from linmem.v1 import event_service_pb2 as event_pb
from linmem.v1 import event_service_pb2_grpc as event_rpc
from linmem.v1 import hook_service_pb2 as hook_pb
from linmem.v1 import hook_service_pb2_grpc as hook_rpc
from linmem.v1 import (
    memory_pb2,
    memory_set_pb2,
    operation_pb2,
    segment_pb2,
    session_pb2,
    share_pb2,
    stats_pb2,
    view_pb2,
    wait_pb2,
)
from linmem.v1 import memory_service_pb2 as pb
from linmem.v1 import memory_service_pb2_grpc as rpc

PAGE = 65536
FILES = [pb, hook_pb, event_pb, admin_pb]
called = set()


class Noted:
    """A stub that notes which of its RPCs are called."""

    def __init__(self, service, stub):
        self.service, self.stub = service, stub

    def __getattr__(self, name):
        called.add(f"{self.service}/{name}")
        return getattr(self.stub, name)


def described():
    """Every RPC of the package, from the descriptors."""
    services = [one for file in FILES for one in file.DESCRIPTOR.services_by_name.values()]
    assert {one.file.package for one in services} == {"linmem.v1"}
    return {f"{one.name}/{method.name}" for one in services for method in one.methods}


def memories_and_bytes(memories):
    info = memories.GetServerInfo(pb.GetServerInfoRequest()).server_info
    assert info.tenant == "default" and info.limits.page_bytes == PAGE
    spec = memory_pb2.MemorySpec(
        initial_pages=1, maximum_pages=4, shared=True, labels={"all": ""},
        lease_ttl=duration_pb2.Duration(seconds=600),
    )
    made = memories.CreateMemory(pb.CreateMemoryRequest(memory_id="m", spec=spec)).memory
    got = memories.GetMemory(pb.GetMemoryRequest(memory_id="m")).memory
    assert got.uid == made.uid and got.size_bytes == PAGE
    (listed,) = memories.ListMemories(pb.ListMemoriesRequest(label_selector="all")).memories
    assert listed.uid == made.uid
    update = pb.UpdateMemoryRequest(
        memory_id="m", display_name="named", update_mask=field_mask_pb2.FieldMask(paths=["display_name"])
    )
    assert memories.UpdateMemory(update).memory.spec.display_name == "named"
    kept = memories.KeepAliveMemory(pb.KeepAliveMemoryRequest(memory_id="m"))
    assert kept.expire_time.ToNanoseconds() >= made.expire_time.ToNanoseconds()
    grown = memories.GrowMemory(pb.GrowMemoryRequest(memory_id="m", delta_pages=1))
    assert (grown.previous_pages, grown.current_pages) == (1, 2)
    memories.WriteMemory(pb.WriteMemoryRequest(memory_id="m", offset=4, data=b"hello"))
    read = lambda offset, length: memories.ReadMemory(
        pb.ReadMemoryRequest(memory_id="m", offset=offset, length=length)).data
    assert read(3, 7) == b"\0hello\0"
    memories.FillMemory(pb.FillMemoryRequest(memory_id="m", offset=16, length=4, value=7))
    memories.CopyMemory(pb.CopyMemoryRequest(
        source_memory_id="m", source_offset=4, destination_memory_id="m", destination_offset=20, length=5))
    assert read(16, 9) == b"\x07\x07\x07\x07hello"
    packed = operation_pb2.PackedOperations(
        opcodes=[operation_pb2.OPCODE_READ], addresses=[20, 4], lengths=[2])
    group = pb.ExecuteOperationsRequest(memory_id="m", packed=packed)
    assert memories.ExecuteOperations(group).packed.data == b"hehe"
    chunks = [pb.UploadMemoryRequest(memory_id="m", offset=PAGE, data=b"up"), pb.UploadMemoryRequest(data=b"load")]
    assert memories.UploadMemory(iter(chunks)).bytes_written == 6
    download = pb.DownloadMemoryRequest(memory_id="m", offset=PAGE, length=6)
    assert b"".join(one.data for one in memories.DownloadMemory(download)) == b"upload"
    protect = pb.ProtectMemoryRequest(memory_id="m", offset=0, length=8, protection=pb.PROTECTION_READ)
    memories.ProtectMemory(protect)
    assert read(4, 4) == b"hell"
    volatility = pb.SetVolatilityRequest(
        memory_id="m", offset=PAGE, length=PAGE, volatility=pb.VOLATILITY_NONVOLATILE)
    assert not memories.SetVolatility(volatility).was_purged
    report = memories.VerifyMemory(pb.VerifyMemoryRequest(memory_id="m")).report
    assert "lengths" in {check.check for check in report.checks}
    memories.DiscardMemory(pb.DiscardMemoryRequest(memory_id="m", offset=PAGE, length=PAGE))
    assert read(PAGE, 6) == bytes(6)
    reset = memories.ResetMemoryStats(stats_pb2.ResetMemoryStatsRequest(memory_id="m"))
    assert reset.memory.stats.read_count == 0


def waits_and_sessions(memories):
    wait = wait_pb2.WaitOnAddressRequest(memory_id="m", address=64, width=4, expected=1)
    assert memories.WaitOnAddress(wait).outcome == wait_pb2.WAIT_OUTCOME_NOT_EQUAL
    notify = wait_pb2.NotifyAddressRequest(memory_id="m", address=64)
    assert memories.NotifyAddress(notify).woken_count == 0
    asked = session_pb2.OpenSessionRequest
    read = operation_pb2.Operation(read=operation_pb2.ReadOperation(offset=4, length=5))
    said = [
        asked(start=session_pb2.SessionStart()),
        asked(attach=session_pb2.SessionAttach(tag=1, handle=1, memory_id="m")),
        asked(group=session_pb2.SessionGroup(tag=2, handle=1, single=read)),
    ]
    answers = list(memories.OpenSession(iter(said), timeout=30))
    assert answers[-1].result.single.data == b"hello", answers


def segments_sets_and_views(memories):
    put = memories.PutSegment(segment_pb2.PutSegmentRequest(segment_id="s", data=b"segment")).segment
    got = memories.GetSegment(segment_pb2.GetSegmentRequest(segment_id="s", with_data=True))
    assert got.segment == put and got.data == b"segment"
    assert list(memories.ListSegments(segment_pb2.ListSegmentsRequest()).segments) == [put]
    memories.InitMemory(segment_pb2.InitMemoryRequest(
        memory_id="m", segment_id="s", destination_offset=128, source_offset=3, length=4))
    assert memories.ReadMemory(pb.ReadMemoryRequest(memory_id="m", offset=128, length=4)).data == b"ment"
    memories.DropSegment(segment_pb2.DropSegmentRequest(segment_id="s"))
    member = memory_set_pb2.NewMember(memory_id="in-set", spec=memory_pb2.MemorySpec(initial_pages=1))
    made = memories.CreateMemorySet(memory_set_pb2.CreateMemorySetRequest(set_id="set", members=[member]))
    got = memories.GetMemorySet(memory_set_pb2.GetMemorySetRequest(set_id="set"))
    assert got.memory_set == made.memory_set
    (listed,) = memories.ListMemorySets(memory_set_pb2.ListMemorySetsRequest()).memory_sets
    assert listed.set_id == "set"
    memories.DeleteMemorySet(memory_set_pb2.DeleteMemorySetRequest(set_id="set"))
    opened = memories.OpenView(view_pb2.OpenViewRequest(memory_id="m", offset=128, length=4))
    assert opened.data == b"ment"
    seen = memories.RefreshView(view_pb2.RefreshViewRequest(view_id=opened.view.view_id))
    assert seen.data == b"ment" and not seen.changed
    memories.CloseView(view_pb2.CloseViewRequest(view_id=opened.view.view_id))


def shares(memories):
    given = memories.ShareMemory(share_pb2.ShareMemoryRequest(
        memory_id="m", grantee_tenant="another", access=share_pb2.SHARE_ACCESS_READ)).share
    assert list(memories.ListShares(share_pb2.ListSharesRequest()).shares) == [given]
    try:
        memories.MountShare(share_pb2.MountShareRequest(share_id=given.share_id, memory_id="theirs"))
    except grpc.RpcError as refused:
        # It is for another tenant.
        assert refused.code() == grpc.StatusCode.NOT_FOUND, refused
    else:
        raise AssertionError("mounted by its owner")
    memories.RevokeShare(share_pb2.RevokeShareRequest(share_id=given.share_id))
    assert not memories.ListShares(share_pb2.ListSharesRequest()).shares


def hooks(memories, stub):
    made = stub.CreateGrowHook(hook_pb.CreateGrowHookRequest(hook_id="h")).hook
    assert stub.GetGrowHook(hook_pb.GetGrowHookRequest(hook_id="h")).hook == made
    assert list(stub.ListGrowHooks(hook_pb.ListGrowHooksRequest()).hooks) == [made]
    answers = queue.Queue()
    answers.put(hook_pb.AnswerGrowHookRequest(hook_id="h"))
    stream = stub.AnswerGrowHook(iter(answers.get, None), timeout=30)
    assert next(stream).started.hook_id == "h"
    growing = memories.stub.GrowMemory.future(pb.GrowMemoryRequest(memory_id="m", delta_pages=1))
    question = next(stream).question
    assert (question.memory_id, question.requested_pages) == ("m", 3)
    allow = hook_pb.GrowAnswer(question_id=question.question_id, verdict=hook_pb.GROW_VERDICT_ALLOW)
    answers.put(hook_pb.AnswerGrowHookRequest(answer=allow))
    assert next(stream).told.grown and growing.result().current_pages == 3
    answers.put(None)
    assert list(stream) == []
    stub.DeleteGrowHook(hook_pb.DeleteGrowHookRequest(hook_id="h"))


def events(memories, stub):
    watch = stub.WatchEvents(event_pb.WatchEventsRequest(snapshot=True), timeout=30)
    assert next(watch).started.boot_id
    assert next(watch).event.memory_id == "m"
    assert next(watch).WhichOneof("message") == "snapshot_end"
    memories.DeleteMemory(pb.DeleteMemoryRequest(memory_id="m"))
    assert next(watch).event.kind == event_pb.EVENT_KIND_DELETED
    watch.cancel()


def operators(stub):
    assert stub.GetHost(admin_pb.GetHostRequest()).host.host_page_bytes >= 4096
    tenants = stub.ListTenants(admin_pb.ListTenantsRequest()).tenants
    assert [(one.tenant, one.state) for one in tenants] == [("default", admin_pb.TENANT_STATE_ACTIVE)]
    spec = admin_pb.PartitionSpec(maximum_bytes=1 << 20)
    made = stub.CreatePartition(admin_pb.CreatePartitionRequest(partition_id="p", spec=spec)).partition
    assert stub.GetPartition(admin_pb.GetPartitionRequest(partition_id="p")).partition == made
    assert list(stub.ListPartitions(admin_pb.ListPartitionsRequest()).partitions) == [made]
    stub.DeletePartition(admin_pb.DeletePartitionRequest(partition_id="p"))
    assert stub.Reload(admin_pb.ReloadRequest(validate_only=True)).config_hash
    assert stub.Drain(admin_pb.DrainRequest()).drain_limit.seconds > 0


def main():
    # grpcio names a socket's path as the authority, which the daemon's HTTP/2 refuses, so that the one
    # channel that goes over the socket has to be told a name.
    local = [("grpc.default_authority", "localhost")]
    tcp, socket, *files = sys.argv[1:]
    with grpc.insecure_channel(tcp) as channel, grpc.insecure_channel(f"unix:{socket}", local) as operator:
        memories = Noted("MemoryService", rpc.MemoryServiceStub(channel))
        memories_and_bytes(memories)
        waits_and_sessions(memories)
        segments_sets_and_views(memories)
        shares(memories)
        hooks(memories, Noted("HookService", hook_rpc.HookServiceStub(channel)))
        events(memories, Noted("EventService", event_rpc.EventServiceStub(channel)))
        operators(Noted("AdminService", admin_rpc.AdminServiceStub(operator)))
    missing = described() - called
    assert not missing, f"never called: {sorted(missing)}"
    assert called <= described()
    # A service in a file that is not in FILES would not be missed above.
    pool = descriptor_pool.Default()
    for name in files:
        services = pool.FindFileByName(name).services_by_name
        assert not services or name in {file.DESCRIPTOR.name for file in FILES}, name
    print(f"{len(called)} RPCs called, every one that is described")


if __name__ == "__main__":
    main()
