"""An unconfigured Python client's claims against a real daemon, one after the other.

Owns: the run of `memories` and `beside`. Law: every claim is made, whatever becomes of those before it, and
nothing is left behind. Does not build anything: `run` does, and passes the stubs' folder on the path.
"""

import sys
import traceback

from linmem.v1 import memory_service_pb2 as pb

import beside
import memories
from stock import Client


def main():
    client = Client(sys.argv[1])
    passed = failed = 0
    for claim in memories.CLAIMS + beside.CLAIMS:
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
