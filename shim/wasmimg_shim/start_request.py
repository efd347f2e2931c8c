"""What the start verb tells the zygote: one message with the fields below, in protobuf's format.

Not a NamedTuple of `messages`: the start verb imports this module, and it has to import little.
"""

from __future__ import annotations

from wasmimg_shim import protobuf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.flags import Flags

_NAME, _ID, _NAMESPACE, _ADDRESS, _PUBLISH, _DEBUG, _STDIN, _ENVIRONMENT = range(1, 9)


class StartRequest:
    """The caller's arguments and environment, and what was on its standard input."""

    def __init__(self) -> None:
        self.name = ""
        self.id = ""
        self.namespace = ""
        self.address = ""
        self.publish_binary = ""
        self.debug = False
        self.stdin = b""
        self.environment: dict[bytes, bytes] = {}

    @classmethod
    def of(
        cls, name: str, flags: Flags, stdin: bytes, environment: dict[bytes, bytes]
    ) -> StartRequest:
        """Put together what a start verb was given; `name` is the file name of its program."""
        request = cls()
        request.name = name
        request.id = flags.id
        request.namespace = flags.namespace
        request.address = flags.address
        request.publish_binary = flags.publish_binary
        request.debug = flags.debug
        request.stdin = stdin
        request.environment = environment
        return request

    def encode(self) -> bytes:
        """Return the bytes to send."""
        fields: list[tuple[int, str | bytes | int]] = [
            (_NAME, self.name),
            (_ID, self.id),
            (_NAMESPACE, self.namespace),
            (_ADDRESS, self.address),
            (_PUBLISH, self.publish_binary),
            (_DEBUG, int(self.debug)),
            (_STDIN, self.stdin),
            *((_ENVIRONMENT, b"=".join(pair)) for pair in self.environment.items()),
        ]
        return b"".join(protobuf.encode_field(number, value) for number, value in fields)

    @classmethod
    def decode(cls, data: bytes) -> StartRequest:
        """Read the bytes of encode(); raises protobuf.MalformedMessage."""
        request = cls()
        texts = {
            _NAME: "name",
            _ID: "id",
            _NAMESPACE: "namespace",
            _ADDRESS: "address",
            _PUBLISH: "publish_binary",
        }
        for number, _, value in protobuf.decode_fields(data):
            if isinstance(value, int):
                request.debug = bool(value)
            elif number in texts:
                setattr(request, texts[number], value.decode("utf-8", "surrogateescape"))
            elif number == _STDIN:
                request.stdin = value
            elif number == _ENVIRONMENT:
                key, _, text = value.partition(b"=")
                request.environment[key] = text
        return request
