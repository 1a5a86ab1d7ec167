"""The client of linmemd for asyncio: the names of `linmem`, awaited.

Owns: what is public of the asyncio half. Law: whatever the blocking half can do is here under the same
name; errors, operations and events are the same classes.
"""

from linmem.aio.client import Client, connect
from linmem.aio.decider import Decider
from linmem.aio.events import Events
from linmem.aio.hooks import Answers, Hook
from linmem.aio.memory import Memory
from linmem.aio.resources import View
from linmem.aio.session import Asked, Attached, Session
from linmem.aio.transfer import Uploaded

__all__ = [
    "Answers",
    "Asked",
    "Attached",
    "Client",
    "Decider",
    "Events",
    "Hook",
    "Memory",
    "Session",
    "Uploaded",
    "View",
    "connect",
]
