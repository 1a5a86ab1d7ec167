"""Where a daemon is, and what a channel to it is made of.

Owns: the reading of an endpoint, and the options of a channel. Law: a form that cannot work is refused
here; without credentials only what is named so goes in the clear. Opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

DEFAULT_ENDPOINT = "http://127.0.0.1:7420"
"""The endpoint of a daemon that was not configured otherwise."""
DEFAULT_PORT = 7420
AUTHORIZATION_METADATA = "authorization"
"""The metadata key of a bearer token."""
TENANT_METADATA = "linmem-tenant"
"""The metadata key that names a tenant."""

#: Messages are bounded by the daemon's own limits, which a configuration may raise; repeats are decided
#: by the failure's retry word, which gRPC cannot read.
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True)
class Endpoint:
    """A daemon's address, as gRPC names it, and how it is spoken to."""

    target: str
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, Any], ...]


def endpoint(
    text: str,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
) -> Endpoint:
    """Reads `http://HOST:PORT`, `https://HOST:PORT`, `unix:///PATH`, or any other target of gRPC's."""
    merged = tuple({**dict(OPTIONS), **dict(options)}.items())
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"endpoint {text!r}: expected unix:///ABSOLUTE/PATH")
        # A path is no name that an HTTP/2 authority may have.
        names = tuple({"grpc.default_authority": "localhost", **dict(merged)}.items())
        return Endpoint(f"unix:{path}", credentials, names)
    scheme, found, rest = text.partition("://")
    if not found:
        return Endpoint(text, credentials, merged)
    if scheme == "https":
        credentials = credentials or grpc.ssl_channel_credentials()
    elif scheme != "http":
        return Endpoint(text, credentials, merged)
    elif credentials is not None:
        raise ValueError(f"endpoint {text!r}: credentials need https://")
    authority = rest.removesuffix("/")
    if not authority or "/" in authority or "@" in authority:
        raise ValueError(f"endpoint {text!r}: expected {scheme}://HOST:PORT")
    has_port = ":" in authority.rpartition("]")[2]
    return Endpoint(authority if has_port else f"{authority}:{DEFAULT_PORT}", credentials, merged)


def tenant_metadata(tenant: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of every call for a tenant; absent: the one that the listener implies."""
    if tenant is None:
        return ()
    if not tenant or not all("!" <= letter <= "~" for letter in tenant):
        raise ValueError(f"tenant {tenant!r}: expected visible ASCII characters without spaces")
    return ((TENANT_METADATA, tenant),)


def token_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of every call that shows a bearer token. The token is in no message of an error."""
    if token is None:
        return ()
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise ValueError("token: expected visible ASCII characters without spaces")
    return ((AUTHORIZATION_METADATA, f"Bearer {token}"),)
