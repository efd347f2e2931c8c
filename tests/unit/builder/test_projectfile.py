from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_builder.projectfile import ImageFile, ProjectFile, parse
from wasmimg_images.config import Healthcheck
from wasmimg_images.errors import InvalidInput

SECOND = 10**9


def test_nothing_is_needed() -> None:
    assert parse("") == parse("# only a comment\n") == ProjectFile()


def test_everything_is_read() -> None:
    project = parse(
        """
name: orders
source: service
bin: main
entrypoint: [/orders.wasm]
args: [--verbose, "8080"]
env: {PORT: 8080, EMPTY: }
ports: [8080, 53/udp]
user: 1000:1000
workdir: /srv/./here
labels: {a: b}
files: {/srv: public}
volumes: [/data/]
healthcheck: {test: [CMD, probe], interval: 1m30s, timeout: 500ms, start_period: 1s, retries: 3}
stop_signal: SIGINT
optimize: true
""",
    )
    assert project == ProjectFile(
        name="orders",
        source="service",
        bin="main",
        entrypoint=("/orders.wasm",),
        args=("--verbose", "8080"),
        env=("EMPTY=", "PORT=8080"),
        ports=("8080/tcp", "53/udp"),
        user="1000:1000",
        workdir="/srv/here",
        labels={"a": "b"},
        files=(ImageFile("/srv", "public", "wasmimg.yaml:12:15"),),
        volumes=("/data",),
        healthcheck=Healthcheck(("CMD", "probe"), 90 * SECOND, SECOND // 2, SECOND, 3),
        stop_signal="SIGINT",
        optimize=True,
    )


def test_variables_may_be_a_list() -> None:
    assert parse("env: [A=1, B=x=y]").env == ("A=1", "B=x=y")


def test_a_check_may_be_one_line() -> None:
    assert parse("healthcheck: {test: probe http}").healthcheck == Healthcheck(
        ("CMD-SHELL", "probe http"),
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("enviroment: {}", "unknown key 'enviroment'", "did you mean 'env'?"),
        ("command: x", "unknown key 'command'", "did you mean 'args'?"),
        ("workingdir: /", "unknown key 'workingdir'", "did you mean 'workdir'?"),
        ("nmae: x", "wasmimg.yaml:1:1: unknown key 'nmae'", "did you mean 'name'?"),
        ("name: x\nEntryPoint: y", "wasmimg.yaml:2:1: unknown key", "'entrypoint'?"),
        ("zzz: 1", "unknown key 'zzz'", "known: name, source"),
        ("healthcheck:\n  tset: x", "wasmimg.yaml:2:3: unknown key 'tset'", "'test'?"),
        ("name: a\nname: b", "wasmimg.yaml:2:1: 'name' is given twice", ""),
        ("- a", "wasmimg.yaml:1:1: expected a mapping", ""),
        ("name: [a]", "wasmimg.yaml:1:7: expected a single value", ""),
        ("name: a/b", "'a/b' is no name", ""),
        ("entrypoint: /a.wasm --x", "several words", "[/a.wasm, --x]"),
        ("ports: [0]", "wasmimg.yaml:1:9: '0' is no port", "PORT or PORT/udp"),
        ("ports: [70000]", "'70000' is no port", ""),
        ("ports: [80:80]", "is no port", ""),
        ("ports: [٣]", "is no port", ""),
        ("stop_signal: ٣", "is no signal", "SIGTERM"),
        ("healthcheck: {test: x, interval: 999999999999h}", "is too long a time", "292 years"),
        ("healthcheck: {test: x, interval: " + "9" * 400 + "s}", "expected a time", ""),
        ("env: [PATH]", "expected NAME=value", ""),
        ("env: {'': x}", "needs a name", ""),
        ("workdir: here", "expected an absolute path", ""),
        ("volumes: [/a/../b]", "without '..'", ""),
        ("files: {/srv: /etc}", "not below the project", ""),
        ("files: {/srv: ../x}", "wasmimg.yaml:1:15: '../x' is not below the project", ""),
        ("files: {srv: x}", "expected an absolute path", ""),
        ("healthcheck: {interval: 1s}", "needs a test", ""),
        ("healthcheck: {test: [probe]}", "starts with CMD", ""),
        ("healthcheck: {test: x, interval: 5}", "expected a time", "1m30s"),
        ("healthcheck: {test: x, retries: -1}", "expected a whole number", ""),
        ("stop_signal: KILL IT", "is no signal", "SIGTERM"),
        ("optimize: maybe", "expected true or false", ""),
        ("labels: {a: {b: c}}", "wasmimg.yaml:1:13: expected a single value", ""),
        ("name: [", "wasmimg.yaml:1:8", ""),
        ("name: 'x", "wasmimg.yaml:1", ""),
        ("a: &a [*a]", "unknown key 'a'", ""),
        ("name: x\n\tb: 1", "wasmimg.yaml:2:1", ""),
        ("name: a\n--- \nname: b", "wasmimg.yaml:2:1", ""),
        ('name: "a\\0b"', "NUL", ""),
        ("\x01", "wasmimg.yaml", ""),
        ("[" * 5000, "wasmimg.yaml", ""),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "\n" not in caught.value.message


@given(st.text(max_size=80))
def test_any_text_is_a_project_file_or_invalid_input(text: str) -> None:
    try:
        parse(text)
    except InvalidInput as error:
        assert "\n" not in error.message
