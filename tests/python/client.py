"""An unconfigured Python client drives every RPC of linmem.v1 against a real daemon.

Owns: the checks in `main`, one function a claim. Law: stock grpcio, no channel options, stubs
compiled from `proto/`; each failure is checked by code, ErrorInfo reason and retry word. Does not
build anything: `run` does, and passes the stubs' folder on the path.
"""

import sys
import threading
import time
import traceback
import uuid

import grpc
from google.protobuf import duration_pb2, field_mask_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from linmem.v1 import admin_service_pb2 as admin_pb
from linmem.v1 import admin_service_pb2_grpc as admin_rpc
from linmem.v1 import event_service_pb2 as event_pb
from linmem.v1 import event_service_pb2_grpc as event_rpc
from linmem.v1 import memory_pb2
from linmem.v1 import memory_service_pb2 as pb
from linmem.v1 import memory_service_pb2_grpc as rpc
from linmem.v1 import operation_pb2
from linmem.v1 import session_pb2
from linmem.v1 import wait_pb2
from linmem.v1 import memory_set_pb2
from linmem.v1 import segment_pb2
from linmem.v1 import stats_pb2
from linmem.v1 import view_pb2

PAGE = 65536


def error_info(error):
    """The ErrorInfo of a failure and its other details by type."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    found = {}
    for detail in status.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
        ):
            if detail.Is(kind.DESCRIPTOR):
                message = kind()
                detail.Unpack(message)
                found[kind.DESCRIPTOR.name] = message
    return found


def refused(call, code, reason, retry, **numbers):
    """Checks that `call` fails as named; its ErrorInfo."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        details = error_info(error)
        info = details["ErrorInfo"]
        assert info.domain == "linmemd", info
        assert info.reason == reason, info
        assert info.metadata["retry"] == retry, info
        assert info.metadata["call_id"], info
        for name, value in numbers.items():
            assert info.metadata[name] == str(value), (name, info)
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            assert details["BadRequest"].field_violations, details
        return info
    raise AssertionError(f"no failure; expected {reason}")


