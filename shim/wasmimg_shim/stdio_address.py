"""What a Create or Exec request says of one standard stream: a path, or a URL as containerd has them.

Source: containerd, core/runtime/v2/README.md "Logging"; the query of a `binary://` URL becomes the
logger's arguments, name and value of each pair in turn.
"""

from __future__ import annotations

import enum
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from wasmimg_images.errors import InvalidInput

_NULL = "/dev/null"


class Scheme(enum.Enum):
    """What is at an address."""

    #: a FIFO or a file, which is made where there is none
    PATH = "fifo"
    #: a file to append to
    FILE = "file"
    #: a program that says by closing a pipe that it is ready
    BINARY = "binary"
    #: a program that says so by a byte in that pipe
    BINARY_V2 = "binary-v2"


class Address(NamedTuple):
    """Where a stream comes from or goes to; `arguments` are a logger's."""

    scheme: Scheme = Scheme.PATH
    path: str = _NULL
    arguments: tuple[str, ...] = ()

    @property
    def is_logger(self) -> bool:
        """Whether a program takes the stream."""
        return self.scheme in {Scheme.BINARY, Scheme.BINARY_V2}


def parse(text: str) -> Address:
    """Read an address, empty for none; raises InvalidInput.

    What begins with a slash, or has no scheme, is a path as it is: only in a URL does `%20` mean a
    space.
    """
    if not text:
        return Address()
    name, colon, _ = text.partition(":")
    if "/" in name or not colon:
        return Address(path=text)
    try:
        scheme = Scheme(name.lower())
        url = urlsplit(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text}: not an address of a standard stream",
            hint="there are paths, fifo://, file://, binary:// and binary-v2://",
        ) from error
    path = unquote(url.path)
    if url.netloc not in {"", "localhost"} or not path.startswith("/") or "\0" in path:
        raise InvalidInput(
            f"{text}: the path has to be absolute", hint=f"write {name}:///, with three slashes"
        )
    pairs = parse_qsl(url.query, keep_blank_values=True)
    # As in containerd, the first value of a name is the one that counts.
    named = dict(reversed(pairs))
    words = tuple(word for key in dict(pairs) for word in (key, named[key]))
    return Address(scheme, path, words)
