"""The start verb, the zygote behind it, and what happens when either is killed."""

from __future__ import annotations

import concurrent.futures
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wasmimg_shim import client, launcher, messages
from wasmimg_shim.bootstrap import BootstrapParams, BootstrapResult
from wasmimg_shim.wire import decode, encode
from wasmimg_testing.shims import NAMESPACE, ShimHost, guest, processes, until

pytestmark = pytest.mark.root

#: What the interpreter has when it begins, without site (python -ISE); 3.14 has fewer of them.
INTERPRETER = {
    *("__main__", "_abc", "_codecs", "_frozen_importlib", "_frozen_importlib_external", "_imp"),
    *("_io", "_signal", "_thread", "_warnings", "_weakref", "abc", "builtins", "codecs"),
    *("encodings", "encodings.aliases", "encodings.utf_8", "io", "marshal", "posix", "sys"),
    *("time", "zipimport", "encodings._win_cp_codecs", "_tokenize", "linecache"),
}
#: `os` and what it needs; the first import of each is paid by every container start.
START_PATH = {
    *("os", "os.path", "posixpath", "genericpath", "stat", "_stat", "_collections_abc"),
    *("fcntl", "_socket", "__future__"),
    *("wasmimg_shim", "wasmimg_shim.main", "wasmimg_shim.flags", "wasmimg_shim.start"),
    *("wasmimg_shim.start_request", "wasmimg_shim.zygote_socket", "wasmimg_shim.protobuf"),
}


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended


def zygotes(host: ShimHost) -> list[int]:
    return [pid for pid in processes(host.run) if name_of(pid) == "wasmimg-zygote"]


def is_mounted(path: str) -> bool:
    """os.path.ismount sees no bind mounts of the same file system."""
    return f" {path} " in Path("/proc/self/mountinfo").read_text()


def end(shim: client.TaskClient, name: str) -> None:
    shim.kill(name, signal.SIGKILL)
    shim.wait(name, timeout=20)
    shim.delete(name)
    shim.shutdown()


def test_the_start_verb_imports_this_and_nothing_else(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    host.start(bundle)  # makes the zygote
    code = (
        f"import sys; sys.path += {launcher.own_paths()!r}\n"
        f"sys.argv[1:] = ['-namespace', '{NAMESPACE}', '-id', 'c1', 'start']\n"
        "from wasmimg_shim.main import main; main()\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-ISE", "-c", code],
        cwd=bundle,
        env=host.environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.startswith("unix://")
    assert set(done.stderr.split()) - INTERPRETER == START_PATH
    with client.connect(done.stdout) as shim:
        shim.shutdown()


def test_racing_starts_of_one_container_get_one_live_address(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(lambda _: host.start(bundle), range(8)))
    assert len(addresses) == 1
    assert len(zygotes(host)) == 1
    with client.connect(addresses.pop()) as shim:
        shim.create("c1", bundle)
        end(shim, "c1")


def test_containers_of_one_sandbox_share_a_shim(host: ShimHost) -> None:
    sandbox = {"io.kubernetes.cri.sandbox-id": "pod1"}
    bundles = [
        host.bundle(name, "/app.wasm", files={"app.wasm": guest("sleep")}, annotations=sandbox)
        for name in ("a", "b")
    ]
    first, second = (host.start(bundle) for bundle in bundles)
    assert first == second
    with client.connect(first) as shim:
        for name, bundle in zip("ab", bundles, strict=True):
            shim.create(name, bundle)
            shim.start(name)
        assert shim.connect("a").shim_pid == shim.connect("b").shim_pid
        end(shim, "a")
        assert shim.state("b").status == messages.TaskStatus.RUNNING
        end(shim, "b")


def test_by_configuration_a_namespace_shares_a_shim(host: ShimHost) -> None:
    config = {"WASMIMG_SHIM_GROUP": "namespace"}
    bundles = {name: host.wasm(name, "sleep") for name in "abc"}
    assert len({host.start(bundle, **config) for bundle in bundles.values()}) == 1
    with host.shim(bundles["a"], **config) as shim:
        for name, bundle in bundles.items():
            shim.create(name, bundle)
            shim.start(name)
        (pid,) = {shim.connect(name).shim_pid for name in bundles}
        for name, bundle in bundles.items():
            end(shim, name)
            assert host.command(bundle, "delete").returncode == 0
            shutil.rmtree(bundle)
    until(lambda: not Path(f"/proc/{pid}/environ").exists())


def test_a_shim_that_was_promised_waits_for_who_comes(host: ShimHost) -> None:
    sandbox = {"io.kubernetes.cri.sandbox-id": "pod"}
    module = guest("hello")
    first, second = (
        host.bundle(name, "/app.wasm", files={"app.wasm": module}, annotations=sandbox)
        for name in "ab"
    )
    with host.shim(first) as shim:
        shim.create("a", first)
        pid = shim.connect("a").shim_pid
        promised = host.start(second)
        end(shim, "a")
    with client.connect(promised) as shim:
        assert shim.create("b", second)
        assert shim.connect("b").shim_pid == pid
        end(shim, "b")
    until(lambda: not Path(f"/proc/{pid}/environ").exists())


def test_many_short_containers_in_one_shim_at_a_time(host: ShimHost) -> None:
    module = guest("hello")

    def live(index: int) -> int:
        name = f"c{index}"
        bundle = host.bundle(name, "/app.wasm", files={"app.wasm": module})
        with host.shim(bundle, WASMIMG_SHIM_GROUP="namespace") as shim:
            shim.create(name, bundle)
            shim.start(name)
            status = shim.wait(name, timeout=60).status
            shim.delete(name)
            shim.shutdown()
        return status

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(live, range(40))) == {0}
    until(lambda: processes(host.run) == zygotes(host), 15)
    assert [name for name in os.listdir(f"{host.run}/s") if not name.endswith(".lock")] == []


