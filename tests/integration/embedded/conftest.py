"""Real containers: a home, the images, and the check that nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.embedded import Machine, until

if TYPE_CHECKING:
    from wasmimg_images.home import Home


@pytest.fixture
def machine(home: Home) -> Iterator[Machine]:
    made = Machine(home)
    yield made
    made.clear()
    until(lambda: not made.leftovers(), f"a clean host; left: {made.leftovers()}")
