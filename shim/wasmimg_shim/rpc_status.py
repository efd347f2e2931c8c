"""Which code answers a call that failed: one table from errors to ttrpc's codes."""

from __future__ import annotations

from wasmimg_images import errors
from wasmimg_shim.protobuf import MalformedMessage
from wasmimg_shim.ttrpc.status import Code, RpcError


class TaskNotFound(errors.NotFound):
    """There is no such container or exec, or it has ended already."""


class AlreadyExists(errors.WasmimgError):
    """There is a container or exec of that id."""


class FailedPrecondition(errors.WasmimgError):
    """The container is not in the state that the call needs."""


class Unimplemented(errors.WasmimgError):
    """This shim does not offer the method, or not for this kind of container."""


#: The first row whose class the error is an instance of decides.
#: A missing file of a bundle is UNKNOWN: NOT_FOUND means "no such task" to containerd's clients.
TABLE: tuple[tuple[type[Exception], Code], ...] = (
    (TaskNotFound, Code.NOT_FOUND),
    (AlreadyExists, Code.ALREADY_EXISTS),
    (FailedPrecondition, Code.FAILED_PRECONDITION),
    (Unimplemented, Code.UNIMPLEMENTED),
    (errors.InvalidInput, Code.INVALID_ARGUMENT),
    (MalformedMessage, Code.INVALID_ARGUMENT),
    (errors.WasmimgError, Code.UNKNOWN),
    (OSError, Code.UNKNOWN),
)


def status_of(error: Exception) -> tuple[Code, str]:
    """Return the code and text for an error; INTERNAL for one that nobody foresaw."""
    if isinstance(error, RpcError):
        return Code(error.code), error.message
    for kind, code in TABLE:
        if isinstance(error, kind):
            return code, _text(error)
    return Code.INTERNAL, f"internal error: {type(error).__name__}: {error}"


def _text(error: Exception) -> str:
    """Say what went wrong; the system's words for errno are what callers tell errors apart by."""
    if isinstance(error, errors.WasmimgError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    if isinstance(error, OSError) and error.strerror:
        words = error.strerror.lower()
        return f"{error.filename}: {words}" if error.filename else words
    return str(error)
