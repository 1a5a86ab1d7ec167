"""Claims of an unconfigured Python client about what is beside memories' bytes.

Owns: one function a claim, in `CLAIMS`: segments, sets, views, waits, events, sessions, tenants, operators,
health, reflection. Law: `stock`'s. `client.py` runs them.
"""

import threading
import time
import uuid

import grpc
from google.protobuf import duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from linmem.v1 import admin_service_pb2 as admin_pb
from linmem.v1 import event_service_pb2 as event_pb
from linmem.v1 import (
    memory_pb2,
    memory_set_pb2,
    operation_pb2,
    segment_pb2,
    session_pb2,
    stats_pb2,
    view_pb2,
    wait_pb2,
)
from linmem.v1 import memory_service_pb2 as pb

from stock import refused


def a_segment_is_put_shown_initialised_from_and_dropped(client):
    data = bytes(range(200))
    request_id = str(uuid.uuid4())
    request = segment_pb2.PutSegmentRequest(segment_id="seg", data=data, request_id=request_id)
    put = client.memories.PutSegment(request).segment
    assert (put.segment_id, put.size_bytes) == ("seg", 200), put
    assert client.memories.PutSegment(request).segment == put
    taken = segment_pb2.PutSegmentRequest(segment_id="seg", data=data)
    refused(
        lambda: client.memories.PutSegment(taken),
        grpc.StatusCode.ALREADY_EXISTS, "SEGMENT_EXISTS", "NEVER",
    )
    wanted = segment_pb2.GetSegmentRequest(segment_id="seg", with_data=True)
    assert client.memories.GetSegment(wanted).data == data
    (listed,) = client.memories.ListSegments(segment_pb2.ListSegmentsRequest()).segments
    assert listed == put
    active = memory_pb2.ActiveSegment(offset=3, data=b"active")
    memory = client.create("init", initial_pages=1, segments=[active])
    assert (memory.spec.segments[0].offset, memory.spec.segments[0].length) == (3, 6)
    init = segment_pb2.InitMemoryRequest(
        memory_id="init", segment_id="seg", destination_offset=9, source_offset=100, length=5
    )
    client.memories.InitMemory(init)
    assert client.read("init", 3, 11) == b"active" + data[100:105]
    init.source_offset = 196
    refused(
        lambda: client.memories.InitMemory(init),
        grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_BOUNDS", "AFTER_CHANGE",
        segment_id="seg", source_offset=196, size_bytes=200,
    )
    client.memories.DropSegment(segment_pb2.DropSegmentRequest(segment_id="seg"))
    refused(
        lambda: client.memories.GetSegment(wanted),
        grpc.StatusCode.NOT_FOUND, "SEGMENT_NOT_FOUND", "NEVER",
    )
    client.delete("init")


