from __future__ import annotations

import threading

import pytest

from wasmimg_images.errors import RegistryError
from wasmimg_images.registry.parallel import WORKERS, each
from wasmimg_images.registry.progress import Progress, Watch, unwatched
from wasmimg_images.spec import Descriptor

PROGRESS = Progress(Descriptor.of(b"", "x"), "running", 0)


def test_results_keep_their_order() -> None:
    assert each(lambda n, _: n * n, range(20), unwatched) == [n * n for n in range(20)]
    assert each(lambda n, _: n, [], unwatched) == []


def test_several_run_at_once() -> None:
    together = threading.Barrier(WORKERS, timeout=10)
    each(lambda _, __: together.wait(), range(WORKERS), unwatched)


def test_a_failure_stops_the_others_at_their_next_report_and_is_what_is_raised() -> None:
    failed = threading.Event()
    rounds: list[int] = []

    def work(number: int, watch: Watch) -> None:
        if number == 0:
            failed.set()
            raise RegistryError("the first")
        assert failed.wait(10)
        for _ in range(10_000_000):
            watch(PROGRESS)
        rounds.append(number)

    with pytest.raises(RegistryError, match="the first"):
        each(work, range(8), unwatched)
    assert rounds == []


def test_one_item_needs_no_thread() -> None:
    assert each(lambda _, __: threading.current_thread(), [1], unwatched) == [
        threading.main_thread()
    ]
