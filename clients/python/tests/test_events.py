"""Events in Python: a watch goes on over lost connections, and every gap is told.

Owns: claims about `events` and `watching` of the blocking half. Law: daemons with a ring of sixteen, so
that a laggard loses what it must; every wait has a bound.
"""

import threading
from itertools import islice

import grpc
import pytest
from daemon import BOUND, Daemon, eventually
from linmem.v1 import event_service_pb2 as pb
from linmem.v1 import event_service_pb2_grpc as rpc

import linmem
from linmem import Compacted, Happened, Lost, Position, Present, SnapshotEnd, Started
from linmem.reasons import InvalidField, SequenceCompacted

#: A connection of its own: others wait before they try an address anew that refused them.
OWN = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def daemon():
    with Daemon(EVENTS__RING=16) as own:
        yield own


def kinds(items):
    return [item.kind for item in items if isinstance(item, Happened)]


def test_what_happens_is_told_in_order_with_what_it_adds(client):
    with client.events() as events:
        assert isinstance(next(events), Started)
        memory = client.create("told", pages=1, maximum_pages=3)
        memory.grow(2)
        with pytest.raises(linmem.reasons.MaximumReached):
            memory.grow(1)
        memory.delete()
        created, grown, failed, deleted = islice(events, 4)
        assert [created.kind, grown.kind, failed.kind, deleted.kind] == [
            "created", "grown", "grow_failed", "deleted",
        ]
        assert created.event.uid == memory.uid and created.event.created.size_pages == 1
        assert (grown.event.grown.previous_pages, grown.event.grown.current_pages) == (1, 3)
        assert failed.event.grow_failed.reason == "MAXIMUM_REACHED"
        assert deleted.event.sequence == created.event.sequence + 3
        assert events.position == Position(client.server_info().boot_id, deleted.event.sequence + 1)


def test_a_watch_tells_only_what_was_asked_for_and_is_resumed_where_it_was_left(client):
    with client.events() as events:
        place = next(events).position
    for name, labels in (("a", ["mine"]), ("b", []), ("c", ["mine"])):
        client.create(name, labels=labels).delete()
    with client.events("mine", kinds=["deleted"], resume=place) as events:
        assert isinstance(next(events), Started)
        assert [one.event.memory_id for one in islice(events, 2)] == ["a", "c"]
    with client.events(resume=Position(place.boot_id, place.sequence + 1000)) as ahead:
        with pytest.raises(InvalidField):
            next(ahead)


def test_a_snapshot_comes_first_and_the_future_after_it(client):
    with client.create("there", pages=3), client.events(snapshot=True) as events:
        started, present, end = islice(events, 3)
        assert isinstance(started, Started) and isinstance(end, SnapshotEnd)
        assert isinstance(present, Present) and present.event.created.size_pages == 3
        client.memory("there").grow(1)
        assert next(events).kind == "grown"


def test_a_laggard_is_told_what_it_lost_and_the_daemon_counts_it(daemon, client):
    # A plain channel with small windows: what is told must wait in the daemon.
    options = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(daemon.grpc, options) as channel:
        slow = rpc.EventServiceStub(channel).WatchEvents(pb.WatchEventsRequest(), timeout=BOUND)
        assert next(slow).WhichOneof("message") == "started"
        memory = client.create("n" * 128, pages=1, maximum_pages=1)
        for _ in range(400):
            with pytest.raises(linmem.reasons.MaximumReached):
                memory.grow(1)
        memory.delete()
        made = 402
        place = linmem.watching.Place("", (), False, None)
        lost, expected = 0, 1
        while expected <= made:
            item = place.item(next(slow))
            if isinstance(item, Lost):
                assert item.first == expected and item.last >= item.first
                lost += item.last - item.first + 1
                expected = item.last + 1
            elif isinstance(item, Happened):
                assert item.event.sequence == expected
                expected += 1
        slow.cancel()
    assert lost > 100
    eventually(lambda: daemon.metric("events_dropped_total", tenant="default") == lost)


def test_what_is_no_longer_kept_is_a_gap_and_the_watch_goes_on(client):
    with client.events() as events:
        place = next(events).position
    for _ in range(20):
        client.create("short").delete()
    with client.events(resume=place) as events:
        gap = next(events)
        assert isinstance(gap, Compacted) and gap.position.boot_id == place.boot_id
        assert gap.position.sequence > place.sequence
        assert isinstance(next(events), Started)
        assert next(events).event.sequence == gap.position.sequence
    with client.events(snapshot=True, resume=place) as events:
        assert [type(item) for item in islice(events, 3)] == [Compacted, Started, SnapshotEnd]


def test_after_a_restart_the_gap_is_told_and_a_fresh_snapshot_follows():
    with Daemon() as first:
        client = linmem.connect(first.endpoint)
        client.create("old", pages=1)
        events = client.events(snapshot=True, patience=BOUND)
        started, present, _end = islice(events, 3)
        assert present.event.memory_id == "old"
        first.kill()
        with Daemon(listen=first.grpc) as second, client, events:
            with linmem.connect(second.endpoint, options=OWN) as other:
                boot_id = other.server_info().boot_id
                assert boot_id != started.position.boot_id
                new = other.create("new", pages=2)
                gap, again, present, end = islice(events, 4)
                assert isinstance(gap, Compacted) and gap.position.boot_id == boot_id
                assert isinstance(again, Started) and again.position.boot_id == boot_id
                assert isinstance(present, Present) and present.event.memory_id == "new"
                assert isinstance(end, SnapshotEnd) and events.position == end.position
                new.delete()
                assert next(events).kind == "deleted"


def test_a_watch_that_cannot_be_got_back_is_an_error_and_tries_anew_at_the_next_step():
    with Daemon() as first:
        client = linmem.connect(first.endpoint)
        events = client.events(patience=0.05)
        assert isinstance(next(events), Started)
        first.kill()
    with client, events:
        for _ in range(2):
            with pytest.raises(linmem.ConnectionLost):
                next(events)


def test_a_drain_ends_a_watch_with_its_reason_once_patience_is_over():
    with Daemon() as own, linmem.connect(f"unix://{own.socket}") as client:
        events = client.events(patience=0.01)
        next(events)
        client.drain()
        with pytest.raises((linmem.reasons.Draining, linmem.ConnectionLost)):
            for _item in events:
                pass
        assert own.process.wait(BOUND) == 0


def test_a_watch_that_is_closed_elsewhere_ends_for_who_waits_in_it(client):
    events = client.events()
    next(events)
    seen = []
    waiting = threading.Thread(target=lambda: seen.extend(events))
    waiting.start()
    events.close()
    waiting.join(BOUND)
    assert not waiting.is_alive() and seen == []


def test_a_position_of_another_run_is_compacted_with_the_oldest_there_is(client):
    stub = rpc.EventServiceStub(client.wire.channel)
    resume = pb.EventPosition(boot_id="0" * 8 + "-0000-4000-8000-" + "0" * 12, sequence=1)
    with pytest.raises(grpc.RpcError) as failed:
        next(stub.WatchEvents(pb.WatchEventsRequest(resume=resume)))
    refused = linmem.errors.failure(failed.value)
    assert isinstance(refused, SequenceCompacted)
    assert refused.metadata["boot_id"] == client.server_info().boot_id
