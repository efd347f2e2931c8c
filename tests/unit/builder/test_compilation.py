from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from wasmimg_builder.compilation import Command, inputs_of, run_process

FORK = multiprocessing.get_context("fork")


def command(folder: Path, script: str, **env: str) -> Command:
    return Command(("/bin/sh", "-c", script), folder, env)


def test_lines_of_both_streams_come_in_order(tmp_path: Path) -> None:
    lines: list[str] = []
    status = run_process(command(tmp_path, "echo one; echo two >&2; echo three"), lines.append)
    assert (status, lines) == (0, ["one", "two", "three"])


def test_folder_environment_umask_and_input_are_those_given(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "pwd; echo $A; umask; cat; /usr/bin/env | /usr/bin/wc -l"
    run_process(command(tmp_path, script, A="b", PATH="/usr/bin:/bin"), lines.append)
    assert lines[:3] == [str(tmp_path), "b", "0022"]
    assert int(lines[3]) <= 5  # A, PATH, and what the shell itself adds


def test_failures_and_missing_programs_are_told(tmp_path: Path) -> None:
    assert run_process(command(tmp_path, "exit 3"), print) == 3
    assert run_process(command(tmp_path, "kill -9 $$"), print) == -9
    assert run_process(Command(("/nowhere/cargo",), tmp_path, {}), print) == 127


def test_bytes_that_are_not_utf_8_do_no_harm(tmp_path: Path) -> None:
    lines: list[str] = []
    run_process(command(tmp_path, r"printf '\377\n'"), lines.append)
    assert lines == ["\ufffd"]


def _wait_for_ever(folder: Path, pipe: int) -> None:
    run_process(command(folder, "echo $$; exec /bin/sleep 100"), lambda line: _tell(pipe, line))


def _tell(pipe: int, line: str) -> None:
    os.write(pipe, line.encode())


def test_a_compiler_ends_with_the_one_that_waits_for_it(tmp_path: Path) -> None:
    end, start = os.pipe()
    worker = FORK.Process(target=_wait_for_ever, args=(tmp_path, start))
    worker.start()
    compiler = os.pidfd_open(int(os.read(end, 20)))
    worker.kill()
    worker.join()
    import select

    assert select.select([compiler], [], [], 30)[0]
    for fd in (end, start, compiler):
        os.close(fd)


def test_what_the_compiler_read_is_listed(tmp_path: Path) -> None:
    dep_info = tmp_path / "app.d"
    dep_info.write_text("/t/app.wasm: /src/main.rs /src/a\\ b.txt\n\n/src/main.rs:\n")
    assert inputs_of(dep_info) == [Path("/src/main.rs"), Path("/src/a b.txt")]
    assert inputs_of(tmp_path / "missing") == ()
