"""The demo under `docker compose`: Docker 28.5 pulls its images, runs it, and keeps nothing of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import demo
import pytest

from wasmimg_images.archive import oci
from wasmimg_images.image import host_platform
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_testing import registries
from wasmimg_testing.images import add_image, busybox_files, layer
from wasmimg_testing.machines import FORKY, DockerHost, docker_host
from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "demo-microservice"
PROJECT = "/srv/demo"
FILES = ("compose.yaml", "compose.docker.yaml")
#: replicas can't all have the port that one of them publishes
SCALED = "services: {server: {ports: !reset []}}\n"
pytestmark = pytest.mark.slow


class Project(NamedTuple):
    """The demo's folder in a machine, and where its images come from."""

    host: DockerHost
    registry: str
    files: tuple[str, ...] = FILES

    def compose(self, *words: str) -> str:
        files = [word for name in self.files for word in ("-f", f"{PROJECT}/{name}")]
        command = ("docker", "compose", *files, *words)
        return self.host.machine.run(*command, DEMO_REGISTRY=f"{self.registry}/").well()

    def containers(self, *words: str) -> dict[str, tuple[str, int]]:
        """Give state and exit code of each container, by its name without the project's."""
        lines = self.compose("ps", "--format", "json", *words).splitlines()
        documents = [json.loads(line) for line in lines]
        return {
            document["Name"].removeprefix("demo-"): (document["State"], document["ExitCode"])
            for document in documents
        }

    def get(self, url: str) -> bytes:
        with self.host.machine.network(), urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def answers(self, url: str) -> bool:
        with contextlib.suppress(OSError):
            self.get(url)
            return True
        return False

    def orders(self) -> list[int]:
        until(lambda: self.answers(f"{demo.SERVICE}/healthz"), "the service has its database")
        return sorted(order["order_id"] for order in json.loads(self.get(f"{demo.SERVICE}/orders")))


@pytest.fixture(scope="module")
def host(roots: None, archive: Path) -> Iterator[DockerHost]:
    """A machine of its own: the demo's ports and names are taken by nobody else."""
    demo.STATE.mkdir(parents=True, exist_ok=True)
    demo.build()
    with docker_host(FORKY) as host:
        folder = host.machine.path(PROJECT)
        shutil.copytree(SOURCE / "client", folder / "client")
        for path in SOURCE.glob("compose*.yaml"):
            shutil.copy(path, folder)
        (folder / "compose.scaled.yaml").write_text(SCALED)
        host.load(archive)
        for engine in ("wasmedge", "wasmtime"):  # what an engine makes once, it keeps
            words = ("--runtime", f"io.containerd.{engine}.v1", "--platform", "wasi/wasm")
            host.docker("run", "--rm", *words, "test/hello").well()
        host.docker("image", "prune", "-af").well()
        yield host


@contextlib.contextmanager
def serving(kind: str, host: DockerHost, folder: Path) -> Iterator[str]:
    """Run a registry in the machine's network, with the demo's images in it."""
    with host.machine.network(), contextlib.ExitStack() as stack:
        if kind == "ours":
            stack.enter_context(demo.registry())
            name = demo.REGISTRY
        else:
            name = stack.enter_context(registries.docker_registry(folder, {}))
        for image in demo.IMAGES:
            demo.wasmimg("tag", f"{demo.REGISTRY}/{image}", f"{name}/{image}", home="builder")
            demo.wasmimg("push", f"{name}/{image}", home="builder")
            if name != demo.REGISTRY:
                demo.wasmimg("rmi", f"{name}/{image}", home="builder")
        yield name


