from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.wasi import tables_closed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    with tables_closed():
        yield
