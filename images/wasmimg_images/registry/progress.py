"""What a transfer tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from wasmimg_images.spec import Descriptor

    State = Literal["running", "done", "exists", "mounted"]


class Progress(NamedTuple):
    """How far one blob or manifest is: `done` of `descriptor.size` bytes."""

    descriptor: Descriptor
    state: State
    done: int


#: Called from several threads, never from two at once for the same blob.
Watch = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Watch nothing."""
    del progress
