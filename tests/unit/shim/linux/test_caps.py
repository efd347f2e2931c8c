from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.linux.caps import NAMES, available, mask, plan
from wasmimg_shim.spec import Capabilities

EVERYTHING = (1 << len(NAMES)) - 1
SETS = st.frozensets(st.sampled_from(NAMES))


def test_names_have_the_kernels_numbers() -> None:
    assert mask(frozenset({"CAP_CHOWN"})) == 1
    assert mask(frozenset({"CAP_SYS_ADMIN"})) == 1 << 21
    assert mask(frozenset({"CAP_CHECKPOINT_RESTORE"})) == 1 << 40


def test_unknown_names_are_left_out() -> None:
    assert mask(frozenset({"CAP_TOMORROW", "CAP_CHOWN"})) == 1


def test_the_permitted_set_is_read_from_status() -> None:
    assert available("Name:\tx\nCapInh:\t00\nCapPrm:\t000001fffeffffff\n") == 0x1FFFEFFFFFF
    assert available("Name:\tx\n") == 0


@given(st.builds(Capabilities, SETS, SETS, SETS, SETS, SETS), st.integers(0, EVERYTHING))
def test_the_kernel_takes_every_plan(capabilities: Capabilities, has: int) -> None:
    sets = plan(capabilities, has)
    assert not sets.effective & ~sets.permitted
    assert not sets.permitted & ~has
    assert not sets.ambient & ~(sets.permitted & sets.inheritable)
    assert not sets.permitted & ~mask(capabilities.permitted)
