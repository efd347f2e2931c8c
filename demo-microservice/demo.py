"""`make demo`: the whole path, from source to answers out of a database, with no Docker.

Everything it makes stays in build/demo of this checkout and in /run/wasmimg-demo; `make demo-down`
removes the containers, networks and volumes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
STATE: Final = ROOT / "build" / "demo"
COMPOSE: Final = ROOT / "demo-microservice" / "compose.yaml"
WASMIMG: Final = str(Path(sys.executable).with_name("wasmimg"))
REGISTRY: Final = "127.0.0.1:5055"
SERVICE: Final = "http://127.0.0.1:8080"
PAGE: Final = "http://127.0.0.1:8090/"
#: image name -> where it comes from
IMAGES: Final = {
    "demo-microservice": ROOT / "demo-microservice",
    "static-server": ROOT / "images" / "static-server",
    "mariadb:10.11": None,
}
ORDERS: Final = [
    {
        "order_id": number, "product_id": product, "quantity": quantity, "amount": amount,
        "shipping": 5.0, "tax": 1.5, "shipping_address": f"Street {number}, Town"
    }
    for number, product, quantity, amount in (
        (1, 12, 2, 56.0), (2, 15, 3, 256.0), (3, 11, 5, 536.0), (4, 8, 8, 126.0), (5, 24, 1, 46.0)
    )
]  # fmt: skip
STARTS: Final = 5


def environment(home: str) -> dict[str, str]:
    """Point wasmimg to a home of the demo's own: `builder` makes images, `home` runs them."""
    return {
        **os.environ,
        "WASMIMG_HOME": str(STATE / home),
        "WASMIMG_CACHE": str(STATE / "cache"),
        "WASMIMG_RUN": "/run/wasmimg-demo",
    }


