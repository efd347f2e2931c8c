from __future__ import annotations

import json
import time

import pytest

from wasmimg_images.errors import InvalidInput, RunError
from wasmimg_shim.bundle import parse
from wasmimg_shim.hooks import State, run_here
from wasmimg_shim.spec import Hook

STATE = State("1.1.0", "c1", "/b", (("k", "v"),))


def shell(script: str, **more: object) -> Hook:
    return Hook("/bin/sh", ("sh", "-c", script))._replace(**more)  # type: ignore[arg-type]


def test_the_state_is_the_specifications() -> None:
    common = {"ociVersion": "1.1.0", "id": "c1", "bundle": "/b", "annotations": {"k": "v"}}
    assert json.loads(STATE.document("creating", 7)) == {**common, "status": "creating", "pid": 7}
    assert json.loads(STATE.document("stopped")) == {**common, "status": "stopped"}


def test_the_state_is_on_standard_input_and_the_environment_is_the_hooks_alone() -> None:
    script = 'test "$(cat)" = "$WANTED" && test -z "$HOME"'
    hook = shell(script, env=("WANTED=" + "x" * 100_000,))
    with pytest.raises(RunError, match="status 1"):
        run_here("prestart", (hook,), b"y")
    run_here("prestart", (hook,), b"x" * 100_000)


def test_the_first_that_fails_ends_the_row() -> None:
    hooks = (shell("true"), shell("echo out; echo err >&2; exit 9"), shell("exit 10"))
    with pytest.raises(RunError) as caught:
        run_here("createRuntime", hooks, b"")
    assert caught.value.message == "createRuntime hook /bin/sh failed with status 9: out\nerr"


def test_one_that_takes_too_long_is_killed_with_what_it_started() -> None:
    begin = time.monotonic()
    with pytest.raises(RunError, match="more than 1 s"):
        run_here("prestart", (shell("sleep 60 & wait", timeout=1),), b"")
    assert time.monotonic() - begin < 30


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(RunError, match="hook /no/such: No such file"):
        run_here("prestart", (Hook("/no/such"),), b"")


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_is_more_than_nothing(timeout: int) -> None:
    hooks = {"prestart": [{"path": "/bin/true", "timeout": timeout}]}
    document = {"ociVersion": "1", "root": {"path": "r"}, "process": {}, "hooks": hooks}
    with pytest.raises(InvalidInput, match=r"hooks\.prestart\[0\]\.timeout"):
        parse(json.dumps(document).encode())
