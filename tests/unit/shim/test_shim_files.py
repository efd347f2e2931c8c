"""The small files of a shim: its log, its record of a container, and what it is told at the start."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim import messages, record
from wasmimg_shim.delete import delete
from wasmimg_shim.flags import Flags
from wasmimg_shim.record import Record
from wasmimg_shim.shim_log import ShimLog
from wasmimg_shim.wire import decode


def test_the_log_is_logfmt(tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    log = ShimLog(str(tmp_path), debug=False)
    log.debug("not asked for")
    log.error("it broke", error='no "such" thing\n', path="/x")
    log.close()
    line = os.read(reader, 1000).decode()
    os.close(reader)
    assert line.startswith("time=20")
    assert line.endswith(' level=error msg="it broke" error="no \\"such\\" thing\\n" path=/x\n')
    assert line.count("\n") == 1


def test_a_log_that_is_not_there_or_not_read_stops_nobody(tmp_path: Path) -> None:
    log = ShimLog(str(tmp_path))
    log.error("nobody")
    os.mkfifo(tmp_path / "log")
    log.error("no reader")
    reader = os.open(tmp_path / "log", os.O_RDWR | os.O_NONBLOCK)
    log.error("read")
    os.close(reader)
    log.error("the reader has gone")
    for _ in range(2000):
        log.error("full " * 20)
    log.close()


def test_a_record_comes_back(tmp_path: Path) -> None:
    written = Record(42, 1234, "/run/runc", mounted=True)
    record.write(str(tmp_path), written)
    assert record.read(str(tmp_path)) == written
    record.remove(str(tmp_path))
    assert record.read(str(tmp_path)) is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "1"}'])
def test_a_broken_record_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / record.FILE).write_text(text)
    with pytest.raises(InvalidInput, match=record.FILE):
        record.read(str(tmp_path))


def test_only_the_recorded_process_is_killed() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        start = record.started(process.pid)
        record.kill(Record(process.pid, start - 1))
        assert process.poll() is None
        record.kill(Record(process.pid, start))
        assert process.wait() == -signal.SIGKILL
    record.kill(Record(process.pid, start))
    record.kill(Record())
    with pytest.raises(ProcessLookupError):
        record.started(process.pid)


def test_delete_of_nothing_answers(tmp_path: Path) -> None:
    flags = Flags()
    flags.id, flags.bundle = "c1", str(tmp_path / "gone")
    answer = decode(messages.DeleteResponse, delete(flags))
    assert (answer.pid, answer.exit_status) == (0, 137)
    assert answer.exited_at is not None
    assert abs(answer.exited_at.seconds - time.time()) < 60
