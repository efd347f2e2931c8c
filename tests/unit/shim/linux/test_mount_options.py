from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import libc
from wasmimg_shim.linux.mount_options import (
    ATTRIBUTES,
    MEANINGLESS,
    PROPAGATION,
    Attributes,
    MountOptions,
    parse,
)

ATIME = libc.MOUNT_ATTR__ATIME


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), MountOptions()),
        (("bind",), MountOptions(bind=True)),
        (("rbind",), MountOptions(bind=True, recursive=True)),
        (("ro",), MountOptions(top=Attributes(libc.MOUNT_ATTR_RDONLY))),
        (("ro", "rw"), MountOptions(top=Attributes(0, libc.MOUNT_ATTR_RDONLY))),
        (("rw", "ro"), MountOptions(top=Attributes(libc.MOUNT_ATTR_RDONLY))),
        (("rro",), MountOptions(below=Attributes(libc.MOUNT_ATTR_RDONLY))),
        (("noatime",), MountOptions(top=Attributes(libc.MOUNT_ATTR_NOATIME, ATIME))),
        (
            ("noatime", "strictatime"),
            MountOptions(top=Attributes(libc.MOUNT_ATTR_STRICTATIME, ATIME)),
        ),
        (("rprivate",), MountOptions(below=Attributes(propagation=libc.MS_PRIVATE))),
        (("slave",), MountOptions(top=Attributes(propagation=libc.MS_SLAVE))),
        (("mode=755", "size=1m"), MountOptions(data=(("mode", "755"), ("size", "1m")))),
        (("sync", "newinstance"), MountOptions(data=(("sync", None), ("newinstance", None)))),
        (("lowerdir=/a=b:/c",), MountOptions(data=(("lowerdir", "/a=b:/c"),))),
        (tuple(MEANINGLESS), MountOptions()),
    ],
)
def test_words_of_mount(words: tuple[str, ...], options: MountOptions) -> None:
    assert parse(words) == options


@pytest.mark.parametrize("word", ["idmap", "ridmap", "tmpcopyup"])
def test_what_can_not_be_honoured_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        parse((word,))


@given(st.lists(st.sampled_from(sorted(ATTRIBUTES) + [f"r{word}" for word in ATTRIBUTES])))
def test_any_attributes_are_what_the_kernel_takes(words: list[str]) -> None:
    options = parse(tuple(words))
    for attributes in (options.top, options.below):
        plain = attributes.clear & ~ATIME
        # mount_setattr(2): nothing both set and cleared, access times cleared as a whole or not
        assert not attributes.set & plain
        assert attributes.clear & ATIME in {0, ATIME}
        if attributes.set & ATIME:
            assert attributes.clear & ATIME


@given(st.permutations(sorted(PROPAGATION)))
def test_the_last_propagation_wins(words: list[str]) -> None:
    assert parse(tuple(words)).top.propagation == PROPAGATION[words[-1]]
