"""What our client does with any registry."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.digest import Digest
from wasmimg_images.errors import DigestMismatch, NotFound
from wasmimg_images.image import select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.registry.authorization import Scope
from wasmimg_images.registry.client import Client
from wasmimg_images.registry.credentials import Credential
from wasmimg_images.registry.failure import Unauthorized
from wasmimg_images.tree import reachable
from wasmimg_testing.samples import ARM64, RISCV, WASI, add_index, add_manifest, content

if TYPE_CHECKING:
    from wasmimg_images.registry.progress import Progress
    from wasmimg_testing.registries import Registry

CHUNK = 200_000


@pytest.fixture
def name(registry: Registry) -> Reference:
    """A repository that no other test uses."""
    return Reference.parse(f"{registry.host}/tests/{uuid.uuid4().hex}:v1")


def digests(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs/sha256").iterdir()}


def test_an_index_comes_back_byte_for_byte(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    root = add_index(store)
    pushed = client.push(store, name, root)
    assert (pushed.descriptor, pushed.unchanged) == (root, False)
    other = Store(tmp_path / "other")
    assert client.pull(other, name, everything=True) == root
    assert digests(other) == digests(store)
    assert other.resolve(name) == root


def test_a_push_of_what_is_there_is_one_request_and_sends_nothing(
    client: Client, store: Store, name: Reference
) -> None:
    root = add_index(store)
    client.push(store, name, root)
    seen: list[Progress] = []
    again = client.push(store, name, root, seen.append)
    assert again.unchanged
    assert seen == []


def test_a_new_tag_on_what_is_there_sends_no_blob(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    root = add_index(store)
    client.push(store, name, root)
    second = name._replace(tag="v2")
    pushed = client.push(store, second, root)
    assert (pushed.uploaded, pushed.existing) == (0, 0)
    assert client.pull(Store(tmp_path / "other"), second) == root


def test_only_new_layers_are_sent(client: Client, store: Store, name: Reference) -> None:
    base = content(5000, 7)
    client.push(store, name, add_manifest(store, [base]))
    pushed = client.push(store, name, add_manifest(store, [base, content(300, 8)]))
    assert pushed.existing == 5000
    assert 300 < pushed.uploaded < 1000


def test_default_is_what_runs_here_and_the_index_keeps_its_digest(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    root = add_index(store)
    client.push(store, name, root)
    other = Store(tmp_path / "other")
    assert client.pull(other, name) == root
    assert select(other, root).config.platform == WASI
    with pytest.raises(NotFound, match="riscv64"):
        select(other, root, [RISCV])


def test_one_platform_then_another(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    root = add_index(store)
    client.push(store, name, root)
    other = Store(tmp_path / "other")
    client.pull(other, name, [ARM64])
    with pytest.raises(NotFound, match="not here"):
        select(other, root, [WASI])
    client.pull(other, name, [WASI])
    assert select(other, root, [WASI]).config.platform == WASI


def test_what_was_pulled_in_part_can_go_where_the_rest_is_and_nowhere_else(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    root = add_index(store)
    client.push(store, name, root)
    other = Store(tmp_path / "other")
    client.pull(other, name, [WASI])
    assert client.push(other, name._replace(tag="again"), root).uploaded == 0
    elsewhere = name._replace(repository=f"{name.repository}-elsewhere")
    with pytest.raises(NotFound, match="neither here nor there") as caught:
        client.push(other, elsewhere, root)
    assert "--all-platforms" in (caught.value.hint or "")


def test_by_digest(client: Client, store: Store, name: Reference, tmp_path: Path) -> None:
    root = add_index(store)
    client.push(store, name.with_digest(root.digest), root)
    other = Store(tmp_path / "other")
    assert client.pull(other, name.with_digest(root.digest)) == root
    absent = name.with_digest(Digest.of(b"nothing like it"))
    with pytest.raises(NotFound):
        client.pull(other, absent)


def test_an_unknown_tag_is_not_found(client: Client, store: Store, name: Reference) -> None:
    client.push(store, name, add_manifest(store, [b"x"]))
    with pytest.raises(NotFound, match="not found") as caught:
        client.pull(store, name._replace(tag="nope"))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1])
def test_chunked_and_monolithic_uploads(
    registry: Registry, store: Store, name: Reference, size: int, tmp_path: Path
) -> None:
    folder = registry.credentials_file(tmp_path / "docker")
    layer = content(size, size)
    root = add_manifest(store, [layer])
    seen: list[Progress] = []
    other = Store(tmp_path / "other")
    with Client.from_environ({"DOCKER_CONFIG": str(folder)}, chunk=CHUNK) as client:
        client.push(store, name, root, seen.append)
        client.pull(other, name)
    assert digests(other) == digests(store)
    sent = [p.done for p in seen if p.descriptor.size == size and p.state == "running"]
    assert sent == sorted(sent)
    assert (sent or [0])[-1] == size


def test_layers_of_another_repository_are_mounted(
    client: Client, store: Store, name: Reference
) -> None:
    root = add_manifest(store, [content(70_000, 3)])
    client.push(store, name, root)
    store.tag(name, root)
    second = name._replace(repository=f"{name.repository}-copy")
    pushed = client.push(store, second, root)
    assert pushed.mounted > 70_000
    assert pushed.uploaded == 0


def test_a_wrong_guess_where_to_mount_from_costs_nothing(
    client: Client, store: Store, name: Reference
) -> None:
    root = add_manifest(store, [content(70_000, 4)])
    store.tag(name._replace(repository=f"{name.repository}-never-pushed"), root)
    pushed = client.push(store, name, root)
    assert pushed.mounted == 0
    assert pushed.uploaded > 70_000


def test_a_damaged_blob_in_the_store_is_not_pushed(
    client: Client, store: Store, name: Reference
) -> None:
    layer = content(50_000, 5)
    root = add_manifest(store, [layer])
    path = store.path(Digest.of(layer))
    path.write_bytes(b"\0" + layer[1:])
    with pytest.raises(DigestMismatch, match="damaged"):
        client.push(store, name, root)
    with pytest.raises(NotFound):
        client.pull(store, name)


def test_nothing_is_left_of_a_failed_pull(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    with pytest.raises(NotFound):
        client.pull(other, name)
    assert other.images() == []
    assert list(other.root.glob("ingest/*")) == []


def test_wrong_and_missing_passwords(
    registry: Registry, store: Store, name: Reference, tmp_path: Path
) -> None:
    if registry.user is None:
        return
    root = add_manifest(store, [b"secret"])
    for credential in (None, Credential(registry.user, "wrong")):

        class Given:
            def get(self, _host: str, _repository: str) -> Credential | None:
                return credential  # noqa: B023 -- used within the iteration

        with (
            Client.from_environ({}, credentials=Given()) as stranger,
            pytest.raises(Unauthorized) as caught,
        ):
            stranger.push(store, name, root)
        assert caught.value.hint == f"wasmimg login {registry.host}"
        assert "wrong" not in str(caught.value)


def test_login_is_checked(registry: Registry, client: Client) -> None:
    client.check(registry.host)


def test_one_token_for_a_push_and_one_for_each_repository(
    registry: Registry, client: Client, store: Store, name: Reference
) -> None:
    if registry.tokens is None:
        return
    registry.tokens.asked.clear()
    client.push(store, name, add_index(store))
    wanted = str(Scope(name.repository, ("pull", "push")))
    assert [asked.scopes for asked in registry.tokens.asked] == [(wanted,)]
    second = name._replace(repository=f"{name.repository}-2")
    client.push(store, second, add_manifest(store, [b"only here"]))
    assert len(registry.tokens.asked) == 2


def test_every_blob_is_reachable_from_what_was_named(
    client: Client, store: Store, name: Reference, tmp_path: Path
) -> None:
    root = add_index(store)
    client.push(store, name, root)
    other = Store(tmp_path / "other")
    client.pull(other, name, everything=True)
    assert {d.hex for d in reachable([root], other.read)} == digests(other)
    other.gc()
    assert {d.hex for d in reachable([root], other.read)} == digests(other)
