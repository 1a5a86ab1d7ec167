"""Failures are exceptions by their reason, and are repeated only where that does no harm.

Owns: claims about `errors`, `reasons`, `retry`, `methods` and `endpoint`. Law: the contract's list is the
README's table; a server that follows a script gives what a daemon gives seldom.
"""

import json
import re
import uuid

import grpc
import pytest
from daemon import ROOT
from linmem.v1 import memory_service_pb2 as pb
from linmem.v1 import memory_service_pb2_grpc as rpc
from server import Scripted, Step

import linmem
from linmem import ConnectionLost, DeadlineExceeded, Refused, Retry, RetryPolicy
from linmem.endpoint import endpoint
from linmem.methods import METHODS, described, without_side_effects
from linmem.reasons import REASONS, Draining, OutOfBounds, Overloaded

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.004)
BUSY = dict(code=UNAVAILABLE, reason="OVERLOADED", retry="SAME", delay=0.001)


def connect(server, **more):
    return linmem.connect(server.target, retry=more.pop("retry", QUICK), **more)


def test_every_rpc_of_the_protos_has_its_method_with_its_types():
    found = {
        f"/{one.containing_service.full_name}/{one.name}": (one.input_type, one.output_type)
        for one in described()
    }
    table = {path: (m.request.DESCRIPTOR, m.answer.DESCRIPTOR) for path, m in METHODS.items()}
    assert table == found


def test_every_reason_of_the_contract_has_its_class():
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| reason | code |") :].partition("\n\n")[0]
    listed = set(re.findall(r"[A-Z_]{4,}", " ".join(row.split("|")[1] for row in table.splitlines())))
    assert len(listed) > 30 and listed <= REASONS.keys(), listed - REASONS.keys()


