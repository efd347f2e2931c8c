"""The proof that an installation works: a Wasm image, made here, run by the engine and removed.

What it makes in an engine has names of its own, so that what a killed proof left is found again.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Final

from wasmimg_images.errors import HostError
from wasmimg_images.image import host_platform
from wasmimg_images.reference import Reference
from wasmimg_shim.install.ctr import Ctr, column
from wasmimg_shim.install.docker_api import DockerApi, DockerError, demultiplex, encoded
from wasmimg_shim.install.proof_image import LINE, WASI, archive

_NAME: Final = "wasmimg-proof"
_LABEL: Final = "io.wasmimg.proof"
#: seconds for a clean-up after a daemon has shown that it hangs
_SWEEP_TIMEOUT: Final = 10.0
_HINT: Final = "what was installed stays; `wasmimg uninstall` takes it back"


def docker_snapshotter(api: DockerApi) -> bool:
    """Tell whether Docker keeps its images in containerd's store (Engine API, SystemInfo)."""
    status = api.get("/info").get("DriverStatus")
    pairs = [item.texts() for item in status.items()] if status is not None else []
    return ("driver-type", "io.containerd.snapshotter.v1") in pairs


def prove_docker(socket: str, runtimes: tuple[str, ...]) -> None:
    """Run the image by each runtime's name; HostError says what went wrong."""
    api = DockerApi(socket)
    sweep_docker(api)
    platform = WASI if docker_snapshotter(api) else host_platform()
    name = Reference.parse(f"{_NAME}:{uuid.uuid4().hex[:12]}")
    try:
        api.call(
            "POST", "/images/load", {"quiet": "1"}, archive(name, platform), "application/x-tar"
        )
        for runtime in runtimes:
            try:
                _run_in_docker(api, name.familiar(), runtime, str(platform))
            except DockerError as error:
                raise HostError(
                    f"--runtime {runtime} fails: {error.message}", hint=_HINT
                ) from error
    except BaseException:
        with contextlib.suppress(DockerError):
            sweep_docker(DockerApi(socket, _SWEEP_TIMEOUT))
        raise
    sweep_docker(api)


def _run_in_docker(api: DockerApi, image: str, runtime: str, platform: str) -> None:
    body = encoded(
        {"Image": image, "Labels": {_LABEL: "1"}, "HostConfig": {"Runtime": runtime}},
    )
    query = {"name": f"{_NAME}-{uuid.uuid4().hex[:12]}", "platform": platform}
    created = api.call("POST", "/containers/create", query, body)
    container: str = json.loads(created)["Id"]
    api.call("POST", f"/containers/{container}/start")
    status: int = json.loads(api.call("POST", f"/containers/{container}/wait"))["StatusCode"]
    log = api.call("GET", f"/containers/{container}/logs", {"stdout": "1", "stderr": "1"})
    _check(runtime, status, *demultiplex(log))


def _check(runtime: str, status: int | None, out: bytes, err: bytes) -> None:
    if status == 0 and out == LINE.encode():
        return
    said = (err or out).decode(errors="replace").strip().rpartition("\n")[2]
    ended = "ended wrongly" if status is None else f"ended with {status}"
    raise HostError(f"--runtime {runtime} {ended}: {said or 'it said nothing'}", hint=_HINT)


def docker_leftovers(api: DockerApi) -> tuple[list[str], list[str]]:
    """List containers and images that killed proofs have left."""
    labelled = json.dumps({"label": [_LABEL]})
    containers = api.get("/containers/json", all="1", filters=labelled).items()
    named = json.dumps({"reference": [_NAME]})
    images = api.get("/images/json", filters=named).items()
    return (
        [container.need("Id").text() for container in containers],
        [tag for image in images for tag in image.need("RepoTags").texts()],
    )


def sweep_docker(api: DockerApi) -> None:
    """Remove them; raises DockerError."""
    containers, images = docker_leftovers(api)
    for container in containers:
        api.call("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})
    for image in images:
        api.call("DELETE", f"/images/{image}", {"force": "1"})


def prove_containerd(address: str, runtime: str) -> None:
    """Run the image by `ctr run`; HostError says what went wrong."""
    sweep_containerd(address)
    ctr = Ctr(address, _NAME)
    name = Reference.parse(f"{_NAME}:{uuid.uuid4().hex[:12]}")
    try:
        ctr.need("images", "import", "-", stdin=archive(name, host_platform()))
        ran = ctr.run("run", "--rm", "--runtime", runtime, str(name), f"proof-{name.tag}")
        _check(runtime, ran.status, ran.out.encode(), ran.reason.encode())
    finally:
        sweep_containerd(address)


def containerd_leftovers(address: str) -> bool:
    """Tell whether a killed proof has left its namespace."""
    return _NAME in Ctr(address).lines("namespaces", "ls", "-q")


def sweep_containerd(address: str) -> None:
    """Remove the namespace of proofs with all that is in it; raises HostError."""
    if not containerd_leftovers(address):
        return
    ctr = Ctr(address, _NAME)
    for task in column(ctr.lines("tasks", "ls"), 0):
        ctr.run("tasks", "rm", "--force", task, timeout=_SWEEP_TIMEOUT)
    for container in ctr.lines("containers", "ls", "-q"):
        ctr.run("containers", "rm", container, timeout=_SWEEP_TIMEOUT)
    for image in ctr.lines("images", "ls", "-q"):
        ctr.run("images", "rm", "--sync", image, timeout=_SWEEP_TIMEOUT)
    ctr.need("namespaces", "rm", _NAME)
