"""`registry-serve` against OCI distribution-spec 1.1, section by section, with nothing but HTTP."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from wasmimg_images.digest import Digest
from wasmimg_images.registry.server.listener import Options
from wasmimg_images.spec import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from wasmimg_testing import registries
from wasmimg_testing.samples import content

BLOB = content(100_000)
DIGEST = Digest.of(BLOB)
OCTETS = {"content-type": "application/octet-stream"}
ABSENT = "sha256:" + "0" * 64


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, object]:
        return cast("dict[str, object]", json.loads(self.body))

    @property
    def code(self) -> str:
        errors = cast("list[dict[str, str]]", self.document["errors"])
        return errors[0]["code"]

    @property
    def location(self) -> str:
        return self.headers["location"]


class Api:
    """One kept connection, so that an answer that spoils it spoils the next request's too."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.connection = http.client.HTTPConnection(host, timeout=10)

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        self.connection.request(method, path, body, dict(headers or {}))
        response = self.connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())

    def upload(self, repository: str, data: bytes) -> str:
        begun = self("POST", f"/v2/{repository}/blobs/uploads/")
        digest = str(Digest.of(data))
        done = self("PUT", f"{begun.location}?digest={digest}", data, OCTETS)
        assert done.status == 201
        return digest

    def put(
        self, repository: str, name: str, document: Mapping[str, object], kind: str = OCI_MANIFEST
    ) -> Answer:
        body = json.dumps(document).encode()
        return self("PUT", f"/v2/{repository}/manifests/{name}", body, {"content-type": kind})

    def image(self, repository: str, name: str, **extra: object) -> Answer:
        config, layer = self.upload(repository, b"{}"), self.upload(repository, BLOB)
        return self.put(repository, name, {**manifest(config, layer), **extra})


def manifest(config: str, layer: str) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 2},
        "layers": [{"mediaType": OCI_LAYER, "digest": layer, "size": len(BLOB)}],
    }


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with registries.ours(tmp_path / "r", Options(deletes=True)) as registry:
        api = Api(registry.host)
        yield api
        api.connection.close()


class TestSupport:
    def test_the_base_address_answers(self, api: Api) -> None:
        for path in ("/v2/", "/v2"):
            answer = api("GET", path)
            assert (answer.status, answer.document) == (200, {})
            assert answer.headers["docker-distribution-api-version"] == "registry/2.0"

    @pytest.mark.parametrize("path", ["/", "/v1/", "/v2/a/b", "/v2/a/tags", "/favicon.ico"])
    def test_other_addresses_do_not_exist(self, api: Api, path: str) -> None:
        assert api("GET", path).status == 404

    @pytest.mark.parametrize(
        "name", ["A", "a//b", "-a", "a/", "a..b", "%2e%2e/x", "a/_x", "a" * 256]
    )
    def test_names_outside_the_grammar(self, api: Api, name: str) -> None:
        answer = api("GET", f"/v2/{name}/manifests/x")
        assert (answer.status, answer.code) == (400, "NAME_INVALID")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("DELETE", "/v2/"),
            ("PATCH", f"/v2/a/blobs/{ABSENT}"),
            ("POST", "/v2/a/manifests/x"),
            ("PUT", "/v2/a/tags/list"),
        ],
    )
    def test_other_methods_are_unsupported(self, api: Api, method: str, path: str) -> None:
        answer = api(method, path)
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")


