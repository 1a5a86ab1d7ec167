"""A stock Python client, and what its failures must say.

Owns: `Client`, short forms of the calls, and `refused`. Law: grpcio without channel options, stubs compiled
from `proto/`; each failure is checked by code, ErrorInfo reason and retry word. Claims nothing.
"""


import grpc
from google.rpc import error_details_pb2, status_pb2
from linmem.v1 import admin_service_pb2_grpc as admin_rpc
from linmem.v1 import event_service_pb2_grpc as event_rpc
from linmem.v1 import memory_pb2
from linmem.v1 import memory_service_pb2 as pb
from linmem.v1 import memory_service_pb2_grpc as rpc

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