def a_set_of_memories_comes_and_goes_as_one(client):
    def new(*members):
        specs = [
            memory_set_pb2.NewMember(
                memory_id=memory_id, spec=memory_pb2.MemorySpec(initial_pages=pages)
            )
            for memory_id, pages in members
        ]
        request = memory_set_pb2.CreateMemorySetRequest(set_id="set", members=specs)
        return client.memories.CreateMemorySet(request).memory_set

    refused(
        lambda: new(("set-a", 1), ("set-b", 65537)),
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SPEC", "NEVER",
    )
    refused(lambda: client.get("set-a"), grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND", "NEVER")
    made = new(("set-a", 1), ("set-b", 2))
    assert [member.memory.size_pages for member in made.members] == [1, 2]
    client.delete("set-a")
    wanted = memory_set_pb2.GetMemorySetRequest(set_id="set")
    seen = client.memories.GetMemorySet(wanted).memory_set
    assert [member.exists for member in seen.members] == [False, True]
    listed = client.memories.ListMemorySets(memory_set_pb2.ListMemorySetsRequest())
    assert [one.set_id for one in listed.memory_sets] == ["set"]
    client.memories.DeleteMemorySet(memory_set_pb2.DeleteMemorySetRequest(set_id="set"))
    refused(lambda: client.get("set-b"), grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND", "NEVER")
    refused(
        lambda: client.memories.GetMemorySet(wanted),
        grpc.StatusCode.NOT_FOUND, "SET_NOT_FOUND", "NEVER",
    )


def a_view_tells_what_changed_until_it_is_closed(client):
    memory = client.create("view", initial_pages=1)
    request = view_pb2.OpenViewRequest(memory_id="view", offset=8, length=4)
    opened = client.memories.OpenView(request)
    assert (opened.data, opened.changed, opened.view.uid) == (bytes(4), False, memory.uid)
    refresh = view_pb2.RefreshViewRequest(view_id=opened.view.view_id, only_if_changed=True)
    seen = client.memories.RefreshView(refresh)
    assert (seen.data, seen.changed, seen.crc32c) == (b"", False, opened.crc32c)
    client.write("view", 11, b"!")
    seen = client.memories.RefreshView(refresh)
    assert (seen.data, seen.changed) == (b"\0\0\0!", True)
    # As if that answer had been lost.
    refresh.version = opened.version
    assert client.memories.RefreshView(refresh).changed
    client.memories.CloseView(view_pb2.CloseViewRequest(view_id=opened.view.view_id))
    refused(
        lambda: client.memories.RefreshView(refresh),
        grpc.StatusCode.NOT_FOUND, "VIEW_NOT_FOUND", "NEVER",
    )
    client.delete("view")


def statistics_begin_anew(client):
    client.create("stats", initial_pages=1)
    client.write("stats", 5, b"abc")
    stats = client.get("stats").stats
    assert (stats.last_access_offset, stats.last_access_length) == (5, 3), stats
    assert (stats.write_count, stats.distinct_regions) == (1, 1), stats
    reset = client.memories.ResetMemoryStats(stats_pb2.ResetMemoryStatsRequest(memory_id="stats"))
    stats = reset.memory.stats
    assert stats.write_count == 0 and not stats.HasField("last_access_offset"), stats
    client.delete("stats")


def a_deadline_ends_a_stream_that_is_not_fed(client):
    client.create("slow", initial_pages=1)
    held = threading.Event()

    def messages():
        yield pb.UploadMemoryRequest(memory_id="slow", data=b"first")
        held.wait(10)

    begin = time.monotonic()
    try:
        client.memories.UploadMemory(messages(), timeout=0.5)
        raise AssertionError("no deadline")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    finally:
        held.set()
    assert time.monotonic() - begin < 5
    assert client.read("slow", 0, 5, timeout=5) == b"first"
    client.delete("slow")


def a_wait_is_woken_by_a_notify_and_refused_where_nobody_may_wait(client):
    client.create("wait", initial_pages=1, maximum_pages=1, shared=True)

    def wait(memory_id="wait", **more):
        request = wait_pb2.WaitOnAddressRequest(memory_id=memory_id, width=4, **more)
        return client.memories.WaitOnAddress.future(request)

    def notify(**more):
        request = wait_pb2.NotifyAddressRequest(memory_id="wait", **more)
        return client.memories.NotifyAddress(request).woken_count

    assert wait(expected=1).result().outcome == wait_pb2.WAIT_OUTCOME_NOT_EQUAL
    short = duration_pb2.Duration(nanos=1_000_000)
    assert wait(timeout=short).result().outcome == wait_pb2.WAIT_OUTCOME_TIMED_OUT
    parked = wait(address=8)
    deadline = time.monotonic() + 10
    while notify(address=8, count=1) == 0:
        assert time.monotonic() < deadline, "nobody ever waited"
    assert parked.result(timeout=10).outcome == wait_pb2.WAIT_OUTCOME_OK
    assert notify(address=8) == 0
    status = grpc.StatusCode
    unaligned = lambda: wait(address=2).result()
    refused(unaligned, status.INVALID_ARGUMENT, "UNALIGNED", "NEVER", offset=2, width=4)
    client.create("alone", initial_pages=1)
    alone = lambda: wait("alone").result()
    refused(alone, status.FAILED_PRECONDITION, "EXPECTED_SHARED", "AFTER_CHANGE")
    client.delete("alone")
    ended = wait(address=16)
    client.delete("wait")
    refused(ended.result, status.NOT_FOUND, "MEMORY_NOT_FOUND", "NEVER")


def what_happens_is_told_as_it_happens_and_from_where_it_was_left(client):
    # Only its own: a memory of an earlier claim may still be there, and its end may come at any time.
    own = {"label_selector": "claim=events"}
    client.create("there", initial_pages=1, labels={"claim": "events"})
    request = event_pb.WatchEventsRequest(snapshot=True, **own)
    call = client.events.WatchEvents(request, timeout=30)
    started = next(call).started
    assert next(call).event.memory_id == "there"
    assert next(call).WhichOneof("message") == "snapshot_end"
    client.grow("there", 1)
    client.delete("there")
    grown, deleted = next(call).event, next(call).event
    assert grown.kind == event_pb.EVENT_KIND_GROWN and grown.grown.current_pages == 2, grown
    assert deleted.kind == event_pb.EVENT_KIND_DELETED, deleted
    assert deleted.sequence > grown.sequence
    call.cancel()
    resume = event_pb.EventPosition(boot_id=started.boot_id, sequence=deleted.sequence)
    call = client.events.WatchEvents(event_pb.WatchEventsRequest(resume=resume), timeout=30)
    assert next(call).started.next_sequence == deleted.sequence
    assert next(call).event == deleted
    call.cancel()
    resume = event_pb.EventPosition(boot_id=str(uuid.uuid4()), sequence=1)
    refused(
        lambda: next(client.events.WatchEvents(event_pb.WatchEventsRequest(resume=resume))),
        grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_COMPACTED", "AFTER_CHANGE",
        boot_id=started.boot_id,
    )


def another_tenant_is_not_named_by_a_stranger(client):
    def named():
        request = pb.GetServerInfoRequest()
        client.memories.GetServerInfo(request, metadata=[("linmem-tenant", "nobody")])

    refused(named, grpc.StatusCode.PERMISSION_DENIED, "TENANT_MISMATCH", "NEVER")


def the_host_is_told_and_a_drain_needs_the_socket(client):
    host = client.admin.GetHost(admin_pb.GetHostRequest()).host
    assert host.host_page_bytes >= 4096 and not host.draining
    assert {one.protocol for one in host.listeners} >= {"grpc", "http"}
    refused(
        lambda: client.admin.Drain(admin_pb.DrainRequest()),
        grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING", "NEVER",
    )


def a_group_a_copy_and_a_session_do_what_they_say(client):
    client.create("group", initial_pages=1)
    packed = operation_pb2.PackedOperations(
        opcodes=[operation_pb2.OPCODE_I32_STORE, operation_pb2.OPCODE_I32_ATOMIC_RMW_ADD],
        addresses=[8, 8], data=(41).to_bytes(4, "little") + (1).to_bytes(4, "little"))
    request = pb.ExecuteOperationsRequest(memory_id="group", packed=packed)
    assert client.memories.ExecuteOperations(request).packed.data == (41).to_bytes(4, "little")
    client.memories.CopyMemory(pb.CopyMemoryRequest(
        source_memory_id="group", source_offset=8,
        destination_memory_id="group", destination_offset=16, length=4))

    def say():
        asked = session_pb2.OpenSessionRequest
        yield asked(start=session_pb2.SessionStart())
        yield asked(attach=session_pb2.SessionAttach(tag=1, handle=1, memory_id="group"))
        read = operation_pb2.Operation(read=operation_pb2.ReadOperation(offset=16, length=4))
        yield asked(group=session_pb2.SessionGroup(tag=2, handle=1, single=read))

    answers = list(client.memories.OpenSession(say(), timeout=30))
    assert [answer.WhichOneof("message") for answer in answers] == ["started", "result", "result"]
    assert answers[2].result.single.data == (42).to_bytes(4, "little"), answers
    client.delete("group")


def an_rpc_that_is_not_built_is_unimplemented(client):
    call = client.channel.unary_unary("/linmem.v1.MemoryService/MoveMemory")
    try:
        call(b"")
        raise AssertionError("it is built?")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def health_says_serving(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "linmem.v1.MemoryService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, (service, answer)


def reflection_lists_the_services(client):
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    names = {one.name for one in answer.list_services_response.service}
    wanted = {"linmem.v1.MemoryService", "linmem.v1.AdminService", "linmem.v1.EventService"}
    assert wanted <= names, names
    wanted = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="linmem.v1.MemoryService"
    )
    (answer,) = stub.ServerReflectionInfo(iter([wanted]))
    assert answer.file_descriptor_response.file_descriptor_proto


CLAIMS = [
    a_segment_is_put_shown_initialised_from_and_dropped,
    a_set_of_memories_comes_and_goes_as_one,
    a_view_tells_what_changed_until_it_is_closed,
    statistics_begin_anew,
    a_deadline_ends_a_stream_that_is_not_fed,
    a_wait_is_woken_by_a_notify_and_refused_where_nobody_may_wait,
    what_happens_is_told_as_it_happens_and_from_where_it_was_left,
    another_tenant_is_not_named_by_a_stranger,
    the_host_is_told_and_a_drain_needs_the_socket,
    a_group_a_copy_and_a_session_do_what_they_say,
    an_rpc_that_is_not_built_is_unimplemented,
    health_says_serving,
    reflection_lists_the_services,
]
