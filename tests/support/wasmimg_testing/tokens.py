"""A token server as distribution's specification has it: JWTs for users, anonymous and identity tokens."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

IDENTITY_TOKEN = "identity-of-alice"


class Asked(NamedTuple):
    """One request for a token."""

    method: str
    user: str | None
    scopes: tuple[str, ...]


class TokenServer:
    """Gives users what they ask for, and anonymous callers `pull` alone."""

    service, issuer = "registry.test", "issuer.test"

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = users
        self.asked: list[Asked] = []
        self.life = 300
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = self._self_signed()
        self._server = _Server(self)
        self.realm = f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, user: str | None, scopes: tuple[str, ...]) -> str:
        """Sign what a user may do of what was asked."""
        access: list[dict[str, object]] = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            wanted = actions.split(",")
            granted = wanted if user else [action for action in wanted if action == "pull"]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": user or "",
            "aud": self.service,
            "exp": now + self.life,
            "nbf": now - 10,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": access,
        }
        der = x509.load_pem_x509_certificate(self.certificate).public_bytes(
            serialization.Encoding.DER
        )
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_text(signature)}"

    def _self_signed(self) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: TokenServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def tokens(self) -> TokenServer:
        assert isinstance(self.server, _Server)
        return self.server.owner

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        user = self._user()
        self._answer(user, tuple(query.get("scope", ())), refused=user == "")

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        form = parse_qs(self.rfile.read(length).decode())
        known = form.get("refresh_token") == [IDENTITY_TOKEN]
        scopes = tuple(form.get("scope", [""])[0].split())
        self._answer("alice", scopes, refused=not known)

    def _user(self) -> str | None:
        header = self.headers.get("authorization")
        if header is None:
            return None
        user, _, password = base64.b64decode(header.split()[1]).decode().partition(":")
        return user if self.tokens.users.get(user) == password else ""

    def _answer(self, user: str | None, scopes: tuple[str, ...], *, refused: bool) -> None:
        self.tokens.asked.append(Asked(self.command, user, scopes))
        document: dict[str, object] = {"token": self.tokens.token(user, scopes)}
        document["expires_in"] = self.tokens.life
        if refused:
            document = {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}
        body = json.dumps(document).encode()
        self.send_response(401 if refused else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(document: Mapping[str, object]) -> str:
    return _text(json.dumps(document).encode())
