"""Claims of an unconfigured Python client about memories and their bytes.

Owns: one function a claim, in `CLAIMS`. Law: `stock`'s. `client.py` runs them.
"""

import time
import uuid

import grpc
from google.protobuf import duration_pb2, field_mask_pb2
from linmem.v1 import memory_pb2
from linmem.v1 import memory_service_pb2 as pb

from stock import PAGE, refused


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
]
