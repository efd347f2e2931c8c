from pathlib import Path

import pytest

from wasmimg_compose.container import Attachment, Healthcheck, Limits, Mount, Port, RestartPolicy
from wasmimg_compose.model import Build, Dependency, Project
from wasmimg_compose.project import find, load
from wasmimg_images.errors import InvalidInput, NotFound


def write(folder: Path, text: str, env: str | None = None) -> Path:
    (folder / "compose.yaml").write_text(text)
    if env is not None:
        (folder / ".env").write_text(env)
    return folder / "compose.yaml"


def read(folder: Path, text: str, env: str | None = None) -> Project:
    return load(write(folder, text, env), {}, name="shop")


def test_a_file_like_the_published_demo(tmp_path: Path) -> None:
    project = read(
        tmp_path,
        """
services:
  client:
    image: nginx:alpine
    ports: ["8090:80"]
    volumes: ["./client:/usr/share/nginx/html"]
  server:
    image: demo-microservice
    platform: wasi/wasm
    build: {context: .}
    ports: ["8080:8080"]
    environment:
      DATABASE_URL: mysql://root:whalehello@db:3306/mysql
      DNS_SERVER: "127.0.0.11:53"
    restart: unless-stopped
    runtime: io.containerd.wasmedge.v1
  db:
    image: mariadb:10.9
    environment: {MYSQL_ROOT_PASSWORD: whalehello}
""",
    )
    client, server, db = (project.services[name] for name in ("client", "server", "db"))
    assert client.spec.ports == (Port(80, 8090),)
    assert client.spec.mounts == (Mount("bind", str(tmp_path / "client"), "/usr/share/nginx/html"),)
    assert server.build == Build(tmp_path)
    assert server.spec.runtime == "io.containerd.wasmedge.v1"
    assert server.spec.restart == RestartPolicy("unless-stopped")
    assert dict(server.spec.env)["DNS_SERVER"] == "127.0.0.11:53"
    assert db.spec.networks == (Attachment("shop_default", ("db",)),)


def test_everything_a_service_can_say(tmp_path: Path) -> None:
    project = read(
        tmp_path,
        """
services:
  web:
    image: "demo:${TAG:-1}"
    command: serve --port "80 80"
    depends_on:
      db: {condition: service_healthy}
      once: {condition: service_completed_successfully, required: false}
    networks:
      back: {aliases: [api]}
    volumes:
      - data:/data
      - {type: bind, source: ./x, target: /x, read_only: true}
      - {type: tmpfs, target: /t, tmpfs: {size: 1m}}
    healthcheck: {test: wasmimg-probe tcp 80, interval: 1s, timeout: 500ms, retries: 9, start_period: 2s}
    deploy: {replicas: 3, resources: {limits: {memory: 64m, cpus: "0.5", pids: 10}}}
    stop_grace_period: 3s
  db: {image: mariadb, network_mode: host}
  once: {image: once, restart: "on-failure:3"}
networks: {back: {}}
volumes: {data: {}}
""",
        env="TAG=2",
    )
    web = project.services["web"]
    assert web.spec.image == "demo:2"
    assert web.spec.command == ("serve", "--port", "80 80")
    assert web.depends_on == (
        Dependency("db", "service_healthy"),
        Dependency("once", "service_completed_successfully", required=False),
    )
    assert web.spec.networks == (Attachment("shop_back", ("web", "api")),)
    assert web.spec.mounts == (
        Mount("volume", "shop_data", "/data"),
        Mount("bind", str(tmp_path / "x"), "/x", read_only=True),
        Mount("tmpfs", "", "/t", options=("size=1048576",)),
    )
    assert web.spec.healthcheck == Healthcheck(
        ("CMD-SHELL", "wasmimg-probe tcp 80"), 1.0, 0.5, 9, 2.0
    )
    assert (web.scale, web.spec.limits) == (3, Limits(64 << 20, 0.5, 10))
    assert web.spec.stop_grace == 3.0
    assert project.services["once"].spec.restart == RestartPolicy("on-failure", 3)
    assert project.services["db"].spec.networks == (Attachment("host"),)


