"""Records survive the disk as they are, and are found by id, name or prefix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose.container import (
    Attachment,
    ContainerSpec,
    Healthcheck,
    Limits,
    Mount,
    Port,
    RestartPolicy,
)
from wasmimg_compose.container_document import read_spec
from wasmimg_compose.fields import Fields, plain
from wasmimg_compose.record import AnonymousVolume, Endpoint, Record, Records, Stored, new_id
from wasmimg_images.errors import InvalidInput, NotFound

text = st.text(max_size=8)
texts = st.lists(text, max_size=3).map(tuple)
pairs = st.lists(st.tuples(text, text), max_size=3).map(tuple)
number = st.floats(0, 1e6)
ports = st.builds(
    Port, st.integers(1, 65535), st.integers(0, 65535), text, st.sampled_from(("tcp", "udp"))
)
specs = st.builds(
    ContainerSpec,
    image=text,
    name=st.none() | text,
    project=text,
    platform=st.none() | text,
    runtime=st.none() | text,
    entrypoint=st.none() | texts,
    command=st.none() | texts,
    env=pairs,
    workdir=st.none() | text,
    user=st.none() | text,
    hostname=st.none() | text,
    labels=pairs,
    ports=st.lists(ports, max_size=2).map(tuple),
    mounts=st.lists(
        st.builds(
            Mount, st.sampled_from(("bind", "volume", "tmpfs")), text, text, st.booleans(), texts
        ),
        max_size=2,
    ).map(tuple),
    networks=st.lists(st.builds(Attachment, text, texts, st.none() | text), max_size=2).map(tuple),
    extra_hosts=pairs,
    limits=st.builds(
        Limits, st.none() | st.integers(0), st.none() | number, st.none() | st.integers(1)
    ),
    restart=st.builds(
        RestartPolicy,
        st.sampled_from(("no", "always", "on-failure", "unless-stopped")),
        st.integers(0),
    ),
    healthcheck=st.none()
    | st.builds(Healthcheck, texts, number, number, st.integers(0), number, number),
    stop_signal=st.none() | text,
    stop_grace=number,
    read_only=st.booleans(),
    interactive=st.booleans(),
    auto_remove=st.booleans(),
)


def record(name: str = "web", **changes: object) -> Record:
    base = Record(new_id(), name, ContainerSpec("demo"), Stored("m", "sha256:0", 1, "wasi/wasm"), 1)
    return base._replace(**changes)  # type: ignore[arg-type]  # the tests name real fields


@given(specs)
def test_a_spec_survives_json(spec: ContainerSpec) -> None:
    raw = json.dumps(plain(spec)).encode()
    assert read_spec(Fields.parse(raw, "spec")) == spec


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    records = Records(tmp_path)
    made = record(
        state="running",
        wanted="running",
        pid=7,
        health="healthy",
        ports=(Port(80, 8080),),
        endpoints=(Endpoint("n", "10.0.0.2", 24, "10.0.0.1", "eth0", "ve1", ("web", "w")),),
        volumes=(AnonymousVolume("v", "/data"),),
        healthcheck=Healthcheck(("CMD", "true")),
    )
    records.folder(made.id).mkdir()
    records.save(made)
    assert records.load(made.id) == made
    assert [path.name for path in records.folder(made.id).iterdir()] == ["record.json"]


def test_a_container_is_found_by_id_name_and_unique_prefix(tmp_path: Path) -> None:
    records = Records(tmp_path)
    one, two = record("one", id="aa" * 32), record("two", id="ab" * 32)
    for each in (one, two):
        records.folder(each.id).mkdir()
        records.save(each)
    assert records.find("two") == two
    assert records.find("aa") == one
    assert records.find(one.id) == one
    with pytest.raises(InvalidInput, match="2 containers"):
        records.find("a")
    with pytest.raises(NotFound, match="no such container: b"):
        records.find("b")
    with pytest.raises(NotFound):
        records.find("")


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    records = Records(tmp_path)
    folder = records.folder("c")
    folder.mkdir()
    (folder / "record.json").write_text('{"id": 3}')
    with pytest.raises(InvalidInput, match=r"record\.json: id is not a string"):
        records.load("c")


def test_a_lock_is_taken_once(tmp_path: Path) -> None:
    records = Records(tmp_path)
    (tmp_path / "c").mkdir()
    with records.lock("c") as mine, records.lock("c", wait=False) as second:
        assert mine
        assert not second
    with records.lock("c", wait=False) as again:
        assert again
    with pytest.raises(NotFound), records.lock("d"):
        pass


def test_dropping_takes_everything_with_it(tmp_path: Path) -> None:
    records, made = Records(tmp_path), record()
    folder = records.folder(made.id)
    (folder / "upper" / "deep").mkdir(parents=True)
    (folder / "upper" / "link").symlink_to("/etc")
    records.save(made)
    records.drop(made.id)
    assert not folder.exists()
    records.drop(made.id)
    assert Path("/etc").is_dir()
