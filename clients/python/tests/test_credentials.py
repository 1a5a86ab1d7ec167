"""Claims about credentials: bearer tokens, certificates, and what is told to who has none.

Law: a real daemon over real TLS, with an authority made for the test.
"""

import base64
import hashlib

import grpc
import pytest
import trustme
from daemon import Daemon

import linmem
from linmem.reasons import CredentialsMissing, CredentialsRefused, RoleMissing, TenantMismatch


def token(number):
    """A token as `linmemctl token new` makes them, of bits that are not random."""
    return "lmt_" + base64.urlsafe_b64encode(bytes([number]) * 32).decode().rstrip("=")


def identity(name, *roles, credential):
    listed = ", ".join(f'"{role}"' for role in roles)
    return f"""
[[identity]]
name = "{name}"
tenant = "blue"
roles = [{listed}]
{credential}
"""


def hashed(number):
    return f'token_sha256 = "{hashlib.sha256(token(number).encode()).hexdigest()}"'


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A daemon that speaks TLS and asks who calls, and the authority behind both."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    authority.cert_pem.write_to_path(folder / "ca.pem")
    config = f"""
[tls]
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
client_ca = "{folder}/ca.pem"

[[tenant]]
name = "blue"
""" + "".join([
        identity("writer", "writer", credential=hashed(1)),
        identity("reader", "reader", credential=hashed(2)),
        identity("machine", "writer", credential='san_dns = "machine.example"'),
    ])
    with Daemon(config=config) as running:
        yield running, authority


def connect(secured, certificate=None, **more):
    daemon, authority = secured
    shown = {}
    if certificate is not None:
        shown["private_key"] = certificate.private_key_pem.bytes()
        shown["certificate_chain"] = certificate.cert_chain_pems[0].bytes()
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), **shown)
    port = daemon.grpc.rpartition(":")[2]
    target = f"https://localhost:{port}"
    return linmem.connect(target, credentials=credentials, timeout=30, **more)


def test_a_token_is_shown_with_every_call_and_says_whose_memories_are_meant(secured):
    with connect(secured, token=token(1)) as client, client.create(pages=1) as memory:
        memory[0:5] = b"hello"
        assert client.server_info().tenant == "blue"
        assert memory[0:5] == b"hello"
        with connect(secured, token=token(2)) as reader:
            assert reader.memory(memory.id)[0:5] == b"hello"
            with pytest.raises(RoleMissing):
                reader.memory(memory.id)[0:1] = b"x"


def test_a_certificate_needs_no_token(secured):
    certificate = secured[1].issue_cert("machine.example")
    with connect(secured, certificate) as client:
        assert list(client.server_info().roles) == ["writer"]


def test_who_shows_nothing_or_what_is_not_mapped_is_told_so(secured):
    with connect(secured) as client, pytest.raises(CredentialsMissing):
        client.server_info()
    with connect(secured, token=token(9)) as client, pytest.raises(CredentialsRefused) as refusal:
        client.server_info()
    assert token(9) not in str(refusal.value)


def test_another_tenant_is_not_to_be_named_and_the_token_stays(secured):
    with connect(secured, token=token(1)) as client:
        assert client.with_tenant("blue").server_info().tenant == "blue"
        with pytest.raises(TenantMismatch):
            client.with_tenant("red").server_info()


def test_a_token_is_one_word():
    for wrong in ("", "two words", "line\nbreak"):
        with pytest.raises(ValueError, match="token"):
            linmem.connect(token=wrong)
