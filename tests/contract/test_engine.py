"""What every engine must do, run against each; guests are WebAssembly text."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import wasmtime

from wasmimg_images.errors import CannotInvoke, InvalidInput
from wasmimg_shim.engine import STACK_BYTES, Engine, load_engine
from wasmimg_shim.guest import Guest, Preopen
from wasmimg_testing.waiting import refuses, until
from wasmimg_testing.wasi import tables_closed

ENGINES = ["wasmtime"]
WASI = '"wasi_snapshot_preview1"'
GUEST = Guest(("guest.wasm",))
GUESTS = Path(__file__).parents[1] / "guests"


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    with tables_closed():
        yield


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return load_engine(request.param)


def wasm(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def code_of(engine: Engine, text: str) -> int:
    fd = os.memfd_create("code")
    os.write(fd, engine.compile(wasm(text)))
    return fd


def run(engine: Engine, text: str, guest: Guest = GUEST) -> int:
    fd = code_of(engine, text)
    try:
        instance = engine.load(fd, guest)
    finally:
        os.close(fd)
    status: list[int] = []
    threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=lambda: status.append(instance.run()))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    return status[0]


def source(name: str) -> str:
    return (GUESTS / name).read_text()


def test_an_engine_says_what_it_is(engine: Engine) -> None:
    assert engine.name in ENGINES
    assert re.match(r"\d+\.\d+", engine.version)
    assert engine.version in engine.fingerprint()
    assert engine.fingerprint() == load_engine(engine.name).fingerprint()


def test_compiling_is_repeatable(engine: Engine) -> None:
    module = wasm(source("hello.wat"))
    assert engine.compile(module) == engine.compile(module)


def test_output_and_status(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(engine, source("hello.wat")) == 0
    assert capfd.readouterr().out == "hello\n"
    assert run(engine, source("exit.wat"), Guest(("x", "7"))) == 7


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divi"),
        ("(drop (i32.load (i32.const -1)))", "out of bounds"),
        ("(call 0)", "stack"),
    ],
)
def test_a_trap_is_reported_as_an_abort(
    engine: Engine, capfd: pytest.CaptureFixture[str], body: str, reason: str
) -> None:
    text = f'(module (func $deep {body}) (memory (export "memory") 1) (export "_start" (func 0)))'
    assert run(engine, text) == 134
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("wasmimg: guest.wasm trapped: ")
    assert reason in lines[0]
    assert re.match(r"  0: 0x[0-9a-f]+ deep", lines[1])


def test_a_host_function_can_trap(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    text = f"""(module (import {WASI} "poll_oneoff" (func $p (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $p (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 0)))))"""
    assert run(engine, text) == 134
    assert "poll_oneoff was given a misaligned pointer" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (b"", "no WebAssembly module"),
        (b"\x7fELF", "no WebAssembly module"),
        (b"\0asm\1\0\0\0\xff", "broken"),
        (wasm('(module (func (export "_start")))')[:-3], "broken"),
        (b"\0asm\r\0\1\0", "component"),
    ],
)
def test_what_is_no_module(engine: Engine, module: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        engine.compile(module)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("imported", "named"),
    [
        ('(import "env" "memcpy" (func (param i32)))', r"env\.memcpy"),
        (f'(import {WASI} "no_such" (func))', r"wasi_snapshot_preview1\.no_such"),
        (f'(import {WASI} "fd_close" (func (param i64) (result i32)))', r"fd_close with a type"),
        ('(import "env" "memory" (memory 1))', r"env\.memory, which is no function"),
    ],
)
def test_an_unknown_import_is_named_before_the_start(
    engine: Engine, imported: str, named: str
) -> None:
    fd = code_of(engine, f'(module {imported} (func (export "_start")))')
    with pytest.raises(InvalidInput, match=named):
        engine.load(fd, Guest(("x",)))
    os.close(fd)


def test_an_import_may_be_repeated(engine: Engine) -> None:
    same = f'(import {WASI} "sched_yield" (func (result i32)))'
    assert run(engine, f'(module {same} {same} (func (export "_start") (drop (call 1))))') == 0


def test_which_function_is_run(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    text = source("reactor.wat")
    assert run(engine, text) == 0
    assert capfd.readouterr().out == "init\n"
    assert run(engine, text, Guest(("x",), function="work")) == 0
    assert capfd.readouterr().out == "init\nwork\n"
    for function, message in (("none", "exports no function 'none'"), ("sum", "takes or gives")):
        with pytest.raises(CannotInvoke, match=message):
            run(engine, text, Guest(("x",), function=function))
    with pytest.raises(InvalidInput, match="neither _start nor _initialize"):
        run(engine, "(module)")


def test_a_guest_without_memory_has_no_valid_pointer(engine: Engine) -> None:
    text = f"""(module (import {WASI} "args_sizes_get" (func $a (param i32 i32) (result i32)))
        (import {WASI} "proc_exit" (func $x (param i32)))
        (func (export "_start") (call $x (call $a (i32.const 0) (i32.const 4)))))"""
    assert run(engine, text) == 21


def test_every_function_of_the_interface_can_be_imported(engine: Engine) -> None:
    """All of the snapshot and of the extension, in each type, in modules of one import each."""
    names = re.findall(r"^\S+", source("interface.txt"), re.MULTILINE)
    assert len(names) > 70
    for line in source("interface.txt").splitlines():
        name, signature = line.split()
        parameters, _, results = signature.partition("->")
        kinds = {"i": "i32", "I": "i64"}
        typed = " ".join(f"(param {kinds[letter]})" for letter in parameters)
        typed += "".join(f" (result {kinds[letter]})" for letter in results)
        fd = code_of(
            engine, f'(module (import {WASI} "{name}" (func {typed})) (func (export "_start")))'
        )
        engine.load(fd, Guest(("x",)))
        os.close(fd)


def test_memory_that_grows_under_the_host(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, source("grow.wat")) == 0
    assert capfd.readouterr().out == "grown\n"


def test_files_through_a_preopen(engine: Engine, tmp_path: Path) -> None:
    guest = Guest(("x",), preopens=(Preopen("/", str(tmp_path)),))
    assert run(engine, source("file.wat"), guest) == 0
    assert (tmp_path / "made").read_bytes() == b"content"
    read_only = Guest(("x",), preopens=(Preopen("/", str(tmp_path), writable=False),))
    assert run(engine, source("file.wat"), read_only) == 69


class Running:
    """A guest in a process of its own, run as a container's first process is."""

    def __init__(self, engine: Engine, path: Path, *args: str, folder: Path) -> None:
        script = """
            import os, sys
            from wasmimg_shim.engine import load_engine
            from wasmimg_shim.guest import Guest, Preopen, WasmProgram
            name, code, folder, *args = sys.argv[1:]
            preopens = (Preopen("/", folder),)
            program = WasmProgram(
                load_engine(name), os.open(code, os.O_RDONLY),
                Guest(tuple(args), preopens=preopens),
            )
            program.load()
            os._exit(program.run())
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), engine.name, path, folder, "x", *args],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
        )

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> int:
        return self.process.wait(20)


class Start(Protocol):
    def __call__(self, name: str, *args: str) -> Running: ...


@pytest.fixture
def start(engine: Engine, tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def start_guest(name: str, *args: str) -> Running:
        path = tmp_path / "code"
        path.write_bytes(engine.compile(wasm(source(name))))
        started.append(Running(engine, path, *args, folder=tmp_path))
        return started[-1]

    yield start_guest
    for running in started:
        running.process.kill()
        for stream in (running.process.stdin, running.process.stdout):
            assert stream is not None
            stream.close()
        running.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_spinning_guest_is_ended_at_once(start: Start, number: int) -> None:
    running = start("spin.wat")
    assert running.line() == b"spinning\n"
    began = time.monotonic()
    running.process.send_signal(number)
    assert running.end() == 128 + number
    assert time.monotonic() - began < 5


def test_harmless_signals_do_nothing(start: Start) -> None:
    running = start("spin.wat")
    running.line()
    for number in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT, signal.SIGTSTP):
        running.process.send_signal(number)
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 143


def test_a_guest_that_listens_to_signals_decides_itself(start: Start) -> None:
    running = start("signals.wat")
    assert running.line() == b"ready\n"
    running.process.send_signal(signal.SIGUSR1)
    assert running.end() == signal.SIGUSR1


def test_a_stop_closes_the_listener_and_lets_an_answer_out(start: Start) -> None:
    """The guest answers a connection only once its standard input ends, well after the signal."""
    running = start("server.wat")
    port = int.from_bytes(running.process.stdout.read(4), "little")
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"request")
        assert running.line() == b"read\n"
        running.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(port), "its listener to be closed")
        assert running.process.poll() is None
        running.process.stdin.close()
        assert client.recv(100) == b"answer\n"
    assert running.end() == 143
