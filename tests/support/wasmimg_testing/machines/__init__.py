"""Machines with the engines that people have, each a Debian release in namespaces of its own.

    with docker_host(FORKY) as host:            # Docker 28.5 on containerd 2.1; TRIXIE: 26.1 on 1.7
        host.load(archive)                      # an archive of images, the fixture `archive`
        done = host.run("--rm", "test/hello")   # docker run --runtime ... --platform wasi/wasm ...
        assert done.code == 0 and done.out == "hello\\n"
        host.machine.run("sh", "-c", "...")     # any command in the machine -> Done(code, out, err)
        host.machine.path("/etc/docker")        # a machine's path, as the host that runs tests sees it
        host.restart()                          # the daemon, with a changed daemon.json
    with containerd_host(BOOKWORM) as host:     # containerd 1.6; TRIXIE: 1.7, FORKY: 2.1
        host.ctr("run", "--rm", "--runtime", RUNTIME, "docker.io/test/hello:latest", "id")

The first use of a release makes its root (a minute, kept in WASMIMG_CACHE/machines by the recipe's hash);
a host is then up in two seconds. wasmimg is installed in it as tests import it, in a virtual environment of
the machine's own Python: `/opt/wasmimg/bin/wasmimg`. `shim=False` leaves the shim unregistered.
Any number of hosts run side by side; each has all its processes, mounts, cgroups, interfaces, rules
and sockets to itself, and nothing of it is left when the block ends.
"""

from wasmimg_testing.machines.containerd import ContainerdHost, containerd_host
from wasmimg_testing.machines.docker import RUNTIME, DockerHost, docker_host
from wasmimg_testing.machines.machine import Done, Machine, machine
from wasmimg_testing.machines.release import BOOKWORM, FORKY, TRIXIE, Release

__all__ = (
    "BOOKWORM",
    "FORKY",
    "RUNTIME",
    "TRIXIE",
    "ContainerdHost",
    "DockerHost",
    "Done",
    "Machine",
    "Release",
    "containerd_host",
    "docker_host",
    "machine",
)