def test_every_part_of_a_failure_is_kept():
    step = Step(grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_BOUNDS", 1.5, retry="AFTER_CHANGE", size_bytes="9")
    with Scripted(ReadMemory=[step]) as server, connect(server) as client:
        with pytest.raises(OutOfBounds) as caught:
            client.memory("m").read(10, 1)
    refused = caught.value
    assert isinstance(refused, Refused) and isinstance(refused, IndexError)
    assert (refused.code, refused.reason) == (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_BOUNDS")
    assert (refused.retry, refused.retry_after, refused.call_id) == (Retry.AFTER_CHANGE, 1.5, "c-1")
    assert refused.number("size_bytes") == 9 and refused.number("retry") is None
    assert refused.field_violations[0].field == "offset" and refused.changed_nothing
    assert str(refused) == "OUT_OF_BOUNDS: scripted (offset: too far)"


def test_a_reason_newer_than_this_client_is_still_a_refusal():
    step = Step(grpc.StatusCode.ABORTED, "TIME_TRAVELLED", retry="SOMEDAY")
    with Scripted(ReadMemory=[step]) as server, connect(server) as client:
        with pytest.raises(Refused) as caught:
            client.memory("m").read(0, 1)
    assert type(caught.value) is Refused and caught.value.retry is Retry.UNKNOWN


def test_same_is_repeated_also_for_a_write_and_the_request_stays_the_same():
    steps = [Step(**BUSY), Step(**BUSY), pb.WriteMemoryResponse()]
    with Scripted(WriteMemory=steps) as server, connect(server, tenant="t") as client:
        client.memory("m").write(0, b"x")
    assert len(server.arrived) == 3
    assert all(metadata["linmem-tenant"] == "t" for _request, metadata in server.arrived)
    steps = [Step(**BUSY), pb.GrowMemoryResponse(previous_pages=4)]
    with Scripted(GrowMemory=steps) as server, connect(server) as client:
        assert client.memory("m").grow(1) == 4
    first, second = (request for request, _metadata in server.arrived)
    assert first == second and uuid.UUID(first.request_id)


def test_an_unknown_outcome_is_repeated_only_where_a_repeat_is_harmless():
    lost = Step(UNAVAILABLE)
    with Scripted(ReadMemory=[lost, pb.ReadMemoryResponse(data=b"x")]) as server, connect(server) as client:
        assert client.memory("m").read(0, 1) == b"x"
    with Scripted(WriteMemory=[lost]) as server, connect(server) as client:
        with pytest.raises(ConnectionLost):
            client.memory("m").write(0, b"x")
    with Scripted(GrowMemory=[lost, pb.GrowMemoryResponse()]) as server, connect(server) as client:
        client.memory("m").grow(1)
    assert len(server.arrived) == 2


def test_repeats_are_bounded_by_attempts_by_the_deadline_and_by_what_the_daemon_asks():
    with Scripted(ReadMemory=[Step(**BUSY) for _ in range(9)]) as server, connect(server) as client:
        with pytest.raises(Overloaded):
            client.memory("m").read(0, 1)
        assert len(server.arrived) == 4
        with pytest.raises(Overloaded):
            client.with_retry(RetryPolicy.NONE).memory("m").read(0, 1)
        assert len(server.arrived) == 5
    patient = Step(UNAVAILABLE, "DRAINING", 3.0, retry="SAME")
    with Scripted(ReadMemory=[patient, patient]) as server, connect(server) as client:
        for hasty in (client.with_timeout(2), client.with_retry(RetryPolicy(longest_retry_after=2))):
            with pytest.raises(Draining):
                hasty.memory("m").read(0, 1)
    assert len(server.arrived) == 2


def test_pauses_double_up_to_the_longest_and_are_stretched_by_a_quarter_at_most():
    policy = RetryPolicy()
    assert [policy.pause(made, None, 0) for made in (1, 2, 3, 30)] == [0.05, 0.1, 0.2, 2.0]
    assert policy.pause(1, 0.7, 0) == 0.7 and policy.pause(1, 31, 0) is None
    assert policy.pause(1, 0.1, 1) == pytest.approx(0.125)


def test_a_deadline_that_nobody_explains_leaves_the_outcome_unknown(client):
    with client.create(pages=1, maximum_pages=1, shared=True) as flags:
        with pytest.raises((DeadlineExceeded, linmem.reasons.DeadlinePassed)):
            client.with_timeout(0.05).memory(flags.id).wait(0, 0)


def test_a_daemon_that_is_not_there_is_a_lost_connection():
    with linmem.connect("unix:///nowhere/at/all", retry=RetryPolicy.NONE) as client:
        with pytest.raises(ConnectionLost):
            client.server_info()


def test_the_service_config_makes_a_stock_channel_retry_what_is_harmless_and_nothing_else():
    names = {
        f"/{name['service']}/{name['method']}"
        for name in json.loads(linmem.SERVICE_CONFIG)["methodConfig"][0]["name"]
    }
    harmless = {path for path, method in METHODS.items() if method.harmless}
    assert names == harmless and len(names) == sum(map(without_side_effects, described())) > 6
    lost = Step(UNAVAILABLE)
    answer = pb.ReadMemoryResponse(data=b"x")
    options = [("grpc.service_config", linmem.SERVICE_CONFIG)]
    with Scripted(ReadMemory=[lost, answer], WriteMemory=[lost]) as server:
        with grpc.insecure_channel(server.target, options) as channel:
            stub = rpc.MemoryServiceStub(channel)
            assert stub.ReadMemory(pb.ReadMemoryRequest()).data == b"x"
            with pytest.raises(grpc.RpcError):
                stub.WriteMemory(pb.WriteMemoryRequest())
    assert len(server.arrived) == 3


def test_endpoints_are_read_and_what_cannot_work_is_refused():
    assert endpoint("http://[::1]").target == "[::1]:7420"
    assert endpoint("http://host:1/").target == "host:1" and endpoint("host:1").target == "host:1"
    assert endpoint("https://host").credentials is not None
    assert endpoint("unix:///a/b").target == "unix:/a/b"
    credentials = grpc.ssl_channel_credentials()
    assert endpoint("https://host", credentials).credentials is credentials
    for wrong in ("unix://a", "http://", "http://a/b", "http://u@h"):
        with pytest.raises(ValueError):
            endpoint(wrong)
    with pytest.raises(ValueError):
        endpoint("http://host", credentials)
