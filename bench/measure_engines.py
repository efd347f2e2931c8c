"""Starts under containerd and Docker: our images beside native static programs on runc.

Everything is as the engines have it by default: seccomp, capabilities, cgroup, masked paths.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from rows import Row
from stage import IMAGE, ROOT, SERVICE, image, wasmimg

from wasmimg_images.archive import oci
from wasmimg_images.image import host_platform
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, layer
from wasmimg_testing.machines import FORKY, RUNTIME, containerd_host, docker_host
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from wasmimg_testing.machines import Machine

ROUNDS: Final = 20
MOUNTS: Final = 700
WASM: Final = Platform("wasi", "wasm")
HELLO: Final = '#include <unistd.h>\nint main(void) { return write(1, "hello\\n", 6) != 6; }\n'
TIMER: Final = Path(__file__).with_name("timer.py")
PYTHON: Final = "/opt/wasmimg/bin/python"

Case = dict[str, object]


def measure() -> list[Row]:
    """Measure on containerd 2.1, then on Docker 28.5."""
    with tempfile.TemporaryDirectory() as folder:
        archives = _archives(Path(folder))
        with containerd_host(FORKY) as host:
            for archive in archives:
                host.load(archive)
            rows = [*_start_verb(host.machine), *_ctr(host.machine), *_mounts(host.machine)]
        with docker_host(FORKY) as docker:
            for archive in archives:
                docker.load(archive)
            rows += _docker(docker.machine)
    return rows


def _archives(folder: Path) -> list[Path]:
    """Make what the engines load: both programs, as Wasm and native."""
    store = Store(folder / "store")
    hello = folder / "hello"
    source = folder / "hello.c"
    source.write_text(HELLO)
    subprocess.run(["gcc", "-static", "-O2", "-o", hello, source], check=True)
    files = {
        ("hello", WASM): ("/hello.wasm", bytes(guest("hello"))),
        ("hello-native", host_platform()): ("/hello", hello.read_bytes()),
        ("demo-native", host_platform()): ("/demo", _static_service().read_bytes()),
    }
    for (name, platform), (path, content) in files.items():
        config = {"Entrypoint": [path]}
        add_image(store, f"bench/{name}", [layer({path[1:]: content})], config, platform)
    named = [Reference.parse(f"bench/{name}") for name, _ in files]
    programs = folder / "programs.tar"
    with programs.open("wb") as sink:
        oci.write_archive(store, [(store.resolve(each), (each,)) for each in named], sink)
    image()
    wasmimg("tag", IMAGE, "bench/demo")
    service = folder / "service.tar"
    wasmimg("save", "bench/demo", "-o", str(service))
    return [programs, service]


def _static_service() -> Path:
    """Build the service natively and static: tokio, opt-level 3, LTO, one thread."""
    target = "x86_64-unknown-linux-gnu"
    words = ["cargo", "build", "--quiet", "--profile", "native", "-p", IMAGE, "--target", target]
    build = ROOT / "build" / "cargo-static"
    settings = ["--config", 'build.rustflags=["-C", "target-feature=+crt-static"]']
    subprocess.run([*words, *settings, "--target-dir", build], cwd=SERVICE, check=True)
    return build / target / "native" / IMAGE


def _times(machine: Machine, cases: Mapping[str, Case], rounds: int = ROUNDS) -> dict[str, float]:
    """Time cases in turn, in the machine, and give each one's median in milliseconds."""
    plan = json.dumps({"rounds": rounds, "cases": cases}).encode()
    done = machine.run(PYTHON, "-c", TIMER.read_text(), stdin=plan, timeout=900)
    times: dict[str, list[float]] = json.loads(done.well())
    return {name: statistics.median(each) for name, each in times.items()}


def _ctr_run(name: str, *words: str, native: bool = False, options: tuple[str, ...] = ()) -> Case:
    runtime = () if native else ("--runtime", RUNTIME, "--platform", str(WASM))
    identity = f"{name}-{'native' if native else 'wasm'}-{{n}}"
    reference = f"docker.io/bench/{name}{'-native' if native else ''}:latest"
    run = ("ctr", "run", "--rm", "--seccomp", *runtime, *options, reference, identity, *words)
    return {"words": run}