class TestPull:
    def test_a_blob_by_get_and_head(self, api: Api) -> None:
        digest = api.upload("a", BLOB)
        got, head = api("GET", f"/v2/a/blobs/{digest}"), api("HEAD", f"/v2/a/blobs/{digest}")
        assert (got.status, got.body) == (200, BLOB)
        assert (head.status, head.body) == (200, b"")
        assert got.headers["docker-content-digest"] == digest
        assert got.headers["content-length"] == head.headers["content-length"] == "100000"

    @pytest.mark.parametrize(
        ("wanted", "expected", "stated"),
        [
            ("bytes=0-0", BLOB[:1], "bytes 0-0/100000"),
            ("bytes=100-199", BLOB[100:200], "bytes 100-199/100000"),
            ("bytes=99990-", BLOB[99990:], "bytes 99990-99999/100000"),
            ("bytes=-7", BLOB[-7:], "bytes 99993-99999/100000"),
            ("bytes=99999-999999", BLOB[-1:], "bytes 99999-99999/100000"),
        ],
    )
    def test_a_part_of_a_blob(self, api: Api, wanted: str, expected: bytes, stated: str) -> None:
        answer = api("GET", f"/v2/a/blobs/{api.upload('a', BLOB)}", headers={"range": wanted})
        assert (answer.status, answer.body) == (206, expected)
        assert answer.headers["content-range"] == stated

    def test_parts_beyond_the_end(self, api: Api) -> None:
        digest = api.upload("a", BLOB)
        for wanted in ("bytes=100000-", "bytes=5-4", "bytes=-0"):
            answer = api("GET", f"/v2/a/blobs/{digest}", headers={"range": wanted})
            assert answer.status == 416
            assert answer.headers["content-range"] == "bytes */100000"

    @pytest.mark.parametrize("wanted", ["bytes=0-99999", "bytes=0-1,5-6", "lines=1-2", "bytes=-"])
    def test_ranges_that_mean_all(self, api: Api, wanted: str) -> None:
        answer = api("GET", f"/v2/a/blobs/{api.upload('a', BLOB)}", headers={"range": wanted})
        assert (answer.status, answer.body) == (200, BLOB)

    def test_unknown_blobs_and_manifests(self, api: Api) -> None:
        api.image("a", "v1")
        blob = api("GET", f"/v2/a/blobs/{ABSENT}")
        assert (blob.status, blob.code) == (404, "BLOB_UNKNOWN")
        for name in ("v2", ABSENT):
            answer = api("GET", f"/v2/a/manifests/{name}")
            assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
        assert api("HEAD", "/v2/a/manifests/v2").status == 404

    def test_a_blob_belongs_to_its_repository(self, api: Api) -> None:
        digest = api.upload("a", BLOB)
        assert api("GET", f"/v2/b/blobs/{digest}").status == 404

    @pytest.mark.parametrize("digest", ["sha256:abc", "md5:" + "0" * 32, "sha256:" + "A" * 64, "x"])
    def test_digests_outside_the_grammar(self, api: Api, digest: str) -> None:
        answer = api("GET", f"/v2/a/blobs/{digest}")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")

    def test_a_manifest_by_tag_and_digest_is_what_was_put(self, api: Api) -> None:
        put = api.image("a/b", "v1")
        digest = put.headers["docker-content-digest"]
        by_tag, by_digest = (api("GET", f"/v2/a/b/manifests/{n}") for n in ("v1", digest))
        assert by_tag.body == by_digest.body
        assert str(Digest.of(by_tag.body)) == digest
        assert by_tag.headers["content-type"] == OCI_MANIFEST
        head = api("HEAD", "/v2/a/b/manifests/v1")
        assert head.headers["content-length"] == str(len(by_tag.body))