class Client:
    """The stubs over one channel, and short forms of the calls."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.memories = rpc.MemoryServiceStub(self.channel)
        self.admin = admin_rpc.AdminServiceStub(self.channel)
        self.events = event_rpc.EventServiceStub(self.channel)

    def create(self, memory_id=None, request_id=None, **spec):
        request = pb.CreateMemoryRequest(spec=memory_pb2.MemorySpec(**spec))
        if memory_id is not None:
            request.memory_id = memory_id
        if request_id is not None:
            request.request_id = request_id
        return self.memories.CreateMemory(request).memory

    def get(self, memory_id, **more):
        return self.memories.GetMemory(pb.GetMemoryRequest(memory_id=memory_id, **more)).memory

    def read(self, memory_id, offset, length, **more):
        request = pb.ReadMemoryRequest(memory_id=memory_id, offset=offset, length=length)
        return self.memories.ReadMemory(request, **more).data

    def write(self, memory_id, offset, data):
        self.memories.WriteMemory(pb.WriteMemoryRequest(memory_id=memory_id, offset=offset, data=data))

    def grow(self, memory_id, delta_pages, **more):
        request = pb.GrowMemoryRequest(memory_id=memory_id, delta_pages=delta_pages, **more)
        return self.memories.GrowMemory(request)

    def delete(self, memory_id, **more):
        self.memories.DeleteMemory(pb.DeleteMemoryRequest(memory_id=memory_id, **more))


def the_server_says_what_it_is_and_allows(client):
    info = client.memories.GetServerInfo(pb.GetServerInfoRequest()).server_info
    uuid.UUID(info.boot_id)
    assert info.tenant == "default"
    assert info.limits.max_read_bytes == 63 * PAGE
    assert info.limits.max_write_bytes == 63 * PAGE
    assert info.limits.page_bytes == PAGE
    names = {one.name: one.state for one in info.capabilities}
    assert names["index_type_i64"] == pb.CAPABILITY_STATE_AVAILABLE, names
    assert "committed_bytes" in {one.resource for one in info.quotas}


def a_memory_lives_from_create_to_delete(client):
    memory = client.create("life", initial_pages=1, labels={"k": "v"}, display_name="a life")
    assert (memory.memory_id, memory.size_bytes, memory.peak_bytes) == ("life", PAGE, PAGE)
    assert memory.state == memory_pb2.MEMORY_STATE_READY
    assert memory.spec.allocator == memory_pb2.ALLOCATOR_MMAP
    assert memory.spec.maximum_pages == 4096
    client.write("life", PAGE - 5, b"hello")
    assert client.read("life", PAGE - 6, 6) == b"\0hello"
    grown = client.grow("life", 2, expected_pages=1)
    assert (grown.previous_pages, grown.current_pages) == (1, 3)
    assert client.read("life", PAGE, PAGE) == bytes(PAGE)
    client.memories.FillMemory(
        pb.FillMemoryRequest(memory_id="life", offset=PAGE, length=2 * PAGE, value=0xA5)
    )
    assert client.read("life", 2 * PAGE, 4) == b"\xa5" * 4
    stats = client.get("life").stats
    assert (stats.read_count, stats.write_count, stats.access_count) == (3, 2, 5), stats
    full = client.get("life", view=memory_pb2.MEMORY_VIEW_FULL)
    assert full.resident_bytes >= 2 * PAGE and full.HasField("placement")
    uid = memory.uid
    client.delete("life", uid=uid)
    refused(lambda: client.get("life"), grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND", "NEVER")
    client.delete("life", allow_missing=True)


def a_list_is_paged_and_selected(client):
    for number in range(7):
        client.create(f"list-{number}", labels={"list": "odd" if number % 2 else "even"})
    seen, token = [], ""
    while True:
        request = pb.ListMemoriesRequest(label_selector="list", page_size=3, page_token=token)
        page = client.memories.ListMemories(request)
        assert len(page.memories) <= 3
        seen += [memory.memory_id for memory in page.memories]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"list-{number}" for number in range(7)], seen
    odd = client.memories.ListMemories(pb.ListMemoriesRequest(label_selector="list=odd")).memories
    assert len(odd) == 3
    refused(
        lambda: client.memories.ListMemories(pb.ListMemoriesRequest(page_token="x")),
        grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "NEVER",
    )
    for memory_id in seen:
        client.delete(memory_id)


def an_update_moves_the_etag_and_only_what_the_mask_names(client):
    memory = client.create("update", labels={"a": "1"}, display_name="before")
    request = pb.UpdateMemoryRequest(
        memory_id="update", etag=memory.etag, display_name="after",
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
    )
    updated = client.memories.UpdateMemory(request).memory
    assert updated.spec.display_name == "after" and dict(updated.spec.labels) == {"a": "1"}
    assert updated.etag != memory.etag
    refused(
        lambda: client.memories.UpdateMemory(request),
        grpc.StatusCode.ABORTED, "ETAG_MISMATCH", "AT_HIGHER_LEVEL",
    )
    client.delete("update")


def a_lease_is_kept_alive_and_runs_out(client):
    memory = client.create("lease", lease_ttl=duration_pb2.Duration(seconds=2))
    kept = client.memories.KeepAliveMemory(pb.KeepAliveMemoryRequest(memory_id="lease"))
    assert kept.expire_time.ToNanoseconds() >= memory.expire_time.ToNanoseconds()
    deadline = time.monotonic() + 10
    while True:
        try:
            client.get("lease")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            break
        assert time.monotonic() < deadline, "the lease never ran out"
        time.sleep(0.05)
    client.create("no-lease")
    refused(
        lambda: client.memories.KeepAliveMemory(pb.KeepAliveMemoryRequest(memory_id="no-lease")),
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "NEVER",
    )
    client.delete("no-lease")


def what_is_out_of_bounds_changes_nothing(client):
    client.create("bounds", initial_pages=1)
    code, reason, retry = grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_BOUNDS", "AFTER_CHANGE"
    for offset in (PAGE, PAGE - 2, 2**64 - 1, 2**64 - 4):
        refused(lambda: client.read("bounds", offset, 4), code, reason, retry, size_bytes=PAGE)
        refused(lambda: client.write("bounds", offset, b"abcd"), code, reason, retry)
        fill = pb.FillMemoryRequest(memory_id="bounds", offset=offset, length=4, value=1)
        refused(lambda: client.memories.FillMemory(fill), code, reason, retry)
    assert client.read("bounds", 0, PAGE) == bytes(PAGE)
    assert client.read("bounds", PAGE, 0) == b""
    assert client.get("bounds").stats.trap_count == 12
    client.delete("bounds")


def what_cannot_be_is_refused_by_name(client):
    client.create("taken", initial_pages=1, maximum_pages=2)
    status = grpc.StatusCode
    never, change = "NEVER", "AFTER_CHANGE"
    invalid = status.INVALID_ARGUMENT
    precondition = status.FAILED_PRECONDITION
    refused(lambda: client.create("taken"), status.ALREADY_EXISTS, "MEMORY_EXISTS", never)
    refused(lambda: client.create("no id"), invalid, "INVALID_FIELD", never)
    refused(lambda: client.create(allocator=99), invalid, "INVALID_FIELD", never)
    refused(lambda: client.create(initial_pages=65537), invalid, "INVALID_SPEC", never)
    # The daemon has no arena unless its config says so.
    fixed = memory_pb2.ALLOCATOR_FIXED
    refused(lambda: client.create(allocator=fixed), precondition, "CAPABILITY_UNAVAILABLE", change)
    refused(lambda: client.create(shared=True), invalid, "INVALID_SPEC", never)
    attachable = lambda: client.create(attachable=True)
    refused(attachable, precondition, "CAPABILITY_UNAVAILABLE", change)
    refused(lambda: client.grow("taken", 2), precondition, "MAXIMUM_REACHED", never)
    refused(
        lambda: client.grow("taken", 1, expected_pages=9),
        status.ABORTED, "SIZE_MISMATCH", "AT_HIGHER_LEVEL",
    )
    other = str(uuid.uuid4())
    refused(lambda: client.get("taken", uid=other), precondition, "UID_MISMATCH", change)
    refused(
        lambda: client.memories.FillMemory(
            pb.FillMemoryRequest(memory_id="taken", length=1, value=256)
        ),
        invalid, "INVALID_FIELD", never,
    )
    unknown = pb.CreateMemoryRequest(required_capabilities=["time_travel"])
    refused(
        lambda: client.memories.CreateMemory(unknown),
        precondition, "CAPABILITY_UNAVAILABLE", change,
    )
    client.delete("taken")


def a_request_id_is_answered_once(client):
    request_id = str(uuid.uuid4())
    first = client.create("once", request_id=request_id, initial_pages=1, maximum_pages=9)
    again = client.create("once", request_id=request_id, initial_pages=1, maximum_pages=9)
    assert first.uid == again.uid
    refused(
        lambda: client.create("twice", request_id=request_id),
        grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", "NEVER",
    )
    grow_id = str(uuid.uuid4())
    for _ in range(3):
        grown = client.grow("once", 1, request_id=grow_id)
        assert (grown.previous_pages, grown.current_pages) == (1, 2)
    assert client.get("once").size_pages == 2
    client.delete("once")


def sixty_three_pages_pass_a_stock_client_and_sixty_four_are_refused(client):
    client.create("large", initial_pages=64)
    data = bytes(range(256)) * (63 * PAGE // 256)
    client.write("large", 0, data)
    assert client.read("large", 0, 63 * PAGE) == data
    refused(
        lambda: client.read("large", 0, 64 * PAGE),
        grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE", "NEVER", limit=63 * PAGE,
    )
    refused(
        lambda: client.write("large", 0, bytes(64 * PAGE)),
        grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE", "NEVER",
    )
    assert client.read("large", 63 * PAGE, PAGE) == bytes(PAGE)
    client.delete("large")


def a_stream_carries_any_length_both_ways(client):
    client.create("stream", initial_pages=200)
    data = b"".join(bytes([number]) * PAGE for number in range(200))
    chunk = 16 * PAGE

    def messages():
        for offset in range(0, len(data), chunk):
            request = pb.UploadMemoryRequest(data=data[offset : offset + chunk])
            if offset == 0:
                request.memory_id = "stream"
                request.length = len(data)
            yield request

    uploaded = client.memories.UploadMemory(messages())
    assert uploaded.bytes_written == len(data)
    request = pb.DownloadMemoryRequest(memory_id="stream", chunk_bytes=PAGE * 3, checksum=True)
    received = bytearray()
    for message in client.memories.DownloadMemory(request):
        assert message.offset == len(received) and message.HasField("crc32c")
        received += message.data
    assert bytes(received) == data


def a_failed_upload_says_what_stands(client):
    def messages():
        yield pb.UploadMemoryRequest(memory_id="stream", offset=199 * PAGE, data=b"\1" * PAGE)
        yield pb.UploadMemoryRequest(data=b"\2" * PAGE)

    refused(
        lambda: client.memories.UploadMemory(messages()),
        grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_BOUNDS", "AFTER_CHANGE", bytes_written=PAGE,
    )
    assert client.read("stream", 199 * PAGE, PAGE) == b"\1" * PAGE

    def wrong():
        yield pb.UploadMemoryRequest(memory_id="stream", data=b"abc", crc32c=1)

    refused(
        lambda: client.memories.UploadMemory(wrong()),
        grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH", "NEVER",
    )


def a_cancelled_download_leaves_the_daemon_well(client):
    call = client.memories.DownloadMemory(pb.DownloadMemoryRequest(memory_id="stream"))
    next(call)
    call.cancel()
    assert client.read("stream", 0, 1) == b"a"
    client.delete("stream")


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
    client.create("there", initial_pages=1)
    call = client.events.WatchEvents(event_pb.WatchEventsRequest(snapshot=True), timeout=30)
    started = next(call).started
    present = [next(call).event for _ in client.memories.ListMemories(
        pb.ListMemoriesRequest()).memories]
    assert "there" in {event.memory_id for event in present}, present
    assert next(call).WhichOneof("message") == "snapshot_end"
    client.grow("there", 1)
    client.delete("there")
    grown, deleted = next(call).event, next(call).event
    assert grown.kind == event_pb.EVENT_KIND_GROWN and grown.grown.current_pages == 2, grown
    assert deleted.kind == event_pb.EVENT_KIND_DELETED, deleted
    assert deleted.sequence == grown.sequence + 1
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
    call = client.channel.unary_unary("/linmem.v1.MemoryService/ShareMemory")
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
    the_server_says_what_it_is_and_allows,
    a_memory_lives_from_create_to_delete,
    a_list_is_paged_and_selected,
    an_update_moves_the_etag_and_only_what_the_mask_names,
    a_lease_is_kept_alive_and_runs_out,
    what_is_out_of_bounds_changes_nothing,
    what_cannot_be_is_refused_by_name,
    a_request_id_is_answered_once,
    sixty_three_pages_pass_a_stock_client_and_sixty_four_are_refused,
    a_stream_carries_any_length_both_ways,
    a_failed_upload_says_what_stands,
    a_cancelled_download_leaves_the_daemon_well,
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


def main():
    client = Client(sys.argv[1])
    passed = failed = 0
    for claim in CLAIMS:
        try:
            claim(client)
            passed += 1
            print(f"ok      {claim.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED  {claim.__name__}")
            traceback.print_exc()
    left = [memory.memory_id for memory in
            client.memories.ListMemories(pb.ListMemoriesRequest()).memories]
    if left and not failed:
        failed += 1
        print(f"FAILED  left behind: {left}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
