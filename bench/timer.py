"""Runs inside a test machine: times commands in turn, so that entering the machine is not measured.

Standard input is JSON: `rounds`, and `cases`, each with `words` to time, a `url` that has to answer
before the time is taken, and `after`, commands that clean up. `{n}` stands for a number that is
never used twice. Standard output is JSON: for each case its times in milliseconds, without the
first round's.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

PATIENCE = 30.0


def main() -> None:
    """Time A B A B …, the order turned in every other round."""
    plan = json.load(sys.stdin)
    found: dict[str, list[float]] = {name: [] for name in plan["cases"]}
    for number in range(plan["rounds"] + 1):
        order = list(plan["cases"]) if number % 2 else list(reversed(plan["cases"]))
        for name in order:
            taken = timed(plan["cases"][name], f"{name}-{number}")
            if number:
                found[name].append(taken)
    json.dump(found, sys.stdout)


def timed(case: dict[str, object], number: str) -> float:
    """Time one case once."""
    begin = time.perf_counter()
    run(case["words"], number, case.get("cwd"))
    if case.get("url"):
        wait(str(case["url"]))
    taken = (time.perf_counter() - begin) * 1000
    for words in case.get("after", ()):
        run(words, number, None)
    return taken


def run(words: object, number: str, cwd: object) -> None:
    """Run a command to its end; what it says is shown only where it fails."""
    filled = [str(word).replace("{n}", number) for word in words]
    done = subprocess.run(
        filled, check=False, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        sys.exit(f"{filled}: {done.returncode}: {done.stderr.decode()}{done.stdout.decode()}")


def wait(url: str) -> None:
    """Wait until a URL answers 200."""
    parts, end = urlsplit(url), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
        try:
            connection.request("GET", parts.path or "/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.001)
        finally:
            connection.close()
    sys.exit(f"{url} does not answer")


main()
