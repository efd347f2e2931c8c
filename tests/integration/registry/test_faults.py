"""What the client does when the registry, or what is before it, goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.digest import Digest
from wasmimg_images.errors import DigestMismatch, RegistryError
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.registry.failure import Refused, Unauthorized, Unreachable
from wasmimg_testing.faults import Fault, FaultProxy, Kind
from wasmimg_testing.registries import free_port
from wasmimg_testing.samples import add_index, add_manifest, content

if TYPE_CHECKING:
    from wasmimg_images.registry.client import Client
    from wasmimg_images.registry.progress import Progress

Broken = Callable[..., FaultProxy]
SIZE, CHUNK = 1_000_000, 300_000


def named(proxy: FaultProxy) -> Reference:
    return Reference.parse(f"{proxy.host}/demo:1")


def arrived(client: Client, name: Reference, source: Store, folder: Path) -> bool:
    """Whether what was pushed can be pulled whole."""
    other = Store(folder / "arrived")
    client.pull(other, name, everything=True)
    blobs = "blobs/sha256"
    return {p.name for p in (other.root / blobs).iterdir()} == {
        p.name for p in (source.root / blobs).iterdir()
    }


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "where",
    ["HEAD .*manifests", "HEAD .*blobs", "POST .*uploads", "PATCH .*uploads", "PUT .*manifests"],
)
def test_temporary_failures_are_tried_again(
    client: Client, store: Store, broken: Broken, tmp_path: Path, status: int, where: str
) -> None:
    proxy = broken(Fault(where, "status", times=2, status=status))
    root = add_manifest(store, [content(SIZE)])
    client.push(store, named(proxy), root)
    assert len(proxy.requests(f"{where}.*-> {status}")) == 2
    assert arrived(client, named(proxy), store, tmp_path)


@pytest.mark.parametrize("status", [400, 403, 405, 413, 418])
def test_hopeless_failures_are_not(
    client: Client, store: Store, broken: Broken, slept: list[float], status: int
) -> None:
    body = b'{"errors":[{"code":"DENIED","message":"not you\\nagain"}]}'
    proxy = broken(Fault("POST", "status", times=99, status=status, body=body))
    with pytest.raises(Refused) as caught:
        client.push(store, named(proxy), add_manifest(store, [b"x"]))
    assert slept == []
    assert caught.value.status == status
    assert [d.code for d in caught.value.diagnostics] == ["DENIED"]
    assert "\n" not in caught.value.message


def test_a_registry_that_stays_broken_is_given_up_on(
    client: Client, store: Store, broken: Broken, slept: list[float]
) -> None:
    proxy = broken(Fault("HEAD", "status", times=99, status=503))
    with pytest.raises(Refused, match="answered 503"):
        client.push(store, named(proxy), add_manifest(store, [b"x"]))
    assert len(slept) == 4
    assert slept == sorted(slept)
    assert sum(slept) < 10


def test_retry_after_is_honoured_up_to_a_limit(
    client: Client, store: Store, broken: Broken, slept: list[float]
) -> None:
    proxy = broken(
        Fault("POST", "status", status=429, headers={"Retry-After": "7"}),
        Fault("PUT .*manifests", "status", status=503, headers={"Retry-After": "86400"}),
    )
    client.push(store, named(proxy), add_manifest(store, []))
    assert slept == [7.0, 30.0]


@pytest.mark.parametrize("kind", ["reset", "lost-answer"])
@pytest.mark.parametrize(
    "where",
    [
        "HEAD .*manifests",
        "HEAD .*blobs",
        "POST .*uploads",
        "PATCH",
        "PUT .*uploads",
        "PUT .*manifests",
    ],
)
def test_connections_that_break(
    client: Client, store: Store, broken: Broken, tmp_path: Path, kind: Kind, where: str
) -> None:
    proxy = broken(Fault(where, kind))
    client.push(store, named(proxy), add_manifest(store, [content(SIZE)]))
    assert arrived(client, named(proxy), store, tmp_path)


def test_a_chunk_that_breaks_off_is_resumed_where_the_registry_stands(
    client: Client, store: Store, broken: Broken, tmp_path: Path
) -> None:
    proxy = broken(Fault("PATCH", "reset-upload", after=150_000, times=3))
    client.push(store, named(proxy), add_manifest(store, [content(SIZE)]))
    assert len(proxy.requests("GET .*uploads.*-> 204")) >= 3
    assert len(proxy.requests("POST .*uploads")) == 2  # config and layer, none begun again
    assert proxy.sent < SIZE + 3 * CHUNK  # a break costs a chunk at most
    assert arrived(client, named(proxy), store, tmp_path)


def test_a_small_blob_that_breaks_off(
    client: Client, store: Store, broken: Broken, tmp_path: Path
) -> None:
    proxy = broken(Fault("PUT .*uploads", "reset-upload", after=65536, times=2))
    client.push(store, named(proxy), add_manifest(store, [content(200_000)]))
    assert arrived(client, named(proxy), store, tmp_path)


def test_a_lost_upload_session_begins_again(
    client: Client, store: Store, broken: Broken, tmp_path: Path
) -> None:
    body = b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'
    proxy = broken(Fault("PATCH", "status", status=404, body=body))
    client.push(store, named(proxy), add_manifest(store, [content(SIZE)]))
    assert len(proxy.requests("POST .*uploads")) == 3  # config, layer, layer again
    assert arrived(client, named(proxy), store, tmp_path)


def test_a_session_that_is_always_lost_comes_to_an_end(
    client: Client, store: Store, broken: Broken
) -> None:
    proxy = broken(Fault("PATCH", "status", status=404, times=99))
    with pytest.raises(RegistryError, match="lost the upload"):
        client.push(store, named(proxy), add_manifest(store, [content(SIZE)]))


def test_bytes_changed_on_the_way_up_are_noticed(
    client: Client, store: Store, broken: Broken
) -> None:
    proxy = broken(Fault("PATCH", "corrupt"))
    with pytest.raises(DigestMismatch, match="other bytes"):
        client.push(store, named(proxy), add_manifest(store, [content(SIZE)]))


@pytest.mark.parametrize("where", ["GET .*blobs", "GET .*manifests"])
def test_bytes_changed_on_the_way_down_are_noticed(
    client: Client, store: Store, broken: Broken, tmp_path: Path, where: str
) -> None:
    proxy = broken(Fault(where, "corrupt", times=99))
    client.push(store, named(proxy), add_index(store))
    other = Store(tmp_path / "other")
    with pytest.raises(DigestMismatch):
        client.pull(other, named(proxy))
    assert other.images() == []
    assert list(other.root.glob("ingest/*")) == []


def test_a_false_digest_header_is_noticed(
    client: Client, store: Store, broken: Broken, tmp_path: Path
) -> None:
    false = {"docker-content-digest": str(Digest.of(b"something else"))}
    proxy = broken(Fault("GET .*manifests", "header", headers=false))
    client.push(store, named(proxy), add_index(store))
    with pytest.raises(DigestMismatch):
        client.pull(Store(tmp_path / "other"), named(proxy))


@pytest.mark.parametrize(
    ("after", "statuses"),
    [
        (0, ["200", "200", "200"]),
        (1, ["200", "206", "206"]),
        (70_000, ["200", "206", "206"]),
        (SIZE - 1, ["200", "206"]),
    ],
)
def test_downloads_that_break_off_go_on_where_they_were(
    client: Client,
    store: Store,
    broken: Broken,
    tmp_path: Path,
    after: int,
    statuses: list[str],
) -> None:
    layer = content(SIZE)
    blob = f"GET .*{Digest.of(layer).hex}"
    proxy = broken(Fault(blob, "truncate", after=after, times=2))
    client.push(store, named(proxy), add_manifest(store, [layer]))
    assert arrived(client, named(proxy), store, tmp_path)
    assert [line[-3:] for line in proxy.requests(blob)] == statuses


def test_a_document_that_breaks_off(
    client: Client, store: Store, broken: Broken, tmp_path: Path
) -> None:
    proxy = broken(Fault("GET .*manifests", "truncate", after=10, times=2))
    client.push(store, named(proxy), add_index(store))
    assert arrived(client, named(proxy), store, tmp_path)


def test_a_slow_registry_is_only_slow(
    client: Client, store: Store, broken: Broken, tmp_path: Path, slept: list[float]
) -> None:
    proxy = broken(Fault("GET", "dribble", after=7, times=99))
    client.push(store, named(proxy), add_index(store))
    assert arrived(client, named(proxy), store, tmp_path)
    assert slept == []


def test_a_token_of_the_wrong_scope_ends_in_unauthorized(
    client: Client, store: Store, broken: Broken
) -> None:
    challenge = 'Bearer realm="http://{}/token",service="s",error="insufficient_scope"'
    proxy = broken()
    proxy.faults += [
        Fault("POST", "status", 99, 401, {"WWW-Authenticate": challenge.format(proxy.host)}),
        Fault("GET /token", "status", 99, 200, body=b'{"token":"weak"}'),
    ]
    with pytest.raises(Unauthorized) as caught:
        client.push(store, named(proxy), add_manifest(store, [b"x"]))
    assert caught.value.hint == f"wasmimg login {proxy.host}"
    assert len(proxy.requests("GET /token.*pull,push")) <= 4


def test_no_registry_is_said_at_once(client: Client, store: Store, slept: list[float]) -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=rf"127\.0\.0\.1:{port}: connection refused"):
        client.push(store, Reference.parse(f"127.0.0.1:{port}/x:1"), add_manifest(store, [b"x"]))
    assert slept == []


def test_an_unknown_host_is_said_at_once(client: Client, store: Store, slept: list[float]) -> None:
    with pytest.raises(Unreachable, match=r"registry\.invalid") as caught:
        client.pull(store, Reference.parse("registry.invalid/x:1"))
    assert "\n" not in caught.value.message


def test_a_redirect_does_not_carry_credentials_elsewhere(
    client: Client, store: Store, broken: Broken, tmp_path: Path
) -> None:
    proxy = broken()
    elsewhere = broken()
    client.push(store, named(proxy), add_manifest(store, [b"x"]))
    layer = Digest.of(b"x")
    target = f"http://{elsewhere.host}/v2/demo/blobs/{layer}"
    proxy.faults.append(Fault(f"GET .*{layer.hex}", "status", 1, 307, {"Location": target}))
    assert arrived(client, named(proxy), store, tmp_path)
    assert len(elsewhere.requests("GET .*-> 200")) == 1


def test_endless_redirects_end(client: Client, store: Store, broken: Broken) -> None:
    proxy = broken()
    circle = {"Location": f"http://{proxy.host}/v2/demo/manifests/1"}
    proxy.faults.append(Fault("GET", "status", 99, 307, circle))
    with pytest.raises(RegistryError, match="redirects"):
        client.pull(store, named(proxy))


def test_a_push_of_what_is_there_is_one_request(
    client: Client, store: Store, broken: Broken
) -> None:
    proxy = broken()
    root = add_index(store)
    client.push(store, named(proxy), root)
    proxy.log.clear()
    client.push(store, named(proxy), root)
    assert proxy.log == ["HEAD /v2/demo/manifests/1 -> 200"]


def test_a_registry_that_fails_for_good_leaves_the_upload_to_the_next_push(
    client: Client, store: Store, broken: Broken
) -> None:
    proxy = broken(Fault("(PATCH|GET) .*uploads", "status", times=0, status=503))
    root = add_manifest(store, [content(SIZE)])

    def fail_half_way(progress: Progress) -> None:
        if progress.state == "running" and progress.done > SIZE // 2:
            proxy.faults[0].times = 99

    with pytest.raises(Refused, match="answered 503"):
        client.push(store, named(proxy), root, fail_half_way)
    proxy.faults.clear()
    begun = len(proxy.requests("POST .*uploads"))
    client.push(store, named(proxy), root)
    assert len(proxy.requests("POST .*uploads")) == begun
    assert proxy.sent < SIZE + 10_000