@pytest.fixture(scope="module")
def pulled(host: DockerHost, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, its images pulled."""
    with serving("ours", host, tmp_path_factory.mktemp("registry")) as name:
        project = Project(host, name)
        project.compose("pull")
    return project


def play(project: Project) -> None:
    """Play the demo's order script."""
    until(lambda: project.answers(f"{demo.SERVICE}/healthz"), "the service has its database")
    with project.host.machine.network():
        demo.play()
    assert project.orders() == [1, 3, 4, 5]


def is_gone(project: Project, before: Traces) -> None:
    docker = project.host.docker
    assert docker("ps", "-aq").well() == ""
    assert docker("volume", "ls", "-q").well() == ""
    names = docker("network", "ls", "--format", "{{.Name}}").well().split()
    assert sorted(names) == ["bridge", "host", "none"]
    vanish(project.host.machine, before)


@pytest.mark.parametrize("kind", ["ours", "debian"])
def test_orders_through_images_of_a_registry(kind: str, host: DockerHost, tmp_path: Path) -> None:
    before = Traces.of(host.machine)
    with serving(kind, host, tmp_path / "registry") as name:
        project = Project(host, name)
        project.compose("pull")
    project.compose("up", "-d")
    play(project)
    assert b"<html" in project.get(demo.PAGE)
    project.compose("down", "-v")
    is_gone(project, before)
    images = [f"{name}/{image}" for image in demo.IMAGES]
    host.docker("rmi", *images).well()
    assert host.docker("image", "ls", "-q").well() == ""


@pytest.fixture(scope="class")
def project(pulled: Project) -> Iterator[Project]:
    before = Traces.of(pulled.host.machine)
    pulled.compose("up", "-d")
    play(pulled)
    yield pulled
    pulled.compose("down", "-v")
    is_gone(pulled, before)


class TestLife:
    """One run of the project, all through its life."""

    def test_ps_and_logs_show_all_of_it(self, project: Project) -> None:
        running = ("running", 0)
        assert project.containers() == dict.fromkeys(("client-1", "db-1", "server-1"), running)
        assert project.compose("logs", "--no-log-prefix", "server") == "listening at 0.0.0.0:8080"
        logs = project.compose("logs", "client", "db")
        assert "client-1  | serving /usr/share/nginx/html at port 80" in logs
        assert "[entrypoint] the database is ready" in logs

    def test_stop_is_in_good_order_and_start_has_all_the_orders(self, project: Project) -> None:
        project.compose("stop")
        stopped = ("exited", 0)
        assert project.containers("-a") == dict.fromkeys(("client-1", "db-1", "server-1"), stopped)
        project.compose("start")
        assert project.orders() == [1, 3, 4, 5]

    def test_restart_gives_another_process(self, project: Project) -> None:
        before = project.host.state("demo-server-1")["Pid"]
        project.compose("restart", "server")
        assert project.host.state("demo-server-1")["Pid"] != before
        assert project.orders() == [1, 3, 4, 5]

    def test_a_lost_database_comes_back(self, project: Project) -> None:
        project.compose("restart", "db")
        assert project.orders() == [1, 3, 4, 5]

    def test_five_replicas_share_a_name(self, project: Project) -> None:
        scaled = project._replace(files=(*FILES, "compose.scaled.yaml"))
        scaled.compose("up", "-d", "--scale", "server=5")
        names = [f"server-{number}" for number in range(1, 6)]
        assert set(scaled.containers()) == {"client-1", "db-1", *names}
        for name in names:
            address = address_of(project.host, f"demo-{name}")
            until(lambda at=address: scaled.answers(f"http://{at}:8080/healthz"), f"{name} serves")
        listed = scaled.compose("exec", "-T", "db", "getent", "ahostsv4", "server").splitlines()
        addresses = {line.split()[0] for line in listed}
        assert addresses == {address_of(project.host, f"demo-{name}") for name in names}
        project.compose("up", "-d", "--scale", "server=1")
        # With their ports again all five are to be replaced; Compose chooses which number stays.
        left = set(project.containers()) - {"client-1", "db-1"}
        assert len(left) == 1
        assert left <= set(names)
        assert project.orders() == [1, 3, 4, 5]


def address_of(host: DockerHost, container: str) -> str:
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return host.docker("inspect", "-f", template, container).well()


def test_the_published_file_runs_unchanged(pulled: Project, tmp_path: Path) -> None:
    host = pulled.host
    host.load(nginx(tmp_path))
    for image, name in (("mariadb:10.11", "mariadb:10.9"), ("demo-microservice",) * 2):
        host.docker("tag", f"{pulled.registry}/{image}", name).well()
    published = pulled._replace(files=("compose.published.yaml",))
    before = Traces.of(host.machine)
    published.compose("up", "-d")
    assert host.inspect("demo-server-1")["HostConfig"]["Runtime"] == "io.containerd.wasmedge.v1"
    play(published)
    assert b"<html" in published.get(demo.PAGE)
    published.compose("down", "-v")
    is_gone(published, before)


def nginx(folder: Path) -> Path:
    """Make a Linux image that serves the folder which nginx's own does."""
    store = Store(folder / "store")
    page = {"Cmd": ["httpd", "-f", "-p", "80", "-h", "/usr/share/nginx/html"], "Env": ["PATH=/bin"]}
    add_image(store, "nginx:alpine", [layer(busybox_files())], page, host_platform())
    reference = Reference.parse("nginx:alpine")
    path = folder / "nginx.tar"
    with path.open("wb") as sink:
        oci.write_archive(store, [(store.resolve(reference), (reference,))], sink)
    return path