def test_a_time_of_nothing_is_the_default(tmp_path: Path) -> None:
    zeros = "interval: 0s, timeout: 0ms, retries: 0, start_period: 0s, start_interval: 0s"
    text = f"services: {{w: {{image: x, healthcheck: {{test: [CMD, x], {zeros}}}}}}}"
    assert read(tmp_path, text).services["w"].spec.healthcheck == Healthcheck(("CMD", "x"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "services: {web: {image: x, prots: []}}",
            r"compose.yaml:1:28: services.web.prots: this key",
        ),
        ("services: {web: {image: x, privileged: true}}", r"services.web.privileged"),
        ("services: {web: {ports: [80]}}", "needs an image or a build"),
        ("services: {web: {image: x, ports: ['80:x']}}", r"services.web.ports\[0\]: port '80:x'"),
        ("services: {web: {image: x, volumes: ['data:/d']}}", "no volume is called 'data'"),
        ("services: {web: {image: x, networks: [back]}}", "no network is called 'back'"),
        (
            "services: {web: {image: x, depends_on: [db]}}",
            r"compose.yaml:1:\d+: services.web.depends_on\[0\]: no service is called 'db'",
        ),
        ("services: {web: {image: x, depends_on: {web: {condition: nice}}}}", "'nice' is none of"),
        ("services: {a: {image: x, depends_on: [a]}}", "circle: a -> a"),
        ("services: {web: {image: '${X:?say which}'}}", "services.web.image: required variable X"),
        ("services: {web: {image: x, container_name: ab, scale: 2}}", "can't be scaled"),
        ("services: {web: {image: x, restart: maybe}}", "'maybe' is none of"),
        ("services: {web: {image: x, healthcheck: {test: [curl]}}}", "must be CMD"),
        (
            "services: {w: {image: x, healthcheck: {test: [CMD, x], interval: 1us}}}",
            r"compose.yaml:1:\d+: services.w.healthcheck.interval: 1e-06 s is no time",
        ),
        (
            "services: {w: {image: x, healthcheck: {test: [CMD, x], timeout: -5s}}}",
            "services.w.healthcheck.timeout: '-5s' is not a duration",
        ),
        (
            "services: {w: {image: x, healthcheck: {test: [CMD, x], retries: -1}}}",
            "services.w.healthcheck.retries: -1 retries",
        ),
        (
            'services: {w: {image: x, healthcheck: {test: "wasmimg-probe tcp \'80"}}}',
            "services.w.healthcheck.test: .*can't be split into words",
        ),
        ("services: {}", "no services"),
        (
            "services: {web: {image: x}}\nnetworks: {n: {driver: overlay}}",
            "'overlay' is not supported",
        ),
        ("secrets: {}\nservices: {web: {image: x}}", "compose.yaml:1:1: secrets: this key"),
    ],
)
def test_what_is_wrong_is_named_before_anything_starts(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(tmp_path, text)


def test_unset_variables_and_obsolete_keys_are_warnings(tmp_path: Path) -> None:
    project = read(tmp_path, "version: '3'\nservices: {web: {image: 'x$NOPE'}}")
    assert project.warnings == (
        "the variable NOPE is not set; an empty string stands for it",
        "the key 'version' is obsolete and has no effect",
    )


def test_names_come_from_option_environment_file_and_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My Shop"
    folder.mkdir()
    path = write(folder, "services: {web: {image: x}}")
    assert load(path, {}).name == "myshop"
    assert load(path, {"COMPOSE_PROJECT_NAME": "env"}).name == "env"
    assert load(path, {"COMPOSE_PROJECT_NAME": "env"}, name="opt").name == "opt"
    with pytest.raises(InvalidInput, match="no project name"):
        load(path, {}, name="No!")


def test_finding_looks_upwards(tmp_path: Path) -> None:
    path = write(tmp_path, "services: {}")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find(tmp_path / "a" / "b") == path
    with pytest.raises(NotFound):
        load(tmp_path / "none.yaml", {})
