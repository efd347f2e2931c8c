from pathlib import Path

from wasmimg_compose.project import load
from wasmimg_compose.render import render

FILE = """
services:
  web:
    image: web
    entrypoint: [serve]
    command: ["--price", "5$$"]
    ports: ["127.0.0.1:8080-8081:80-81/udp", "90"]
    environment: {A: "1", B: "two $$ words"}
    volumes: [{type: tmpfs, target: /t, tmpfs: {size: 64k}}, "data:/d:ro", "./x:/x", "v2:/v:nocopy"]
    networks: {back: {aliases: [api], ipv4_address: 10.1.0.9}}
    healthcheck: {test: [CMD, wasmimg-probe, tcp, "80"], interval: 250ms}
    depends_on: [db]
    restart: on-failure:2
    read_only: true
    mem_limit: 64m
    stop_grace_period: 1500ms
  db: {image: db, scale: 2, build: ., network_mode: none, healthcheck: {disable: true}, profiles: [x]}
networks: {back: {name: mine, internal: true, ipam: {config: [{subnet: 10.1.0.0/24}]}}, out: {external: true}}
volumes: {data: {}, v2: {external: true, name: other}}
"""


def test_a_rendered_file_reads_back_as_the_same_project(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(FILE)
    first = load(path, {}, name="shop")
    path.write_text(render(first))
    assert load(path, {}) == first
