"""A session: groups in flight, waits beside them, notices, and its end.

Owns: claims about `session` and `pipeline` of the blocking half. Law: every answer is waited for with a
bound.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from daemon import BOUND, Daemon, eventually
from google.rpc import error_details_pb2, status_pb2
from linmem.v1 import session_pb2

import linmem
from linmem import PAGE, Packed, SessionOver, op
from linmem.errors import LinmemError
from linmem.pipeline import Pipeline
from linmem.reasons import CompareFailed, GrantReadOnly, InvalidField, MemoryNotFound, OutOfBounds
from linmem.session import Asked


def test_groups_in_flight_are_answered_each_to_its_own(client, memory):
    with client.session() as session:
        attached = session.attach(memory)
        sums = [attached.execute_one(op.atomic_rmw("add", 0, 1)) for _ in range(500)]
        packed = Packed().load("u32", 0).write(8, b"packed").read(8, 6)
        columns = attached.execute_packed(packed)
        listed = attached.execute([op.read(8, 6), op.size()])
        assert [one.result(BOUND) for one in sums] == list(range(500))
        assert columns.result(BOUND) == [500, None, b"packed"]
        assert listed.result(BOUND) == [b"packed", 2]
        assert attached.ready.result(BOUND) == (memory.uid, 2)
        assert session.started.max_groups_in_flight > 0
    assert memory.load("u32", 0) == 500


def test_a_group_is_whole_or_each_operation_stands_by_itself(client, memory):
    with client.session() as session:
        attached = session.attach(memory.id)
        operations = [op.write(0, b"a"), op.read(2 * PAGE, 1), op.write(1, b"b")]
        with pytest.raises(OutOfBounds):
            attached.execute(operations).result(BOUND)
        assert memory[0:2] == bytes(2)
        first, failed, third = attached.execute_each(operations).result(BOUND)
        assert (first, third) == (None, None) and isinstance(failed, OutOfBounds)
        assert memory[0:2] == b"ab"
        with pytest.raises(CompareFailed):
            attached.execute_packed(Packed().compare(0, b"zz")).result(BOUND)


def test_what_cannot_be_attached_fails_and_so_does_what_was_sent_after_it(client, memory):
    with client.session() as session:
        absent = session.attach("absent")
        after = absent.execute_one(op.size())
        with pytest.raises(MemoryNotFound):
            absent.ready.result(BOUND)
        with pytest.raises(LinmemError):
            after.result(BOUND)
        reader = session.attach(memory, read_only=True)
        with pytest.raises(GrantReadOnly):
            reader.execute_one(op.write(0, b"x")).result(BOUND)
        assert reader.detach().result(BOUND) is None
        with pytest.raises(LinmemError):
            reader.execute_one(op.size()).result(BOUND)


def test_waits_hold_nothing_up_and_are_woken_or_cancelled(client):
    with client.create(pages=1, maximum_pages=1, shared=True) as flags, client.session() as session:
        attached = session.attach(flags)
        assert attached.wait(0, 1).result(BOUND) == "not_equal"
        assert attached.wait(0, 0, timeout=0.001).result(BOUND) == "timed_out"
        woken, cancelled = attached.wait(8, 0, 8), attached.wait(16, 0)
        # A wait is parked beside the groups, not before those sent after it.
        eventually(lambda: attached.execute_one(op.notify(8)).result(BOUND), "nobody ever waited")
        assert woken.result(BOUND) == "ok" and not cancelled.done()
        assert attached.cancel_wait(cancelled).result(BOUND) is None
        assert cancelled.result(BOUND) == "cancelled"
        with pytest.raises(InvalidField):
            attached.cancel_wait(cancelled).result(BOUND)


class Noticing(grpc.GenericRpcHandler):
    """A server whose sessions begin, tell two notices and end."""

    def service(self, details):
        gone = error_details_pb2.ErrorInfo(reason="MEMORY_NOT_FOUND", domain="linmemd")
        detached = status_pb2.Status(code=5, message="gone")
        detached.details.add().Pack(gone)
        said = session_pb2.OpenSessionResponse
        messages = [
            said(started=session_pb2.SessionStarted()),
            said(notice=session_pb2.SessionNotice(handle=7, grown_to_pages=3)),
            said(notice=session_pb2.SessionNotice(handle=7, detached=detached)),
        ]
        return grpc.stream_stream_rpc_method_handler(
            lambda _requests, _context: iter(messages),
            session_pb2.OpenSessionRequest.FromString,
            said.SerializeToString,
        )


def test_notices_tell_of_growth_and_of_the_end():
    heard = []
    server = grpc.server(ThreadPoolExecutor(2), handlers=(Noticing(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with linmem.connect(f"127.0.0.1:{port}") as client:
        client.session(heard.append).close(BOUND)
    server.stop(None).wait()
    grown, detached = heard
    assert (grown.handle, grown.grown_to_pages, grown.detached) == (7, 3, None)
    assert isinstance(detached.detached, MemoryNotFound) and detached.grown_to_pages is None


def test_a_future_s_callback_may_ask_again(client, memory):
    with client.session() as session:
        attached = session.attach(memory)
        again = []
        first = attached.execute_one(op.size())
        first.add_done_callback(lambda _done: again.append(attached.execute_one(op.size())))
        assert first.result(BOUND) == 2
        assert eventually(lambda: again)[0].result(BOUND) == 2


def test_a_session_that_ends_tells_everyone_that_waits_and_takes_no_more(client):
    with client.create(pages=1, maximum_pages=1, shared=True) as flags:
        session = client.session()
        attached = session.attach(flags)
        attached.ready.result(BOUND)
        parked = attached.wait(0, 0)
        attached.execute_one(op.size()).result(BOUND)
        session.cancel()
        with pytest.raises(LinmemError):
            parked.result(BOUND)
        with pytest.raises(LinmemError):
            attached.execute_one(op.size())


def test_a_drain_is_a_go_away_and_what_was_accepted_is_answered():
    with Daemon() as own, linmem.connect(f"unix://{own.socket}") as client:
        memory = client.create(pages=1)
        session = client.session()
        attached = session.attach(memory)
        assert attached.execute_one(op.size()).result(BOUND) == 1
        assert client.drain().total_seconds() > 0
        eventually(lambda: session.go_away, "no go_away")
        assert session.go_away.drain
        with pytest.raises(SessionOver) as refused:
            attached.execute_one(op.size())
        assert refused.value.never_begun
        session.close(BOUND)
        assert own.process.wait(BOUND) == 0


def test_what_was_never_begun_is_told_apart_from_what_may_have_happened():
    books = Pipeline()
    before, after = Asked(), Asked()
    for future in (before, after):
        books.ask(future, lambda result: None, "done")
    books.go_away(session_pb2.SessionGoAway(last_accepted_tag=1, reason="drain"))
    assert after.exception().never_begun and not before.done()
    books.end(None)
    assert not before.exception().never_begun
    with pytest.raises(SessionOver):
        books.ask(Asked(), lambda result: None, "done")
