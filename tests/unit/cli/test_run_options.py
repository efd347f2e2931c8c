"""`wasmimg run`'s options become a spec, or an error that names them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from wasmimg.commands.run import command
from wasmimg.run_options import Asked, restart_policy, spec_of
from wasmimg_compose.container import Attachment, ContainerSpec, Limits, Mount, Port, RestartPolicy
from wasmimg_images.errors import InvalidInput, NotFound

ENVIRON = {"HOME": "/home/me", "SET": "from outside"}


def spec(folder: Path, *words: str) -> ContainerSpec:
    parsed = command.make_context("run", list(words)).params
    image, args = str(parsed.pop("image")), tuple(parsed.pop("args"))
    return spec_of(Asked(parsed), image, args, folder, ENVIRON)


def test_nothing_asked(tmp_path: Path) -> None:
    assert spec(tmp_path, "demo") == ContainerSpec("demo")


def test_everything_asked(tmp_path: Path) -> None:
    (tmp_path / "vars").write_text("# comment\n\nA=1\nSET\nUNSET\n  B=x y\n")
    found = spec(
        tmp_path,
        *("--name", "web", "--rm", "-i", "--read-only", "--restart", "on-failure:3"),
        *(
            "-p",
            "127.0.0.1:8080:80",
            "-p",
            "53/udp",
            "--env-file",
            "vars",
            "-e",
            "A=2",
            "-e",
            "SET",
        ),
        *("-v", "./site:/srv:ro", "-v", "data:/data", "--tmpfs", "/tmp:size=1m", "-w", "/w"),
        *("-u", "1:2", "-m", "64m", "--cpus", "0.5", "--pids-limit", "9", "--runtime", "wasmtime"),
        *("--network", "front", "--network", "back", "--entrypoint", "/a b", "-h", "box"),
        *("-l", "k=v", "-l", "bare", "--platform", "wasi/wasm", "--stop-signal", "INT"),
        *("--add-host", "db:10.0.0.9", "demo:1", "-x", "--", "y"),
    )
    assert found == ContainerSpec(
        image="demo:1",
        name="web",
        platform="wasi/wasm",
        runtime="wasmtime",
        entrypoint=("/a", "b"),
        command=("-x", "--", "y"),
        env=(
            ("A", "1"),
            ("SET", "from outside"),
            ("B", "x y"),
            ("A", "2"),
            ("SET", "from outside"),
        ),
        workdir="/w",
        user="1:2",
        hostname="box",
        labels=(("k", "v"), ("bare", "")),
        ports=(Port(80, 8080, "127.0.0.1"), Port(53, protocol="udp")),
        mounts=(
            Mount("bind", f"{tmp_path}/site", "/srv", read_only=True),
            Mount("volume", "data", "/data"),
            Mount("tmpfs", "", "/tmp", options=("size=1m",)),
        ),
        networks=(Attachment("front"), Attachment("back")),
        extra_hosts=(("db", "10.0.0.9"),),
        limits=Limits(64 << 20, 0.5, 9),
        restart=RestartPolicy("on-failure", 3),
        stop_signal="INT",
        read_only=True,
        interactive=True,
        auto_remove=True,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "=x"),
        ("-p", "x"),
        ("-v", "relative:target"),
        ("-m", "lots"),
        ("--restart", "sometimes"),
        ("--restart", "on-failure:٣"),
        ("--entrypoint", "it's"),
        ("-v", "x:/y:ro,rw"),
        ("--tmpfs", "/x:wat"),
        ("--add-host", "db"),
        ("-l", "=x"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match=words[1]):
        spec(tmp_path, *words, "demo")


def test_a_missing_file_of_variables(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"--env-file .*nope: No such file"):
        spec(tmp_path, "--env-file", "nope", "demo")


@pytest.mark.parametrize("words", [("--cpus", "0", "x"), ("--pids-limit", "-2", "x"), ()])
def test_what_click_refuses(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        spec(tmp_path, *words)


@pytest.mark.parametrize("text", ["always:1", "on-failure:x", "on-failure:", "never"])
def test_restart_policies_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a policy"):
        restart_policy(text)


def test_a_size_that_is_too_large_names_its_option(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--memory '99999999999999999999g' is too large"):
        spec(tmp_path, "-m", "99999999999999999999g", "demo")


def test_variables_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "vars").write_bytes(b"A=\xff")
    with pytest.raises(InvalidInput, match=r"--env-file .*vars: not UTF-8 text"):
        spec(tmp_path, "--env-file", "vars", "demo")


@pytest.mark.parametrize("number", ["0", "-1"])
def test_no_limit_of_processes(tmp_path: Path, number: str) -> None:
    assert spec(tmp_path, "--pids-limit", number, "demo").limits == Limits()
