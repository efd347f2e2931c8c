"""A plugin of pytest: prints which tests there are for which engine, a line of JSON each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wasmimg_testing.machines.features import ENGINES

if TYPE_CHECKING:
    import pytest

#: marker of a test: the engines for which it shows how they refuse
REFUSED_BY = "refused_by"


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in session.items:
        name, _, rest = item.name.partition("[")
        marker = item.get_closest_marker(REFUSED_BY)
        for engine in ENGINES:
            if engine in rest:
                full = f"{item.path.stem.removeprefix('test_')}::{name.removeprefix('test_')}"
                print(json.dumps([full, engine, marker is not None and engine in marker.args]))
