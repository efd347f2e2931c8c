from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_builder.toolchains.choice import choose
from wasmimg_builder.toolchains.debian import DebianToolchain
from wasmimg_builder.toolchains.host import HostToolchain
from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from wasmimg_builder.toolchains import Toolchain

BOOKWORM = {
    "usr/bin/cargo": "",
    "usr/bin/rustc": "#!/bin/sh\necho rustc 1.96.0\n",
    "usr/bin/wasm-ld-19": "",
    "usr/lib/rustlib/src/rust/library/std/Cargo.toml": "",
    "usr/lib/wasm32-wasi/crt1-command.o": "",
}


def system(root: Path, release: str, files: Mapping[str, str]) -> DebianToolchain:
    for name, text in {"etc/os-release": release, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return DebianToolchain(root)


def host(folder: Path, *, target: bool) -> HostToolchain:
    """A rustc that says where its sysroot is, as real ones do."""
    binaries, sysroot = folder / "bin", folder / "sysroot"
    binaries.mkdir(parents=True)
    (sysroot / "lib/rustlib").mkdir(parents=True)
    if target:
        (sysroot / "lib/rustlib/wasm32-wasip1/lib").mkdir(parents=True)
    script = f"#!/bin/sh\n[ $1 = --print ] && echo {sysroot} || echo rustc 1.90.0\n"
    for name in ("rustc", "cargo"):
        (binaries / name).write_text(script)
        (binaries / name).chmod(0o755)
    return HostToolchain(folder, {"PATH": f"{binaries}:/usr/bin:/bin"})


def test_bookworm_builds_the_library_too(tmp_path: Path) -> None:
    toolchain = system(tmp_path, 'ID=debian\nVERSION_ID="12"\n', BOOKWORM)
    assert toolchain.probe().missing is None
    assert toolchain.environment()["RUSTC_BOOTSTRAP"] == "1"
    assert toolchain.cargo_flags() == ("-Zbuild-std=std,panic_abort",)
    assert f"-Clink-arg={tmp_path}/usr/lib/wasm32-wasi/crt1-command.o" in toolchain.rustflags()
    assert toolchain.identity() == "debian 12 rustc 1.96.0"


@pytest.mark.parametrize(
    ("cargo", "knows"),
    [("echo '-Z lockfile-path  Enable'", True), ("echo '-Z build-std'", False), ("exit 1", False)],
)
def test_a_lock_file_is_kept_elsewhere_where_cargo_can(
    tmp_path: Path, cargo: str, knows: bool
) -> None:
    files = {**BOOKWORM, "usr/bin/cargo": f"#!/bin/sh\n{cargo}\n"}
    toolchain = system(tmp_path, "ID=debian\nVERSION_ID=12\n", files)
    flags = toolchain.lock_flags(Path('/a "b"/Cargo.lock'))
    place = r'resolver.lockfile-path="/a \"b\"/Cargo.lock"'
    assert flags == (("-Zlockfile-path", "--config", place) if knows else ())


def test_trixie_has_it_packaged(tmp_path: Path) -> None:
    files = {"usr/bin/cargo": "", "usr/bin/rustc": "", "usr/bin/wasm-ld": ""}
    files["usr/lib/rustlib/wasm32-wasip1/lib/libstd.rlib"] = ""
    toolchain = system(tmp_path, "ID=debian\nVERSION_ID=13\n", files)
    assert toolchain.probe().missing is None
    assert toolchain.cargo_flags() == ()
    assert toolchain.environment()["CARGO_TARGET_WASM32_WASIP1_LINKER"] == "wasm-ld"


def test_missing_packages_are_named_with_the_command_that_helps(tmp_path: Path) -> None:
    some = {name: BOOKWORM[name] for name in list(BOOKWORM)[:2]}
    probe = system(tmp_path, "ID=debian\nVERSION_ID=12\n", some).probe()
    assert probe.missing == "not installed: rust-web-src, lld-19, wasi-libc"
    assert probe.hint == "apt-get install rustc-web cargo-web rust-web-src lld-19 wasi-libc"


@pytest.mark.parametrize("release", ["ID=fedora\n", "ID=debian\nVERSION_ID=11\n", ""])
def test_other_systems_are_passed_by(tmp_path: Path, release: str) -> None:
    assert system(tmp_path, release, BOOKWORM).probe().missing


def test_the_hosts_compiler_needs_the_target(tmp_path: Path) -> None:
    assert host(tmp_path / "with", target=True).probe().missing is None
    probe = host(tmp_path / "without", target=False).probe()
    assert probe.missing == "rustc has no wasm32-wasip1 library"
    assert probe.hint == "rustup target add wasm32-wasip1"
    assert HostToolchain(tmp_path, {"PATH": "/nowhere"}).probe().missing


def test_a_compiler_that_fails_is_no_compiler(tmp_path: Path) -> None:
    toolchain = host(tmp_path / "h", target=True)
    (tmp_path / "h/bin/rustc").write_text("#!/bin/sh\nexit 1\n")
    assert toolchain.probe().missing == "rustc does not run here"


def test_auto_takes_the_first_that_can_be_used_and_says_why(tmp_path: Path) -> None:
    debian = system(tmp_path / "d", "ID=debian\nVERSION_ID=12\n", BOOKWORM)
    lacking, able = host(tmp_path / "1", target=False), host(tmp_path / "2", target=True)
    assert choose("auto", [able, debian]).toolchain is able
    choice = choose("auto", [lacking, debian])
    assert choice.toolchain is debian
    assert choice.why == "host: rustc has no wasm32-wasip1 library"
    assert choose("debian", [able, debian]).toolchain is debian


def test_none_at_all_is_one_line_and_a_hint(tmp_path: Path) -> None:
    toolchains: list[Toolchain] = [
        host(tmp_path / "h", target=False),
        system(tmp_path / "d", "ID=debian\nVERSION_ID=12\n", {}),
    ]
    with pytest.raises(HostError) as caught:
        choose("auto", toolchains)
    assert "\n" not in caught.value.message
    assert "apt-get install" in str(caught.value.hint)
    with pytest.raises(HostError, match="toolchain host"):
        choose("host", toolchains)