def test_containers_outlive_the_zygote(host: ShimHost) -> None:
    first, second = host.wasm("a", "sleep"), host.wasm("b", "sleep")
    with host.shim(first) as shim:
        shim.create("a", first)
        shim.start("a")
        (old,) = zygotes(host)
        os.kill(old, signal.SIGKILL)
        until(lambda: not zygotes(host))
        with host.shim(second) as other:
            other.create("b", second)
            end(other, "b")
        assert shim.state("a").status == messages.TaskStatus.RUNNING
        end(shim, "a")


@pytest.mark.parametrize("kind", ["wasm", "linux"])
def test_delete_cleans_up_after_a_killed_shim(host: ShimHost, kind: str) -> None:
    if kind == "wasm":
        bundle = host.wasm("c1", "sleep")
    else:
        bundle = host.bundle("c1", "sleep", "3600", host_programs=True)
    lower = host.root / "lower"
    Path(bundle, "rootfs").rename(lower)
    Path(bundle, "rootfs").mkdir()
    with host.shim(bundle) as shim:
        mount = messages.Mount("bind", str(lower), "", ("rbind", "rw"))
        pid = shim.create("c1", bundle, rootfs=(mount,))
        shim.start("c1")
        os.kill(shim.connect("c1").shim_pid, signal.SIGKILL)
        with pytest.raises(client.ShimGone):
            shim.wait("c1")
    assert is_mounted(f"{bundle}/rootfs")
    done = host.command(bundle, "delete")
    assert (done.returncode, done.stderr) == (0, b"")
    assert decode(messages.DeleteResponse, done.stdout).exit_status == 137
    until(
        lambda: (
            Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
            if Path(f"/proc/{pid}").exists()
            else True
        )
    )
    assert not is_mounted(f"{bundle}/rootfs")
    assert not os.path.exists(f"{host.run}/runc/test/c1")
    assert not [name for name in os.listdir(bundle) if name.startswith("wasmimg.")]
    assert host.command(bundle, "delete").returncode == 0


def test_root_mounts_come_with_create_and_go_with_delete(host: ShimHost) -> None:
    bundle = host.bundle("c1", "/app.wasm")
    lower = host.root / "lower"
    lower.mkdir()
    (lower / "app.wasm").write_bytes(guest("hello"))
    for name in ("upper", "work"):
        (host.root / name).mkdir()
    options = (f"lowerdir={lower}", f"upperdir={host.root}/upper", f"workdir={host.root}/work")
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, rootfs=(messages.Mount("overlay", "overlay", "", options),))
        shim.start("c1")
        assert shim.wait("c1", timeout=20).status == 0
        assert is_mounted(f"{bundle}/rootfs")
        shim.delete("c1")
        shim.shutdown()
    assert not is_mounted(f"{bundle}/rootfs")


