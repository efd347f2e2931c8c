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


@given(
    st.builds(Capabilities, SETS, SETS, SETS, SETS, SETS),
    st.integers(0, EVERYTHING),
    st.sampled_from([0, 1000]),
)
def test_the_kernel_takes_every_plan(capabilities: Capabilities, has: int, uid: int) -> None:
    sets = plan(capabilities, has, uid)
    assert not sets.effective & ~sets.permitted
    assert not sets.permitted & ~has
    assert not sets.ambient & ~(sets.permitted & sets.inheritable)
    assert not sets.permitted & ~mask(capabilities.permitted)


def test_who_is_not_root_has_what_execve_would_leave() -> None:
    given = frozenset({"CAP_CHOWN", "CAP_DAC_OVERRIDE"})
    docker = Capabilities(bounding=given, effective=given, permitted=given)
    assert plan(docker, EVERYTHING, 0).effective == mask(given)
    assert plan(docker, EVERYTHING, 1000)[:4] == (mask(given), 0, 0, 0)
    ambient = docker._replace(ambient=frozenset({"CAP_CHOWN"}), inheritable=given)
    assert plan(ambient, EVERYTHING, 1000).effective == 1
