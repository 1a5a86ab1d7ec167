"""A server that answers as a script says, for what a real daemon cannot be made to do.

Owns: `Scripted`. Law: each call of a method takes the next step of its script: an exception's status, or
an answer; what arrived is kept. It is no daemon and knows no memory.
"""

from concurrent import futures

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from linmem.methods import METHODS


class Step(Exception):
    """A failure, with the daemon's details where there is a reason."""

    def __init__(self, code, reason=None, delay=None, **metadata):
        self.code = code
        status = status_pb2.Status(code=code.value[0], message="scripted")
        if reason is not None:
            metadata = {"call_id": "c-1", **metadata}
            info = error_details_pb2.ErrorInfo(reason=reason, domain="linmemd", metadata=metadata)
            status.details.add().Pack(info)
        if delay is not None:
            wait = Duration()
            wait.FromMilliseconds(int(delay * 1000))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=wait))
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field="offset", description="too far")
        status.details.add().Pack(bad)
        self.details = status.SerializeToString() if reason else None


class Scripted(grpc.GenericRpcHandler):
    """Serves unary calls from a script of steps, by the method's name."""

    def __init__(self, **script):
        self.script = script
        self.arrived = []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.target = f"127.0.0.1:{self.port}"

    def service(self, details):
        method = METHODS[details.method]
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(details, request, context),
            method.request.FromString,
            lambda answer: answer.SerializeToString(),
        )

    def answer(self, details, request, context):
        self.arrived.append((request, dict(details.invocation_metadata)))
        step = self.script[details.method.rpartition("/")[2]].pop(0)
        if not isinstance(step, Step):
            return step
        if step.details:
            context.set_trailing_metadata((("grpc-status-details-bin", step.details),))
        context.abort(step.code, "scripted")

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_failure):
        self.server.stop(None).wait()
