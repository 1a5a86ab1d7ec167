"""A decider in Python: hooks of growth, answered over a stream by the stock client.

Owns: one function a claim, run by `main`. Law: `client.py`'s. What is waited for is a condition or a
message, with a bound.
"""

import queue
import sys
import threading
import time
import traceback

import grpc
from google.protobuf import duration_pb2

from client import PAGE, Client, refused
from linmem.v1 import hook_service_pb2 as pb
from linmem.v1 import hook_service_pb2_grpc as rpc
from linmem.v1 import memory_service_pb2 as memory_pb

BOUND = 20


class Decider:
    """One stream of answers; `decide` says what is done about a question, None for silence."""

    def __init__(self, stub, hook_id, decide):
        self.heard = queue.Queue()
        self.answers = queue.Queue()
        self.answers.put(pb.AnswerGrowHookRequest(hook_id=hook_id))
        self.call = stub.AnswerGrowHook(iter(self.answers.get, None))
        started = next(self.call)
        assert started.WhichOneof("message") == "started", started
        assert started.started.hook_id == hook_id, started
        self.thread = threading.Thread(target=self.listen, args=(decide,), daemon=True)
        self.thread.start()

    def listen(self, decide):
        try:
            for message in self.call:
                kind = message.WhichOneof("message")
                self.heard.put((kind, getattr(message, kind)))
                if kind == "question":
                    reason = decide(message.question)
                    if reason is not None:
                        self.answer(message.question.question_id, reason)
        except grpc.RpcError:
            pass

    def answer(self, question_id, reason):
        """An empty reason allows."""
        verdict = pb.GROW_VERDICT_DENY if reason else pb.GROW_VERDICT_ALLOW
        answer = pb.GrowAnswer(question_id=question_id, verdict=verdict, reason=reason)
        self.answers.put(pb.AnswerGrowHookRequest(answer=answer))

    def hear(self, kind):
        found, message = self.heard.get(timeout=BOUND)
        assert found == kind, (found, message)
        return message

    def end(self):
        self.answers.put(None)
        self.thread.join(BOUND)
        assert not self.thread.is_alive()


def make(stub, hook_id, millis=None, **more):
    request = pb.CreateGrowHookRequest(hook_id=hook_id, label_selector="hooked", **more)
    if millis is not None:
        request.answer_timeout.CopyFrom(duration_pb2.Duration(nanos=millis * 1_000_000))
    return stub.CreateGrowHook(request).hook


def grow_denied(call, cause, hook_id):
    refused(
        call, grpc.StatusCode.FAILED_PRECONDITION, "GROW_DENIED", "AFTER_CHANGE",
        cause=cause, hook_id=hook_id,
    )


def committed(client):
    info = client.memories.GetServerInfo(memory_pb.GetServerInfoRequest()).server_info
    return next(one.used for one in info.quotas if one.resource == "committed_bytes")


def hooked(client, memory_id):
    return client.create(memory_id, initial_pages=1, maximum_pages=64, labels={"hooked": ""})


def a_hook_is_made_seen_and_deleted(client, stub):
    made = make(stub, "seen", rank=3)
    assert made.failure_policy == pb.FAILURE_POLICY_FAIL_CLOSED and made.rank == 3, made
    assert made.answer_timeout.seconds == 1 and not made.configured, made
    assert stub.GetGrowHook(pb.GetGrowHookRequest(hook_id="seen")).hook == made
    assert [one.hook_id for one in stub.ListGrowHooks(pb.ListGrowHooksRequest()).hooks] == ["seen"]
    code = grpc.StatusCode
    refused(lambda: make(stub, "seen"), code.ALREADY_EXISTS, "HOOK_EXISTS", "NEVER", hook_id="seen")
    stub.DeleteGrowHook(pb.DeleteGrowHookRequest(hook_id="seen"))
    gone = pb.DeleteGrowHookRequest(hook_id="seen")
    refused(lambda: stub.DeleteGrowHook(gone), code.NOT_FOUND, "HOOK_NOT_FOUND", "NEVER")
    gone.allow_missing = True
    stub.DeleteGrowHook(gone)


def a_decider_vetoes_growth_beyond_a_size(client, stub):
    make(stub, "cap")
    before = committed(client)

    def decide(question):
        return "" if question.requested_pages <= 4 else f"{question.requested_pages} > 4"

    decider = Decider(stub, "cap", decide)
    hooked(client, "m")
    assert decider.hear("question").previous_pages == 0
    assert decider.hear("told").grown
    assert client.grow("m", 3).current_pages == 4
    asked = decider.hear("question")
    assert (asked.previous_pages, asked.requested_pages, asked.maximum_pages) == (1, 4, 64), asked
    assert dict(asked.labels) == {"hooked": ""}, asked
    assert decider.hear("told").grown
    grow_denied(lambda: client.grow("m", 1), "DENIED", "cap")
    assert client.get("m").size_pages == 4
    assert committed(client) - before == 4 * PAGE
    decider.end()
    grow_denied(lambda: client.grow("m", 1), "ABSENT", "cap")
    client.delete("m")
    stub.DeleteGrowHook(pb.DeleteGrowHookRequest(hook_id="cap"))


def a_decider_that_says_nothing_is_a_timeout(client, stub):
    make(stub, "mute", millis=500)
    decider = Decider(stub, "mute", lambda question: None)
    begin = time.monotonic()
    grow_denied(lambda: hooked(client, "m"), "TIMEOUT", "mute")
    assert 0.5 <= time.monotonic() - begin < BOUND
    asked = decider.hear("question")
    assert decider.hear("withdrawal").question_id == asked.question_id
    decider.answer(asked.question_id, "")
    code = grpc.StatusCode.NOT_FOUND
    refused(lambda: client.get("m"), code, "MEMORY_NOT_FOUND", "NEVER")
    decider.end()
    stub.DeleteGrowHook(pb.DeleteGrowHookRequest(hook_id="mute"))


def a_caller_that_goes_takes_its_question_with_it(client, stub):
    hooked(client, "m")
    before = committed(client)
    make(stub, "slow", millis=900)
    decider = Decider(stub, "slow", lambda question: None)
    request = memory_pb.GrowMemoryRequest(memory_id="m", delta_pages=8)
    call = client.memories.GrowMemory.future(request)
    asked = decider.hear("question")
    # Reads and writes go on, and the growth is paid for.
    client.write("m", 0, b"meanwhile")
    assert client.read("m", 0, 9) == b"meanwhile"
    assert committed(client) - before == 8 * PAGE
    call.cancel()
    assert decider.hear("withdrawal").question_id == asked.question_id
    decider.answer(asked.question_id, "")
    end = time.monotonic() + BOUND
    while committed(client) != before:
        assert time.monotonic() < end, "the charge never came back"
    assert client.get("m").size_pages == 1
    decider.end()
    stub.DeleteGrowHook(pb.DeleteGrowHookRequest(hook_id="slow"))
    client.delete("m")


CLAIMS = [
    a_hook_is_made_seen_and_deleted,
    a_decider_vetoes_growth_beyond_a_size,
    a_decider_that_says_nothing_is_a_timeout,
    a_caller_that_goes_takes_its_question_with_it,
]


def main():
    client = Client(sys.argv[1])
    stub = rpc.HookServiceStub(client.channel)
    failed = 0
    for claim in CLAIMS:
        try:
            claim(client, stub)
            print(f"ok      {claim.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED  {claim.__name__}")
            traceback.print_exc()
    print(f"{len(CLAIMS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
