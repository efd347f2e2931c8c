"""What measurements stand on: a home of their own, built images, a database, a native twin."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parent.parent
STATE: Final = ROOT / "build" / "bench"
WASMIMG: Final = str(Path(sys.executable).with_name("wasmimg"))
ENVIRONMENT: Final = {
    **os.environ,
    "WASMIMG_HOME": str(STATE / "home"),
    "WASMIMG_CACHE": str(STATE / "cache"),
    "WASMIMG_RUN": "/run/wasmimg-bench",
}
SERVICE: Final = ROOT / "demo-microservice"
IMAGE: Final = "demo-microservice"
REQUESTS: Final = re.compile(r"(\d+) requests in ")
RATE: Final = re.compile(r"Requests/sec:\s+([\d.]+)")


def wasmimg(*words: str) -> str:
    """Run a command of the project, and give what it printed."""
    return subprocess.run(
        [WASMIMG, *words], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


@functools.cache
def image() -> str:
    """Build the service's image, once a run."""
    return wasmimg("build", str(SERVICE), "-t", IMAGE)


@functools.cache
def native() -> Path:
    """Build the service natively: tokio, opt-level 3, LTO, one thread."""
    target = ROOT / "build" / "cargo"
    command = ["cargo", "build", "--quiet", "--profile", "native", "-p", "demo-microservice"]
    subprocess.run(
        command, cwd=SERVICE, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, check=True
    )
    return target / "native" / "demo-microservice"


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.002)


def answers(url: str) -> bool:
    """Tell whether a URL answers 200."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


@functools.cache
def database() -> str:
    """Start a private MariaDB for this run, and give its URL."""
    folder = STATE / "mariadb"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--user=root"]
    made += ["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
    subprocess.run(made, check=True, **quiet)
    port = free_port()
    start = [
        "mariadbd",
        "--no-defaults",
        f"--datadir={folder}/data",
        "--user=root",
        f"--port={port}",
    ]
    start += [
        "--bind-address=127.0.0.1",
        "--character-set-server=utf8mb4",
        f"--socket={folder}/s",
        f"--pid-file={folder}/pid",
    ]
    server = subprocess.Popen(start, **quiet)
    atexit.register(lambda: (server.terminate(), server.wait()))
    client = ["mariadb", "--no-defaults", f"--socket={folder}/s", "-uroot", "-e"]
    until(
        lambda: not subprocess.run([*client, "SELECT 1"], check=False, **quiet).returncode,
        "MariaDB",
    )
    user = "CREATE USER bench@'%' IDENTIFIED BY 'bench'; GRANT ALL ON *.* TO bench@'%'"
    subprocess.run([*client, user], check=True, **quiet)
    return f"mysql://bench:bench@127.0.0.1:{port}/mysql"


class Server(NamedTuple):
    """A running service: where it answers, the process that works, and how to end it."""

    url: str
    pid: int
    stop: Callable[[], None]


def native_server() -> Server:
    """Start the native service."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "DATABASE_URL": database()}
    process = subprocess.Popen([native()], env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{url}/"), "the native service")

    def stop() -> None:
        process.send_signal(signal.SIGTERM)
        process.wait()

    return Server(url, process.pid, stop)


def wasm_server() -> Server:
    """Start the service's image in a container on the host's network."""
    image()
    port = free_port()
    settings = ("-e", f"PORT={port}", "-e", f"DATABASE_URL={database()}")
    name = wasmimg("run", "-d", "--rm", "--network", "host", *settings, IMAGE)
    url = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{url}/"), "the service's container")
    return Server(url, pid_of(name), lambda: (wasmimg("stop", name), None)[1])


def pid_of(container: str) -> int:
    """Ask for the host's pid of a container's first process."""
    for line in wasmimg("ps", "--json").splitlines():
        record = json.loads(line)
        if container.startswith(record["id"]) or record["id"].startswith(container):
            return int(record["pid"])
    raise LookupError(container)


def ticks(pid: int) -> int:
    """Read the CPU time of a process with all its threads, in clock ticks (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Load(NamedTuple):
    """What a load did: requests a second, and the server's CPU time a request in microseconds."""

    rps: float
    cpu_us: float


def load(server: Server, path: str, seconds: int = 3, connections: int = 32) -> Load:
    """Send requests by wrk from one thread, and see what they cost the server."""
    before = ticks(server.pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"{server.url}{path}"]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    used = ticks(server.pid) - before
    count, rate = REQUESTS.search(text), RATE.search(text)
    if count is None or rate is None or "Non-2xx" in text:
        raise RuntimeError(text)
    microseconds = used / os.sysconf("SC_CLK_TCK") * 1e6
    return Load(float(rate.group(1)), microseconds / int(count.group(1)))