def _ctr(machine: Machine) -> list[Row]:
    rows: list[Row] = []
    for name, words in (("hello", ()), ("demo", ("/demo", "--version"))):
        ours = ("/demo-microservice.wasm", "--version") if words else ()
        times = _times(
            machine,
            {"wasm": _ctr_run(name, *ours), "native": _ctr_run(name, *words, native=True)},
        )
        rows.append(_over_runc(f"start.ctr_run.{name}.over_runc", times, "<= 0.75"))
    times = _times(machine, {"wasm": _answering(False), "native": _answering(True)})
    rows.append(_over_runc("start.first_answer.over_runc", times, "<= 0.85"))
    return rows


def _answering(native: bool) -> Case:
    """The service on the host's network, until it answers."""
    port = 18081 if native else 18080
    case = _ctr_run("demo", native=native, options=("-d", "--net-host", "--env", f"PORT={port}"))
    words = [word for word in case["words"] if word != "--rm"]
    identity = words[-1]
    end = ("ctr", "task", "kill", "-s", "SIGKILL", identity)
    wait = ("sh", "-c", f"until ctr task rm {identity} 2>/dev/null; do :; done")
    remove = ("ctr", "container", "rm", identity)
    return {"words": words, "url": f"http://127.0.0.1:{port}/", "after": [end, wait, remove]}


def _start_verb(machine: Machine) -> list[Row]:
    """The start verb by itself: each one leaves a shim, which ends where nobody connects to it."""
    folder = machine.path("/tmp/bundle")
    folder.mkdir()
    (folder / "config.json").write_text('{"ociVersion": "1.0.2"}')
    words = ("containerd-shim-wasmimg-v1", "-namespace", "bench", "-id", "verb-{n}")
    address = ("-address", "/run/containerd/containerd.sock", "start")
    times = _times(machine, {"start": {"words": (*words, *address), "cwd": "/tmp/bundle"}})
    return [Row("shim.start_ms", "ms", "the start verb", ROUNDS, times["start"], target="<= 12")]


def _mounts(machine: Machine) -> list[Row]:
    """Hello, without and with many mounts on the host."""
    case = {"wasm": _ctr_run("hello"), "native": _ctr_run("hello", native=True)}
    few = _times(machine, case)
    with _many_mounts(machine):
        many = _times(machine, case)
    return [
        Row(
            f"start.{MOUNTS}_mounts.{name}extra_ms", "ms", who, ROUNDS, many[who] - few[who],
            target=target,
        )
        for who, name, target in (("wasm", "", "<= 10"), ("native", "runc_", ""))
    ]  # fmt: skip


@contextmanager
def _many_mounts(machine: Machine) -> Generator[None]:
    loop = f"for i in $(seq {MOUNTS}); do"
    make = f"{loop} mkdir -p /tmp/many/$i && mount --bind /tmp/one /tmp/many/$i; done"
    machine.run("sh", "-ec", f"mkdir /tmp/one; {make}").well()
    try:
        yield
    finally:
        machine.run(
            "sh", "-c", f"{loop} umount /tmp/many/$i; done; rm -r /tmp/many /tmp/one"
        ).well()


def _docker(machine: Machine) -> list[Row]:
    rows: list[Row] = []
    for network, target in (("none", "<= 0.70"), ("bridge", "<= 0.80")):
        run = ("docker", "run", "--rm", "--network", network)
        ours = (*run, "--runtime", RUNTIME, "--platform", str(WASM), "bench/hello")
        native: Case = {"words": (*run, "bench/hello-native")}
        times = _times(machine, {"wasm": {"words": ours}, "native": native})
        rows.append(_over_runc(f"start.docker_run.{network}.over_runc", times, target))
    return rows


def _over_runc(name: str, times: Mapping[str, float], target: str) -> Row:
    return Row(name, "ms", "wasm", ROUNDS, times["wasm"], "runc, native", times["native"], target)
