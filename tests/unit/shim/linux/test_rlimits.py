from __future__ import annotations

import resource

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux.rlimits import plan
from wasmimg_shim.spec import Rlimit


@pytest.mark.parametrize("infinite", [-1, (1 << 64) - 1, 1 << 63])
def test_no_limit_has_several_spellings(infinite: int) -> None:
    limits = (Rlimit("RLIMIT_CORE", 0, infinite),)
    assert plan(limits) == (("RLIMIT_CORE", 0, resource.RLIM_INFINITY),)


def test_unknown_and_repeated_names_are_refused() -> None:
    with pytest.raises(InvalidInput, match="RLIMIT_TOAST"):
        plan((Rlimit("RLIMIT_TOAST", 0, 0),))
    with pytest.raises(InvalidInput, match="twice"):
        plan((Rlimit("RLIMIT_CORE", 0, 0), Rlimit("RLIMIT_CORE", 1, 1)))