def wasmimg(*words: str, home: str = "home", quiet: bool = False) -> str:
    """Run one command, its progress shown, and give what it printed; ends the demo if it fails."""
    if not quiet:
        print(f"$ wasmimg {' '.join(words)}", flush=True)
    done = subprocess.run(
        [WASMIMG, *words], env=environment(home), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip()


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what happens and how long it took."""
    begin = time.monotonic()
    print(f"\n== {title}", flush=True)
    yield
    print(f"   {time.monotonic() - begin:.1f} s", flush=True)


def build() -> None:
    """Make the three images in the builder's store, unchanged ones in no time."""
    for name, source in IMAGES.items():
        if source is not None:
            print(wasmimg("build", str(source), "-t", f"{REGISTRY}/{name}", home="builder"))
    if f"{REGISTRY}/mariadb:10.11" in wasmimg("images", "--json", home="builder", quiet=True):
        return
    root = STATE / "mariadb-root"
    if root.exists():
        shutil.rmtree(root)
    recipe = ROOT / "images" / "mariadb"
    subprocess.run([recipe / "make-root.sh", root], check=True)
    config = str(recipe / "config.json")
    reference = f"{REGISTRY}/mariadb:10.11"
    print(wasmimg("import", str(root), "--config", config, "-t", reference, home="builder"))
    shutil.rmtree(root)


@contextlib.contextmanager
def registry() -> Iterator[None]:
    """Serve a registry from a folder while images travel through it."""
    print(f"$ wasmimg registry-serve build/demo/registry --port {REGISTRY.rpartition(':')[2]}")
    server = subprocess.Popen(
        [WASMIMG, "registry-serve", str(STATE / "registry"), "--port", REGISTRY.rpartition(":")[2]],
        env=environment("builder"),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://{REGISTRY}/v2/", server)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes] | None = None, seconds: float = 30) -> None:
    """Poll a URL until it answers 200; end the demo if its server ends first."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        if time.monotonic() > end or (server is not None and server.poll() is not None):
            sys.exit(f"demo: nothing answers at {url}")
        time.sleep(0.05)


def push() -> None:
    """Push what was built to the registry."""
    for name in IMAGES:
        wasmimg("push", f"{REGISTRY}/{name}", home="builder")


def distribute() -> None:
    """Push what was built, and pull it into an empty store."""
    shutil.rmtree(STATE / "home" / "store", ignore_errors=True)
    with registry():
        push()
        for name in IMAGES:
            print(wasmimg("pull", f"{REGISTRY}/{name}"))
            wasmimg("tag", f"{REGISTRY}/{name}", name, quiet=True)
            wasmimg("rmi", f"{REGISTRY}/{name}", quiet=True)


def ask(method: str, path: str, body: object = None) -> object:
    """Send one request to the service, print it and its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{SERVICE}{path}", data=data, method=method)
    shown = f" {json.dumps(body)[:100]}" if body is not None else ""
    print(f"> {method} {path}{shown}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        sys.exit(f"demo: {method} {path}: {error.code} {error.read().decode()}")
    parsed: object = json.loads(text)
    for line in [json.dumps(item) for item in parsed] if isinstance(parsed, list) else [text]:
        print(f"< {line}")
    return parsed


def play() -> None:
    """Play the order script, and check what comes back."""
    ask("GET", "/init")
    ask("POST", "/create_orders", ORDERS)
    expect(ask("GET", "/orders"), [1, 2, 3, 4, 5])
    ask("GET", "/delete_order?id=2")
    expect(ask("GET", "/orders"), [1, 3, 4, 5])
    ask("POST", "/update_order", {**ORDERS[2], "shipping_address": "Moved to Street 30, Town"})
    expect(ask("GET", "/orders"), [1, 3, 4, 5], moved="Moved to Street 30, Town")


def expect(orders: object, ids: list[int], moved: str | None = None) -> None:
    """End the demo unless these are the orders that came back."""
    rows = orders if isinstance(orders, list) else []
    addresses = {row["order_id"]: row["shipping_address"] for row in rows}
    if sorted(addresses) != ids or (moved is not None and addresses[3] != moved):
        sys.exit(f"demo: unexpected orders: {orders}")


def first_answer_ms(start: Callable[[], str], stop: Callable[[str], object]) -> float:
    """Start the service once more at port 8099, and time it from the command to HTTP 200."""
    begin = time.monotonic()
    name = start()
    try:
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen("http://127.0.0.1:8099/", timeout=2),
            ):
                return (time.monotonic() - begin) * 1000
            time.sleep(0.002)
    finally:
        stop(name)


def median_first_answer_ms(start: Callable[[], str], stop: Callable[[str], object]) -> float:
    """Time a few starts of the service: `start` gives a container's name, `stop` takes it."""
    return statistics.median(first_answer_ms(start, stop) for _ in range(STARTS))


def report(begin: float) -> None:
    """Print what a visitor wants to know next."""
    print("\n== Images (compressed) and start")
    for image in json.loads(wasmimg("images", "--json", quiet=True)):
        print(
            f"   {image['reference']:<40} {image['size'] / 1e6:8.2f} MB  {', '.join(image['platforms'])}"
        )
    words = ("run", "-d", "--rm", "-p", "127.0.0.1:8099:8080", "demo-microservice")
    taken = median_first_answer_ms(
        lambda: wasmimg(*words, quiet=True), lambda name: wasmimg("stop", name, quiet=True)
    )
    print(f"   from `wasmimg run` to HTTP 200: {taken:.0f} ms (median of {STARTS})")
    (STATE / "env").write_text(
        "".join(
            f"export {key}={value}\n"
            for key, value in environment("home").items()
            if key.startswith("WASMIMG_")
        )
    )
    print(f"""
== It runs ({time.monotonic() - begin:.0f} s in all)
   page      {PAGE}
   service   {SERVICE}/orders

   look around:  source build/demo/env
                 .venv/bin/wasmimg ps
                 .venv/bin/wasmimg compose -f demo-microservice/compose.yaml logs -f
   stop:         make demo-down""")


def up() -> None:
    """Do the whole demo."""
    begin = time.monotonic()
    STATE.mkdir(parents=True, exist_ok=True)
    with step("Build: source -> Wasm -> image"):
        build()
    with step("Distribute: push, then pull into an empty store"):
        distribute()
    with step("Run: compose up, no Docker"):
        wasmimg("compose", "-f", str(COMPOSE), "up", "-d", "--wait")
    with step("Use: orders through a Wasm service into MariaDB and back"):
        play()
    report(begin)


def down() -> None:
    """Remove the containers, networks and volumes; images and caches stay for the next time."""
    if (STATE / "home").exists():
        wasmimg("compose", "-f", str(COMPOSE), "down", "-v")


if __name__ == "__main__":
    if sys.argv[1:] not in (["up"], ["down"]):
        sys.exit("usage: demo.py up|down")
    if os.geteuid() != 0:
        sys.exit("demo: containers need root: sudo make demo")
    {"up": up, "down": down}[sys.argv[1]]()
