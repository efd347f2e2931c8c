"""Addresses that no endpoint has."""

from __future__ import annotations

import pytest

from wasmimg_images.registry.server import route
from wasmimg_images.registry.server.reply import Problem


@pytest.mark.parametrize("target", ["http://[x/v2/", "//[/v2/"])
def test_a_target_that_is_no_url_is_a_bad_request(target: str) -> None:
    with pytest.raises(Problem) as refused:
        route.parse(target)
    assert refused.value.reply().status == 400
