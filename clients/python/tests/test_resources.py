"""What a tenant has beside bytes: memories, leases, segments, sets, views, partitions, waits.

Owns: claims about the client's resources of the blocking half. Law: each is made, seen, used and ended.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from daemon import eventually
from linmem.v1 import admin_service_pb2, memory_pb2

import linmem
from linmem import PAGE
from linmem.reasons import (
    EtagMismatch,
    ExpectedShared,
    HookExists,
    MaximumReached,
    MemoryExists,
    MemoryNotFound,
    RoleMissing,
    SegmentNotFound,
    SetNotFound,
    ShareNotFound,
    SizeMismatch,
    TenantMismatch,
    UidMismatch,
    ViewNotFound,
)


def test_a_memory_is_made_described_grown_and_ended(client):
    made = client.create("life", pages=1, maximum_pages=3, labels={"a": "1"}, display_name="a life")
    info = made.info(full=True)
    assert (info.memory_id, info.uid, info.spec.display_name) == ("life", made.uid, "a life")
    assert info.HasField("placement") and dict(info.spec.labels) == {"a": "1"}
    assert made.grow(1) == 1 and made.grow(1, expected_pages=2) == 2 and made.pages() == 3
    with pytest.raises(SizeMismatch):
        made.grow(0, expected_pages=1)
    with pytest.raises(MaximumReached):
        made.grow(1)
    with pytest.raises(MemoryExists):
        client.create("life")
    assert [one.memory_id for one in client.memories("a=1")] == ["life"]
    assert list(client.memories("a=2")) == []
    made.delete()
    assert not made.exists()
    with pytest.raises(MemoryNotFound):
        made.read(0, 1)
    with pytest.raises(LookupError):
        made.delete()
    made.delete(allow_missing=True)


def test_a_name_never_reaches_another_memory(client):
    first = client.create("same", pages=1)
    first.delete()
    with client.create("same", pages=1) as second:
        with pytest.raises(UidMismatch):
            first[0] = 1
        assert not first.exists() and second.exists() and second[0] == 0
        assert client.memory("same").bind().uid == second.uid


def test_a_list_is_given_out_over_all_its_pages(client, monkeypatch):
    monkeypatch.setattr("linmem.resources.PAGE_SIZE", 3)
    made = [client.create(f"list-{number}", labels=["listed"]) for number in range(7)]
    assert [one.memory_id for one in client.memories("listed")] == [one.id for one in made]
    for one in made:
        one.delete()


def test_an_update_changes_what_is_given_and_nothing_else(memory):
    etag = memory.info().etag
    info = memory.update(display_name="named", labels={"k": "v"}, lease=600, etag=etag)
    assert (info.spec.display_name, dict(info.spec.labels)) == ("named", {"k": "v"})
    assert memory.keep_alive() > datetime.now(timezone.utc)
    info = memory.update(end_lease=True)
    assert not info.HasField("expire_time") and info.spec.display_name == "named"
    with pytest.raises(EtagMismatch) as refused:
        memory.update(labels={}, etag=etag)
    assert refused.value.retry is linmem.Retry.AT_HIGHER_LEVEL
    with pytest.raises(ValueError):
        memory.keep_alive()


def test_statistics_begin_anew(memory):
    memory[0] = 1
    assert memory.stats().write_count == 1
    assert memory.reset_stats().write_count == 0 == memory.stats().write_count


def test_a_segment_is_kept_and_put_into_memories(client, memory):
    put = client.put_segment(b"0123456789", "digits")
    assert put.size_bytes == 10 and client.get_segment("digits") == put
    assert client.segment_data("digits") == b"0123456789"
    assert list(client.segments()) == [put]
    memory.init("digits", 2, 100, 5)
    assert memory[99:106] == b"\x0023456\0"
    client.drop_segment("digits")
    with pytest.raises(SegmentNotFound):
        client.segment_data("digits")
    client.drop_segment("digits", allow_missing=True)


def test_a_set_comes_and_goes_as_one(client):
    spec = memory_pb2.MemorySpec(initial_pages=1)
    made = client.create_set([spec, ("second", spec)], "pair")
    first, second = client.members(made)
    assert client.get_set("pair") == made
    assert second.id == "second" and first[0] == second[0] == 0
    assert [one.set_id for one in client.sets()] == ["pair"]
    client.delete_set("pair")
    assert not first.exists() and not second.exists()
    with pytest.raises(SetNotFound):
        client.get_set("pair")
    client.delete_set("pair", allow_missing=True)


def test_a_share_is_given_listed_and_revoked_and_is_for_the_other_tenant_only(client, memory):
    with pytest.raises(ValueError):
        memory.share("another", expires=datetime(2100, 1, 1))
    given = memory.share("another", write=True, expires=datetime(2100, 1, 1, tzinfo=timezone.utc))
    assert [one.share_id for one in client.shares()] == [given.share_id]
    assert (given.owner_tenant, given.grantee_tenant, given.mounted) == ("default", "another", False)
    assert given.expire_time.ToDatetime() == datetime(2100, 1, 1)
    with pytest.raises(ShareNotFound):
        client.mount(given.share_id, "mine")
    client.revoke_share(given.share_id)
    assert list(client.shares()) == []
    with pytest.raises(ShareNotFound):
        client.revoke_share(given.share_id)
    client.revoke_share(given.share_id, allow_missing=True)


def test_a_view_tells_what_changed(memory):
    with memory.view(8, 4, ttl=30) as view:
        assert view.data == bytes(4) and not view.refresh()
        memory[10] = 7
        assert view.refresh() and view.data == b"\0\0\x07\0"
        assert not view.refresh() and view.data == b"\0\0\x07\0"
    with pytest.raises(ViewNotFound):
        view.refresh()
    view.close(allow_missing=True)


def test_who_waits_is_woken_and_who_may_not_is_refused(client):
    with client.create(pages=1, maximum_pages=1, shared=True) as flags, ThreadPoolExecutor() as pool:
        assert flags.wait(0, 1) == "not_equal"
        assert flags.wait(0, 0, timeout=0.001) == "timed_out"
        parked = pool.submit(flags.wait, 8, 0, 8)
        eventually(lambda: flags.notify(8, 1), "nobody ever waited")
        assert parked.result() == "ok"
        assert flags.notify(8) == 0
        flags.atomic_store(16, -1)
        assert flags.wait(16, -1, timeout=0) == "timed_out", "negative numbers are their bits"
    with client.create(pages=1) as alone, pytest.raises(ExpectedShared):
        alone.wait(0, 0)


def test_the_daemon_says_what_it_is_and_allows(client):
    info = client.server_info()
    assert info.tenant == "default" and client.limits().page_bytes == PAGE
    assert {one.resource for one in info.quotas} >= {"committed_bytes", "memories"}
    assert client.host().host_page_bytes >= 4096


def test_a_tenant_is_named_by_metadata(client):
    with pytest.raises(TenantMismatch) as refused:
        client.with_tenant("nobody").server_info()
    assert refused.value.call_id and refused.value.changed_nothing
    assert client.with_tenant("default").server_info().tenant == "default"
    with pytest.raises(ValueError):
        client.with_tenant("no spaces")


def test_a_hook_is_made_seen_and_ended(client):
    with client.create_hook("seen", answer_timeout=0.5, failure_policy="fail_open", rank=-2) as hook:
        info = hook.info()
        assert (info.rank, info.answer_timeout.ToMilliseconds(), info.streams) == (-2, 500, 0)
        assert list(client.hooks()) == [info]
        with pytest.raises(HookExists):
            client.create_hook("seen")
    assert list(client.hooks()) == []


def test_partitions_are_made_over_the_socket_and_nowhere_else(daemon, client):
    spec = admin_service_pb2.PartitionSpec(maximum_bytes=1 << 20)
    with pytest.raises(RoleMissing):
        client.create_partition(spec, "pool")
    with linmem.connect(f"unix://{daemon.socket}") as local:
        assert local.create_partition(spec, "pool").spec.maximum_bytes == 1 << 20
        wanted = memory_pb2.MemorySpec(partition="pool")
        with local.create(pages=1, spec=wanted) as inside:
            assert inside.info().spec.partition == "pool"
            assert local.get_partition("pool").memories == 1
        assert [one.partition_id for one in local.partitions()] == ["pool"]
        local.delete_partition("pool")
        local.delete_partition("pool", allow_missing=True)
