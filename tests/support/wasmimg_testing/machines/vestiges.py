"""What containers leave in a virtual machine, as its own programs list it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from wasmimg_testing.machines.virtual import VirtualMachine

#: one command, since each takes a while: a line for each thing, its kind before it
_LIST = r"""
cd /proc
for pid in [0-9]*; do
  words=$(tr '\0\n' '  ' 2> /dev/null < $pid/cmdline) || continue
  case $words in "sh -c "*) ;; *shim*|*wasmimg*|runc*) echo "process $pid $words";; esac
done
awk '$5 ~ /docker|containerd|netns/ {print "mount " $5}' /proc/self/mountinfo
find /sys/fs/cgroup -type d -name '*docker*' -o -type d -name '*ours*' | sed 's/^/cgroup /'
systemctl list-units --all --plain --no-legend --type=scope | sed 's/ .*//; s/^/unit /'
find /run -type p -o -path '/run/containerd/s/*' | sed 's/^/socket /'
ip -brief link | sed 's/[@ ].*//; s/^/link /'
"""


def of(machine: VirtualMachine) -> frozenset[str]:
    """List what is there now."""
    return frozenset(machine.run("sh", "-c", _LIST).well().splitlines())


def vanish(machine: VirtualMachine, before: frozenset[str], seconds: float = 60) -> None:
    """Wait until there is nothing more than before; AssertionError names what stays."""
    left: frozenset[str] = frozenset()

    def nothing() -> bool:
        nonlocal left
        left = of(machine) - before
        return not left

    try:
        until(nothing, "nothing is left", seconds)
    except AssertionError:
        raise AssertionError(f"left in the virtual machine: {sorted(left)}") from None
