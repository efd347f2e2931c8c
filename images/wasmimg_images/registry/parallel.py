"""Several transfers at once: the first failure stops the others and is what the caller sees."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from wasmimg_images.errors import WasmimgError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmimg_images.registry.progress import Progress, Watch

WORKERS: Final = 4
T = TypeVar("T")
R = TypeVar("R")


class _Stopped(WasmimgError):
    """Another transfer failed, or the user interrupted."""


def each(work: Callable[[T, Watch], R], items: Sequence[T], watch: Watch) -> list[R]:
    """Run `work` for every item in a few threads; results in the items' order.

    What fails or is interrupted stops the rest at their next piece of data: `watch` raises in them.
    """
    if len(items) <= 1:
        return [work(item, watch) for item in items]
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    stop = threading.Event()

    def watched(progress: Progress) -> None:
        if stop.is_set():
            raise _Stopped("stopped")
        watch(progress)

    with ThreadPoolExecutor(min(WORKERS, len(items)), "transfer") as pool:
        futures = [pool.submit(work, item, watched) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set() if any(not future.done() for future in futures) else None
            pool.shutdown(wait=True, cancel_futures=True)
    failures = [
        error for future in futures if not future.cancelled() and (error := future.exception())
    ]
    for error in sorted(failures, key=lambda error: isinstance(error, _Stopped)):
        raise error
    return [future.result() for future in futures]
