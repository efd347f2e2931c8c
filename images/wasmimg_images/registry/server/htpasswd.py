"""Users of a registry, from an htpasswd file (Apache's htpasswd(1)): bcrypt, SHA-crypt, `{SHA}`.

The hashes are libcrypt's own; it is loaded when the first password is checked.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import ctypes.util
import hashlib
import hmac
import threading
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

#: sizeof(struct crypt_data), crypt.h of libxcrypt.
_CRYPT_DATA: Final = 32768
_SHA: Final = "{SHA}"
_NOBODY: Final = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"


class Htpasswd:
    """The users of one file, read once."""

    def __init__(self, path: Path) -> None:
        self._users = _parse(path)
        self._known: dict[str, bytes] = {}
        self._guard = threading.Lock()

    def allows(self, header: str | None) -> bool:
        """Whether an Authorization header holds a user's right password.

        A password that was right is remembered by its sha256, since bcrypt is slow on purpose.
        """
        scheme, _, encoded = (header or "").partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        user, colon, password = pair.partition(":")
        if scheme.lower() != "basic" or not colon or "\0" in password:
            return False
        digest = hashlib.sha256(pair.encode()).digest()
        with self._guard:
            known = self._known.get(user)
            if known is not None and hmac.compare_digest(known, digest):
                return True
            if not _matches(password, self._users.get(user, _NOBODY)):
                return False
            if user in self._users:
                self._known[user] = digest
        return user in self._users


def hashed(password: str, prefix: str = "$2y$05$") -> str:
    """Hash a password for such a file with a fresh salt; `prefix` names method and cost."""
    crypt = _libcrypt()
    crypt.crypt_gensalt_rn.restype = ctypes.c_char_p
    output = ctypes.create_string_buffer(192)
    method, _, cost = prefix.rstrip("$").rpartition("$")
    salt = crypt.crypt_gensalt_rn(
        f"{method}$".encode(), ctypes.c_ulong(int(cost)), None, 0, output, len(output)
    )
    if not salt:
        raise HostError(f"libcrypt does not know the method {prefix!r}")
    return _crypt(password, salt.decode())


def _parse(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8") from error
    users: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, secret = line.strip().partition(":")
        if not colon or not user or not secret.startswith(("$2", "$5$", "$6$", "$y$", _SHA)):
            raise InvalidInput(
                f"{path}:{number}: expected user:hash",
                hint="htpasswd -B makes one (bcrypt); MD5 and plain passwords are not taken",
            )
        users[user] = secret
    return users


def _matches(password: str, secret: str) -> bool:
    if secret.startswith(_SHA):
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
        return hmac.compare_digest(base64.b64encode(digest).decode(), secret.removeprefix(_SHA))
    return hmac.compare_digest(_crypt(password, secret).encode(), secret.encode())


def _crypt(password: str, setting: str) -> str:
    crypt = _libcrypt()
    crypt.crypt_rn.restype = ctypes.c_char_p
    data = ctypes.create_string_buffer(_CRYPT_DATA)
    found: bytes | None = crypt.crypt_rn(password.encode(), setting.encode(), data, _CRYPT_DATA)
    return found.decode() if found else "*"


def _libcrypt() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise HostError("libcrypt is not here", hint="apt install libcrypt1") from error
