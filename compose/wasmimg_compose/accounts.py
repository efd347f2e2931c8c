"""Who the container's process is: `user[:group]` looked up in the image's own files.

Source: the image specification's config.User; passwd(5), group(5). The files are read as the
container sees them, so that a link in an image can't show it the host's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import kernel
from wasmimg_compose.quantities import whole
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: No account file is larger; an image may hold any.
LARGEST: Final = 1 << 20
MAX_ID: Final = (1 << 32) - 2
PASSWD_FIELDS: Final = 6
GROUP_FIELDS: Final = 4


class Account(NamedTuple):
    """The numbers a process runs as, and the home directory that HOME shall name."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve(root: Path, user: str) -> Account:
    """Find an account by `user`, `user:group` or numbers; InvalidInput if the image has none.

    Numbers need no entry, so images without /etc/passwd can run as anybody.
    """
    name, _, group = user.partition(":")
    people = list(_entries(root, "/etc/passwd", PASSWD_FIELDS))
    groups = list(_entries(root, "/etc/group", GROUP_FIELDS))
    account = _person(people, name or "0", user)
    if group:
        return account._replace(gid=_group(groups, group, user))
    login = next((entry[0] for entry in people if entry[2] == str(account.uid)), None)
    member_of = tuple(
        gid
        for entry in groups
        if login in entry[3].split(",") and (gid := whole(entry[2])) is not None
    )
    return account._replace(groups=member_of)


def _person(people: list[list[str]], name: str, asked: str) -> Account:
    for entry in people:
        uid, gid = whole(entry[2]), whole(entry[3])
        if name in {entry[0], entry[2]} and uid is not None and gid is not None:
            return Account(uid, gid, (), entry[5] or "/")
    return Account(uid=_number(name, "user", asked))


def _group(groups: list[list[str]], name: str, asked: str) -> int:
    for entry in groups:
        gid = whole(entry[2])
        if name == entry[0] and gid is not None:
            return gid
    return _number(name, "group", asked)


def _number(name: str, what: str, asked: str) -> int:
    number = whole(name)
    if number is None:
        raise InvalidInput(f"user {asked!r}: the image has no {what} {name!r}")
    if number > MAX_ID:
        raise InvalidInput(f"user {asked!r}: {name} is too large")
    return number


def _entries(root: Path, path: str, columns: int) -> Iterator[list[str]]:
    try:
        handle = kernel.open_below(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return
    with os.fdopen(handle, "rb") as file:
        try:
            text = file.read(LARGEST).decode(errors="replace")
        except OSError:
            return
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= columns and not line.startswith("#"):
            yield fields
