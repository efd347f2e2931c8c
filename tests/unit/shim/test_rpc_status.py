from __future__ import annotations

import pytest

from wasmimg_images import errors
from wasmimg_shim import rpc_status
from wasmimg_shim.protobuf import MalformedMessage
from wasmimg_shim.rpc_status import status_of
from wasmimg_shim.ttrpc.status import Code, RpcError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (rpc_status.TaskNotFound("no c1"), Code.NOT_FOUND, "no c1"),
        (rpc_status.AlreadyExists("c1 exists"), Code.ALREADY_EXISTS, "c1 exists"),
        (rpc_status.FailedPrecondition("runs"), Code.FAILED_PRECONDITION, "runs"),
        (rpc_status.Unimplemented("no exec"), Code.UNIMPLEMENTED, "no exec"),
        (errors.InvalidInput("bad", hint="good"), Code.INVALID_ARGUMENT, "bad (good)"),
        (MalformedMessage("a varint"), Code.INVALID_ARGUMENT, "a varint"),
        (errors.NotFound("config.json: no such file"), Code.UNKNOWN, "config.json: no such file"),
        (errors.CommandNotFound("exec: gone"), Code.UNKNOWN, "exec: gone"),
        (
            FileNotFoundError(2, "No such file or directory", "/x"),
            Code.UNKNOWN,
            "/x: no such file or directory",
        ),
        (PermissionError(13, "Permission denied", "/x"), Code.UNKNOWN, "/x: permission denied"),
        (BrokenPipeError(32, "Broken pipe"), Code.UNKNOWN, "broken pipe"),
        (RpcError(Code.UNAVAILABLE, "later"), Code.UNAVAILABLE, "later"),
        (ZeroDivisionError("oops"), Code.INTERNAL, "internal error: ZeroDivisionError: oops"),
    ],
)
def test_each_error_has_its_code(error: Exception, code: Code, text: str) -> None:
    assert status_of(error) == (code, text)


def test_no_row_hides_a_later_one() -> None:
    kinds = [kind for kind, _ in rpc_status.TABLE]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:index])