class TestPushBlobs:
    def test_post_then_put(self, api: Api) -> None:
        begun = api("POST", "/v2/a/blobs/uploads/", headers={"content-length": "0"})
        assert (begun.status, begun.body) == (202, b"")
        done = api("PUT", f"{begun.location}?digest={DIGEST}", BLOB, OCTETS)
        assert done.status == 201
        assert done.location == f"/v2/a/blobs/{DIGEST}"
        assert api("GET", done.location).body == BLOB
        assert api("GET", begun.location).code == "BLOB_UPLOAD_UNKNOWN"

    def test_a_single_post(self, api: Api) -> None:
        done = api("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", BLOB, OCTETS)
        assert done.status == 201
        assert api("GET", done.location).body == BLOB

    def test_chunks_with_ranges(self, api: Api) -> None:
        begun = api("POST", "/v2/a/blobs/uploads/")
        location = begun.location
        for start in range(0, len(BLOB), 40_000):
            part = BLOB[start : start + 40_000]
            stated = {"content-range": f"{start}-{start + len(part) - 1}", **OCTETS}
            answer = api("PATCH", location, part, stated)
            assert answer.status == 202
            assert answer.headers["range"] == f"0-{start + len(part) - 1}"
            location = answer.location
        assert api("PUT", f"{location}?digest={DIGEST}").status == 201
        assert api("GET", f"/v2/a/blobs/{DIGEST}").body == BLOB

    def test_the_last_chunk_may_come_with_the_put(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        location = api("PATCH", location, BLOB[:99], OCTETS).location
        stated = {"content-range": "99-99999", **OCTETS}
        assert api("PUT", f"{location}?digest={DIGEST}", BLOB[99:], stated).status == 201

    def test_a_stream_of_unknown_length(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        answer = api("PATCH", location, iter([BLOB[:7], BLOB[7:50_000], BLOB[50_000:]]), OCTETS)
        assert (answer.status, answer.headers["range"]) == (202, "0-99999")
        assert api("PUT", f"{answer.location}?digest={DIGEST}").status == 201

    def test_chunks_out_of_order(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        api("PATCH", location, BLOB[:100], OCTETS)
        for stated in ("0-99", "200-299"):
            answer = api("PATCH", location, BLOB[:100], {"content-range": stated, **OCTETS})
            assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
            assert answer.headers["range"] == "0-99"
        status = api("GET", location)
        assert (status.status, status.headers["range"]) == (204, "0-99")

    @pytest.mark.parametrize(
        ("stated", "code"), [("0-5", "SIZE_INVALID"), ("x", "BLOB_UPLOAD_INVALID")]
    )
    def test_ranges_that_lie(self, api: Api, stated: str, code: str) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        answer = api("PATCH", location, BLOB[:100], {"content-range": stated, **OCTETS})
        assert (answer.status, answer.code) == (400, code)

    def test_a_wrong_digest_ends_the_upload(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        answer = api("PUT", f"{location}?digest={ABSENT}", BLOB, OCTETS)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
        assert api("GET", location).status == 404
        assert api("HEAD", f"/v2/a/blobs/{ABSENT}").status == 404

    def test_a_put_needs_a_digest(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        assert api("PUT", location, b"").code == "DIGEST_INVALID"

    def test_an_upload_can_be_cancelled(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        assert api("DELETE", location).status == 204
        assert api("PATCH", location, b"x", OCTETS).code == "BLOB_UPLOAD_UNKNOWN"

    @pytest.mark.parametrize("identity", ["nope", "..", "%2e%2e%2fx", "0" * 32])
    def test_unknown_uploads(self, api: Api, identity: str) -> None:
        answer = api("PATCH", f"/v2/a/blobs/uploads/{identity}", b"x", OCTETS)
        assert answer.status == 404

    def test_an_upload_belongs_to_its_repository(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        stolen = location.replace("/v2/a/", "/v2/b/")
        assert api("GET", stolen).code == "BLOB_UPLOAD_UNKNOWN"

    def test_mounting(self, api: Api) -> None:
        digest = api.upload("a", BLOB)
        mounted = api("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a")
        assert (mounted.status, mounted.location) == (201, f"/v2/b/blobs/{digest}")
        assert api("GET", f"/v2/b/blobs/{digest}").body == BLOB

    @pytest.mark.parametrize(
        "query",
        [
            f"mount={ABSENT}&from=a",
            f"mount={DIGEST}&from=nope",
            f"mount={DIGEST}",
            f"mount={DIGEST}&from=../a",
        ],
    )
    def test_a_mount_that_can_t_be_is_an_upload(self, api: Api, query: str) -> None:
        api.upload("a", BLOB)
        answer = api("POST", f"/v2/b/blobs/uploads/?{query}")
        assert answer.status == 202
        assert api("PUT", f"{answer.location}?digest={DIGEST}", BLOB, OCTETS).status == 201

    def test_an_empty_blob(self, api: Api) -> None:
        assert api("GET", f"/v2/a/blobs/{api.upload('a', b'')}").body == b""

    def test_two_uploads_of_the_same_blob_at_once(self, api: Api) -> None:
        statuses: list[int] = []

        def upload() -> None:
            mine = Api(api.host)
            location = mine("POST", "/v2/a/blobs/uploads/").location
            statuses.append(mine("PUT", f"{location}?digest={DIGEST}", BLOB, OCTETS).status)
            mine.connection.close()

        threads = [threading.Thread(target=upload) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [201] * 8
        assert api("GET", f"/v2/a/blobs/{DIGEST}").body == BLOB

    def test_what_breaks_off_is_kept_for_resumption(self, api: Api) -> None:
        location = api("POST", "/v2/a/blobs/uploads/").location
        host, _, port = api.host.rpartition(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode()
                + BLOB[:30_000]
            )
            registries.until(lambda: api("GET", location).headers["range"] == "0-29999")
        stated = {"content-range": "30000-99999", **OCTETS}
        assert api("PATCH", location, BLOB[30_000:], stated).status == 202
        assert api("PUT", f"{location}?digest={DIGEST}").status == 201


class TestPushManifests:
    def test_the_answer_names_what_was_stored(self, api: Api) -> None:
        put = api.image("a", "v1")
        digest = put.headers["docker-content-digest"]
        assert (put.status, put.location) == (201, f"/v2/a/manifests/{digest}")

    def test_missing_blobs_are_named(self, api: Api) -> None:
        answer = api.put("a", "v1", manifest(api.upload("a", b"{}"), ABSENT))
        assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert ABSENT in answer.body.decode()
        assert api("GET", "/v2/a/manifests/v1").status == 404

    def test_layers_that_others_distribute_may_be_missing(self, api: Api) -> None:
        document = manifest(api.upload("a", b"{}"), ABSENT)
        layer = cast("list[dict[str, object]]", document["layers"])[0]
        layer["urls"] = ["https://x.example/layer"]
        assert api.put("a", "v1", document).status == 201

    def test_an_index_needs_its_manifests(self, api: Api) -> None:
        put = api.image("a", "v1")
        digest = put.headers["docker-content-digest"]
        size = len(api("GET", "/v2/a/manifests/v1").body)

        def index(child: str) -> Mapping[str, object]:
            entry = {"mediaType": OCI_MANIFEST, "digest": child, "size": size}
            return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}

        assert api.put("a", "all", index(digest), OCI_INDEX).status == 201
        assert api("GET", "/v2/a/manifests/all").headers["content-type"] == OCI_INDEX
        assert api.put("a", "bad", index(ABSENT), OCI_INDEX).code == "MANIFEST_BLOB_UNKNOWN"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"", OCI_MANIFEST),
            (b"not json", OCI_MANIFEST),
            (b"[]", OCI_MANIFEST),
            (b"{}", OCI_MANIFEST),
            (b'{"schemaVersion":1}', OCI_MANIFEST),
            (b'{"schemaVersion":2}', "text/plain"),
            (
                b'{"schemaVersion":2,"manifests":[]}',
                "application/vnd.docker.distribution.manifest.v1+json",
            ),
            (
                b'{"schemaVersion":2,"mediaType":"' + OCI_INDEX.encode() + b'","manifests":[]}',
                OCI_MANIFEST,
            ),
            (b"[" * 200_000, OCI_MANIFEST),
        ],
    )
    def test_what_is_no_manifest(self, api: Api, body: bytes, kind: str) -> None:
        answer = api("PUT", "/v2/a/manifests/v1", body, {"content-type": kind})
        assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")

    def test_too_large_manifests(self, api: Api) -> None:
        answer = api("PUT", "/v2/a/manifests/v1", b" " * (5 << 20), {"content-type": OCI_MANIFEST})
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")
        assert api("GET", "/v2/").status == 200

    def test_a_digest_must_be_the_manifest_s(self, api: Api) -> None:
        answer = api.put("a", ABSENT, manifest(ABSENT, ABSENT))
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")

    @pytest.mark.parametrize("tag", [".x", "-x", "a" * 129, "a b".replace(" ", "%20"), "%2e%2e"])
    def test_tags_outside_the_grammar(self, api: Api, tag: str) -> None:
        answer = api.put("a", tag, {})
        assert (answer.status, answer.code) == (400, "TAG_INVALID")

    def test_a_tag_moves(self, api: Api) -> None:
        first = api.image("a", "v1").headers["docker-content-digest"]
        second = api.image("a", "v1", annotations={"a": "b"}).headers["docker-content-digest"]
        assert first != second
        assert api("HEAD", "/v2/a/manifests/v1").headers["docker-content-digest"] == second
        assert api("HEAD", f"/v2/a/manifests/{first}").status == 200


class TestTags:
    def test_all_sorted(self, api: Api) -> None:
        for tag in ("v2", "v10", "latest"):
            api.image("a/b", tag)
        answer = api("GET", "/v2/a/b/tags/list")
        assert answer.document == {"name": "a/b", "tags": ["latest", "v10", "v2"]}
        assert "link" not in answer.headers

    def test_pages(self, api: Api) -> None:
        for number in range(5):
            api.image("a", f"t{number}")
        found: list[object] = []
        path: str | None = "/v2/a/tags/list?n=2"
        while path:
            answer = api("GET", path)
            found += cast("list[object]", answer.document["tags"])
            link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
            path = link[1] if link else None
        assert found == ["t0", "t1", "t2", "t3", "t4"]
        assert api("GET", "/v2/a/tags/list?n=0").document["tags"] == []
        assert api("GET", "/v2/a/tags/list?last=t3").document["tags"] == ["t4"]
        assert api("GET", "/v2/a/tags/list?n=x").status == 400

    def test_an_unknown_repository(self, api: Api) -> None:
        assert api("GET", "/v2/nope/tags/list").code == "NAME_UNKNOWN"

    def test_a_repository_without_tags(self, api: Api) -> None:
        put = api.image("a", "v1")
        api("DELETE", "/v2/a/manifests/v1")
        assert api("GET", "/v2/a/tags/list").document == {"name": "a", "tags": []}
        assert api("HEAD", put.location).status == 200

    def test_the_catalog(self, api: Api) -> None:
        for name in ("b", "a/b", "a"):
            api.image(name, "v1")
        assert api("GET", "/v2/_catalog").document == {"repositories": ["a", "a/b", "b"]}
        first = api("GET", "/v2/_catalog?n=1")
        assert first.headers["link"] == '</v2/_catalog?n=1&last=a>; rel="next"'


class TestReferrers:
    def entries(self, api: Api, subject: str, query: str = "") -> list[dict[str, object]]:
        answer = api("GET", f"/v2/a/referrers/{subject}{query}")
        assert (answer.status, answer.headers["content-type"]) == (200, OCI_INDEX)
        assert answer.document["mediaType"] == OCI_INDEX
        return cast("list[dict[str, object]]", answer.document["manifests"])

    def attach(self, api: Api, subject: str, kind: str) -> str:
        about = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 3}
        put = api.image(
            "a", kind, artifactType=f"application/{kind}", subject=about, annotations={"kind": kind}
        )
        assert put.headers["oci-subject"] == subject
        return put.headers["docker-content-digest"]

    def test_what_refers_is_listed_with_type_and_annotations(self, api: Api) -> None:
        subject = api.image("a", "v1").headers["docker-content-digest"]
        assert self.entries(api, subject) == []
        attached = {self.attach(api, subject, kind): kind for kind in ("sbom", "signature")}
        found = self.entries(api, subject)
        assert {e["digest"]: e["artifactType"] for e in found} == {
            digest: f"application/{kind}" for digest, kind in attached.items()
        }
        assert {str(e["annotations"]) for e in found} == {
            "{'kind': 'sbom'}",
            "{'kind': 'signature'}",
        }

    def test_filtering(self, api: Api) -> None:
        for kind in ("sbom", "signature"):
            self.attach(api, ABSENT, kind)
        assert len(self.entries(api, ABSENT)) == 2
        [found] = self.entries(api, ABSENT, "?artifactType=application/sbom")
        assert found["artifactType"] == "application/sbom"
        answer = api("GET", f"/v2/a/referrers/{ABSENT}?artifactType=application/sbom")
        assert answer.headers["oci-filters-applied"] == "artifactType"

    def test_without_an_artifact_type_the_config_s_counts(self, api: Api) -> None:
        about = {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 3}
        api.image("a", "x", subject=about)
        assert self.entries(api, ABSENT)[0]["artifactType"] == OCI_CONFIG

    def test_a_deleted_referrer_is_gone(self, api: Api) -> None:
        digest = self.attach(api, ABSENT, "sbom")
        assert api("DELETE", f"/v2/a/manifests/{digest}").status == 202
        assert self.entries(api, ABSENT) == []

    def test_the_tag_schema_of_older_clients_counts_too(self, api: Api) -> None:
        put = api.image("a", "v1")
        entry = {
            "mediaType": OCI_MANIFEST,
            "digest": put.headers["docker-content-digest"],
            "size": len(api("GET", "/v2/a/manifests/v1").body),
            "artifactType": "x/y",
        }
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        assert api.put("a", ABSENT.replace(":", "-"), index, OCI_INDEX).status == 201
        assert [e["artifactType"] for e in self.entries(api, ABSENT)] == ["x/y"]

    def test_a_bad_digest(self, api: Api) -> None:
        assert api("GET", "/v2/a/referrers/x").code == "DIGEST_INVALID"


class TestDelete:
    def test_a_tag_leaves_the_manifest(self, api: Api) -> None:
        put = api.image("a", "v1")
        assert api("DELETE", "/v2/a/manifests/v1").status == 202
        assert api("DELETE", "/v2/a/manifests/v1").code == "MANIFEST_UNKNOWN"
        assert api("GET", put.location).status == 200

    def test_a_manifest_takes_its_tags(self, api: Api) -> None:
        put = api.image("a", "v1")
        assert api("DELETE", put.location).status == 202
        assert api("GET", "/v2/a/manifests/v1").status == 404
        assert api("DELETE", put.location).code == "MANIFEST_UNKNOWN"

    def test_a_blob_leaves_one_repository(self, api: Api) -> None:
        digest = api.upload("a", BLOB)
        api.upload("b", BLOB)
        assert api("DELETE", f"/v2/a/blobs/{digest}").status == 202
        assert api("GET", f"/v2/a/blobs/{digest}").status == 404
        assert api("GET", f"/v2/b/blobs/{digest}").status == 200

    def test_deleting_is_off_by_default(self, tmp_path: Path) -> None:
        with registries.ours(tmp_path / "other") as registry:
            api = Api(registry.host)
            put, digest = api.image("a", "v1"), str(DIGEST)
            for path in (put.location, "/v2/a/manifests/v1", f"/v2/a/blobs/{digest}"):
                assert api("DELETE", path).code == "UNSUPPORTED"
                assert api("GET", path).status == 200
            api.connection.close()


class TestReadOnly:
    def test_nothing_can_be_changed(self, tmp_path: Path) -> None:
        with registries.ours(tmp_path / "r") as registry:
            api = Api(registry.host)
            api.image("a", "v1")
            api.connection.close()
        with registries.ours(tmp_path / "r", Options(read_only=True, deletes=True)) as registry:
            api = Api(registry.host)
            assert api("GET", "/v2/a/manifests/v1").status == 200
            assert api("POST", "/v2/a/blobs/uploads/").code == "UNSUPPORTED"
            assert api.put("a", "v2", {}).code == "UNSUPPORTED"
            assert api("DELETE", "/v2/a/manifests/v1").code == "UNSUPPORTED"
            api.connection.close()


class TestHttp:
    def raw(self, api: Api, data: bytes) -> bytes:
        host, _, port = api.host.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: raw.recv(65536), b""))

    @pytest.mark.parametrize(
        "headers",
        [
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 1, 2\r\n",
            b"Content-Length: +5\r\n",
        ],
    )
    def test_two_ways_to_read_a_body_are_refused(self, api: Api, headers: bytes) -> None:
        request = b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\nhello"
        answer = self.raw(api, request)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1") == 1

    @pytest.mark.parametrize(
        "body", [b"zz\r\n", b"5\r\nab", b"-1\r\n", b"3\r\nabcX\r\n0\r\n\r\n", b""]
    )
    def test_broken_chunks_change_nothing(self, api: Api, body: bytes) -> None:
        head = b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.raw(api, head + body)
        assert api("GET", "/v2/a/manifests/x").status == 404

    def test_an_unread_body_does_not_become_the_next_request(self, api: Api) -> None:
        smuggled = b"DELETE /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"
        api.image("a", "v1")
        for size in (len(smuggled), 3 << 20):
            head = f"PUT /v2/A/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            answer = self.raw(api, head.encode() + smuggled.ljust(size))
            assert answer.count(b"HTTP/1.1 ") <= 1
        assert api("GET", "/v2/a/manifests/v1").status == 200
