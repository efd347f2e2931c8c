from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.flags import Flags
from wasmimg_shim.start_request import StartRequest

bytes_but_nul = st.binary(min_size=1, max_size=20).map(lambda data: data.replace(b"\0", b"."))
names = bytes_but_nul.map(lambda data: data.replace(b"=", b"_"))


@given(st.text(), st.binary(), st.dictionaries(names, bytes_but_nul), st.booleans())
def test_a_request_comes_back(
    text: str, stdin: bytes, environment: dict[bytes, bytes], debug: bool
) -> None:
    flags = Flags()
    flags.id, flags.namespace, flags.address, flags.debug = text, text[::-1], text, debug
    sent = StartRequest.of("shim", flags, stdin, environment)
    assert vars(StartRequest.decode(sent.encode())) == vars(sent)
