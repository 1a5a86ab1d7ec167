"""The daemon's reasons, an exception each.

Owns: the closed list, and the way from a word to its class. Law: as many as the contract has; a reason
is never renamed. Does not read details: `errors` does.
"""

from __future__ import annotations

from linmem.errors import Refused


class OutOfBounds(Refused, IndexError):
    """Bytes that do not lie within the memory, or the segment."""


class SequenceCompacted(Refused):
    """Events to resume at that are gone, or of another run of the daemon."""


class MaximumReached(Refused):
    """A growth past the memory's maximum."""


class CompareFailed(Refused):
    """A range did not hold what its group compares it with."""


class UidMismatch(Refused):
    """Another memory has that id now."""


class ExpectedShared(Refused):
    """A wait on a memory that is not shared."""


class GrowDenied(Refused):
    """A hook or a policy denied the growth: metadata `cause` and `hook_id`."""


class CapabilityUnavailable(Refused):
    """This host or build cannot do what was asked."""


class Quarantined(Refused):
    """The memory answers no operation any more."""


class Purged(Refused):
    """Volatile bytes went."""


class Protected(Refused):
    """What was asked is protected."""


class SizeMismatch(Refused):
    """The memory has another size than expected."""


class EtagMismatch(Refused):
    """The memory has another etag than expected."""


class QuotaExceeded(Refused):
    """Past a quota: metadata `limit_name`, `limit`, `used`."""


class HostExhausted(Refused):
    """The host has no more."""


class HugePagesExhausted(Refused):
    """The host has no more huge pages."""


class TooManyWaiters(Refused):
    """Too many wait already."""


class TooManySessions(Refused):
    """Too many sessions are open already."""


class RateLimited(Refused):
    """Too much in too short a time."""


class Stalled(Refused):
    """This side took no bytes for too long."""


class Overloaded(Refused):
    """Too much is under way."""


class Draining(Refused):
    """The daemon is about to end."""


class Starting(Refused):
    """The daemon is not ready yet."""


class DeadlinePassed(Refused):
    """The deadline passed before anything happened."""


class InvalidSpec(Refused, ValueError):
    """A spec that cannot be."""


class InvalidField(Refused, ValueError):
    """A field that cannot be."""


class Unaligned(Refused, ValueError):
    """An address that is no multiple of the width."""


class TooLarge(Refused, ValueError):
    """More than one call may carry."""


class OperationUnknown(Refused):
    """An operation that the daemon does not know."""


class PageTokenInvalid(Refused):
    """A page token that is not the daemon's, or of another list."""


class RequestIdReused(Refused):
    """A request id that stood for another request."""


class ChecksumMismatch(Refused):
    """The daemon received other bytes than were sent."""


class SessionProtocol(Refused):
    """A message that a session cannot have here."""


class MemoryNotFound(Refused, LookupError):
    """No such memory."""


class SegmentNotFound(Refused, LookupError):
    """No such segment."""


class SetNotFound(Refused, LookupError):
    """No such set."""


class ViewNotFound(Refused, LookupError):
    """No such view."""


class PartitionNotFound(Refused, LookupError):
    """No such partition."""


class HookNotFound(Refused, LookupError):
    """No such hook."""


class ShareNotFound(Refused, LookupError):
    """No such share."""


class MemoryExists(Refused):
    """A memory of that id is there."""


class SegmentExists(Refused):
    """A segment of that id is there."""


class SetExists(Refused):
    """A set of that id is there."""


class ViewExists(Refused):
    """A view of that id is there."""


class PartitionExists(Refused):
    """A partition of that id is there."""


class HookExists(Refused):
    """A hook of that id is there."""


class ShareExists(Refused):
    """A share of that id is there."""


class RoleMissing(Refused):
    """The caller has not the right to it."""


class TenantMismatch(Refused):
    """The caller may not act for that tenant."""


class GrantReadOnly(Refused):
    """What was granted is reading only."""


class GrantRevoked(Refused):
    """What was granted was taken back."""


class CredentialsMissing(Refused):
    """Credentials are needed."""


class CredentialsRefused(Refused):
    """The credentials do not hold."""


class CredentialsExpired(Refused):
    """The credentials held until now."""


class Corrupted(Refused):
    """Bytes were not what was stored; the memory is quarantined."""


class HardwareFault(Refused):
    """The host lost bytes; the memory is quarantined."""


class InternalFault(Refused):
    """The daemon's own fault; the memory is quarantined."""


REASONS: dict[str, type[Refused]] = {kind.REASON: kind for kind in Refused.__subclasses__()}
"""The class of each reason."""

__all__ = [
    "REASONS",
    "CapabilityUnavailable",
    "ChecksumMismatch",
    "CompareFailed",
    "Corrupted",
    "CredentialsExpired",
    "CredentialsMissing",
    "CredentialsRefused",
    "DeadlinePassed",
    "Draining",
    "EtagMismatch",
    "ExpectedShared",
    "GrantReadOnly",
    "GrantRevoked",
    "GrowDenied",
    "HardwareFault",
    "HookExists",
    "HookNotFound",
    "HostExhausted",
    "HugePagesExhausted",
    "InternalFault",
    "InvalidField",
    "InvalidSpec",
    "MaximumReached",
    "MemoryExists",
    "MemoryNotFound",
    "OperationUnknown",
    "OutOfBounds",
    "Overloaded",
    "PageTokenInvalid",
    "PartitionExists",
    "PartitionNotFound",
    "Protected",
    "Purged",
    "Quarantined",
    "QuotaExceeded",
    "RateLimited",
    "RequestIdReused",
    "RoleMissing",
    "SegmentExists",
    "SegmentNotFound",
    "SequenceCompacted",
    "SessionProtocol",
    "SetExists",
    "SetNotFound",
    "ShareExists",
    "ShareNotFound",
    "SizeMismatch",
    "Stalled",
    "Starting",
    "TenantMismatch",
    "TooLarge",
    "TooManySessions",
    "TooManyWaiters",
    "UidMismatch",
    "Unaligned",
    "ViewExists",
    "ViewNotFound",
]
