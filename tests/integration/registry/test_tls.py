"""TLS: trusted by SSL_CERT_FILE or certs.d, refused otherwise; mix-ups are named."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wasmimg_images.errors import RegistryError
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.registry.client import Client
from wasmimg_images.registry.credentials import Credentials
from wasmimg_images.registry.failure import Unreachable
from wasmimg_images.registry.session import Effects
from wasmimg_images.registry.transport import HttpTransport
from wasmimg_testing import registries
from wasmimg_testing.samples import add_index

pytestmark = pytest.mark.skipif(registries.DOCKER_REGISTRY is None, reason="needs docker-registry")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def host(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tls = {"certificate": str(certificate), "key": str(certificate.with_name("key.pem"))}
    folder = tmp_path_factory.mktemp("registry")
    with registries.docker_registry(folder, {}, {"tls": tls}) as host:
        yield host


def client(transport: HttpTransport, *, plain_http: bool | None) -> Client:
    never = Effects(transport, sleep=lambda _: pytest.fail("a hopeless failure was tried again"))
    return Client(Credentials([], {}), never, plain_http=plain_http)


def test_an_authority_named_by_the_environment(
    host: str, certificate: Path, store: Store, tmp_path: Path
) -> None:
    name, root = Reference.parse(f"{host}/a:1"), add_index(store)
    with client(HttpTransport({"SSL_CERT_FILE": str(certificate)}), plain_http=False) as trusting:
        trusting.push(store, name, root)
        assert trusting.pull(Store(tmp_path / "other"), name) == root


def test_an_authority_in_the_host_s_folder(
    host: str, certificate: Path, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "certs.d" / host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(certificate.read_bytes())
    with client(HttpTransport({}, [tmp_path / "certs.d"]), plain_http=False) as trusting:
        trusting.push(store, Reference.parse(f"{host}/b:1"), add_index(store))


def test_an_unknown_authority_is_refused(host: str, store: Store) -> None:
    with (
        client(HttpTransport({}), plain_http=False) as stranger,
        pytest.raises(Unreachable, match="certificate not trusted") as caught,
    ):
        stranger.push(store, Reference.parse(f"{host}/a:1"), add_index(store))
    assert "SSL_CERT_FILE" in (caught.value.hint or "")


def test_plain_http_to_a_tls_port(host: str, store: Store) -> None:
    with (
        client(HttpTransport({}), plain_http=None) as plain,
        pytest.raises(RegistryError) as caught,
    ):
        plain.push(store, Reference.parse(f"{host}/a:1"), add_index(store))
    assert "--tls" in (caught.value.hint or "")


def test_tls_to_a_plain_port(tmp_path: Path, store: Store) -> None:
    with (
        registries.ours(tmp_path / "plain") as registry,
        client(HttpTransport({}), plain_http=False) as strict,
        pytest.raises(Unreachable, match="does not speak TLS") as caught,
    ):
        strict.push(store, Reference.parse(f"{registry.host}/a:1"), add_index(store))
    assert "--plain-http" in (caught.value.hint or "")