def test_odd_standard_input_fails_no_start(host: ShimHost) -> None:
    sockets = host.root / "sockets"
    params = BootstrapParams("p", NAMESPACE, socket_dir=str(sockets))
    options = messages.Any("runtimeoptions.v1.Options", b"\x0a\x03abc")
    for name, stdin in {
        "g": os.urandom(4096),
        "o": encode(options),
        "p": encode(params),
    }.items():
        bundle = host.wasm(name, "hello")
        done = host.command(bundle, "start", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        address = done.stdout.decode() if name != "p" else decode(BootstrapResult, done.stdout)[1]
        assert Path(bundle, "address").read_text() == address
        assert (Path(address.removeprefix("unix://")).parent == sockets) == (name == "p")
        with client.connect(address) as shim:
            shim.create(name, bundle)
            end(shim, name)


def test_a_shim_has_its_callers_limits_environment_and_mask(host: ShimHost) -> None:
    # The zygote gets other limits than the next caller has.
    with host.shim(host.wasm("first", "hello")) as first:
        first.shutdown()
    bundle = host.wasm("c1", "hello")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    mask = os.umask(0o027)
    resource.setrlimit(resource.RLIMIT_NOFILE, (333, hard))
    try:
        address = host.start(bundle, MARK="of-the-caller")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.umask(mask)
    with client.connect(address) as shim:
        shim.create("c1", bundle)
        pid = shim.connect("c1").shim_pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max open files            333 " in limits
        assert "Umask:\t0027" in Path(f"/proc/{pid}/status").read_text()
        assert os.readlink(f"/proc/{pid}/cwd") == bundle
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        end(shim, "c1")


def threads(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("Threads:"))


def test_what_forks_has_one_thread(host: ShimHost) -> None:
    module = guest("sleep") + b"\0\6\1x" + os.urandom(4)  # a custom section that no cache knows
    bundle = host.bundle("c1", "/app.wasm", files={"app.wasm": module})
    with host.shim(bundle) as shim:
        pid = shim.create("c1", bundle)
        forkers = [*zygotes(host), shim.connect("c1").shim_pid]
        assert {threads(forker) for forker in forkers} == {"Threads:\t1"}
        assert threads(pid) == "Threads:\t1", "the guest's thread comes with Start"
        end(shim, "c1")


def test_it_works_without_a_zygote(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    with host.shim(bundle, WASMIMG_ZYGOTE="off") as shim:
        assert not zygotes(host)
        shim.create("c1", bundle)
        shim.start("c1")
        assert shim.wait("c1", timeout=20).status == 0
        shim.delete("c1")
        shim.shutdown()


def test_a_released_zygote_ends_with_its_last_child(host: ShimHost) -> None:
    bundle = host.wasm("c1", "sleep")
    with host.shim(bundle) as shim:
        shim.create("c1", bundle)
        assert client.release_zygote(host.run) == 1
        assert zygotes(host)
        end(shim, "c1")
    until(lambda: not zygotes(host))
    assert client.release_zygote(host.run) == 0


def test_an_idle_zygote_ends_by_itself(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    with host.shim(bundle, WASMIMG_ZYGOTE_IDLE_S="0.1") as shim:
        shim.shutdown()
    until(lambda: not zygotes(host))
    with host.shim(bundle) as shim:
        shim.shutdown()


def test_an_idle_zygote_ends_though_its_folder_is_gone(host: ShimHost) -> None:
    with host.shim(host.wasm("c1", "hello"), WASMIMG_ZYGOTE_IDLE_S="0.1") as shim:
        assert zygotes(host)
        shutil.rmtree(f"{host.run}/zygote")
        shim.shutdown()
    until(lambda: not zygotes(host))


def test_fifty_quick_containers_leave_nothing(host: ShimHost) -> None:
    module = guest("hello")

    def live(index: int) -> int:
        bundle = host.bundle(f"c{index}", "/app.wasm", files={"app.wasm": module})
        log = host.root / f"out{index}"
        with host.shim(bundle) as shim:
            shim.create(f"c{index}", bundle, stdout=str(log))
            shim.start(f"c{index}")
            status = shim.wait(f"c{index}", timeout=60).status
            shim.delete(f"c{index}")
            shim.shutdown()
        assert log.read_text() == "hello\n"
        return status

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(live, range(50))) == {0}
    until(lambda: processes(host.run) == zygotes(host))
    assert str(host.root) not in Path("/proc/self/mountinfo").read_text()
    cgroups = Path("/sys/fs/cgroup")
    assert not [*cgroups.glob(f"{host.root.name}*"), *cgroups.glob(f"*/{host.root.name}*")]
    assert [name for name in os.listdir(f"{host.run}/s") if not name.endswith(".lock")] == []


def test_an_engine_that_does_not_exist_is_told(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    done = host.command(bundle, "start", WASMIMG_ENGINE="nonsense")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no engine is called 'nonsense'; the engines are: wasmtime" in done.stderr
    assert b"NotFound" not in done.stderr
    until(lambda: not zygotes(host))


@pytest.mark.parametrize("stdin", [b"", encode(messages.Any("runtimeoptions.v1.Options", b"x"))])
def test_info_and_version(host: ShimHost, stdin: bytes) -> None:
    done = subprocess.run([host.program, "-info"], input=stdin, capture_output=True, check=True)
    assert done.stderr == b""
    info = decode(messages.RuntimeInfo, done.stdout)
    assert info.name == "io.containerd.wasmimg.v1"
    assert info.version is not None
    shown = subprocess.run([host.program, "-v"], capture_output=True, text=True, check=True)
    assert info.version.version in shown.stdout
    project = Path(__file__).parents[3] / "pyproject.toml"
    assert f'version = "{info.version.version}"' in project.read_text()


def test_what_is_no_command_line_is_told(host: ShimHost) -> None:
    done = subprocess.run([host.program, "-frob"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "flag provided but not defined: -frob" in done.stderr


def test_config_without_sense_does_not_fail_the_start(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    Path(bundle, "config.json").write_text(json.dumps(["io.kubernetes.cri.sandbox-id"]))
    with host.shim(bundle) as shim:
        with pytest.raises(client.RpcError, match=r"config\.json"):
            shim.create("c1", bundle)
        shim.shutdown()
