"""Push and pull as callers see them: references and a store in, descriptors out."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from wasmimg_images.image import runnable
from wasmimg_images.registry.blob_upload import CHUNK_SIZE, Forgetful, ResumptionFolder
from wasmimg_images.registry.credentials import Credentials
from wasmimg_images.registry.message import Request
from wasmimg_images.registry.progress import unwatched
from wasmimg_images.registry.pull import Pull
from wasmimg_images.registry.push import Push, Pushed
from wasmimg_images.registry.session import Effects, Session, base_url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.registry.blob_upload import Resumptions
    from wasmimg_images.registry.credentials import Credential, CredentialSource
    from wasmimg_images.registry.progress import Watch
    from wasmimg_images.spec import Descriptor, Platform

#: Hosts called without TLS, separated by commas.
INSECURE_VARIABLE = "WASMIMG_INSECURE_REGISTRIES"


class Client:
    """Talks to any number of registries; connections and tokens are kept between calls."""

    def __init__(
        self,
        credentials: CredentialSource,
        effects: Effects,
        *,
        plain_http: bool | None = None,
        insecure: Collection[str] = (),
        resumptions: Resumptions | None = None,
        chunk: int = CHUNK_SIZE,
    ) -> None:
        self._credentials = credentials
        self._effects = effects
        self._plain_http = plain_http
        self._insecure = insecure
        self._resumptions = resumptions or Forgetful()
        self._chunk = chunk
        self._sessions: dict[tuple[str, str], Session] = {}
        self._guard = threading.Lock()

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str],
        *,
        plain_http: bool | None = None,
        cache: Path | None = None,
        credentials: CredentialSource | None = None,
        chunk: int = CHUNK_SIZE,
    ) -> Client:
        """Take credentials, certificates and insecure hosts where container tools take them.

        `plain_http` None means: TLS for all but this machine and hosts named insecure.
        Interrupted uploads are remembered below `cache`.
        """
        from wasmimg_images.registry.transport import HttpTransport

        names = environ.get(INSECURE_VARIABLE, "").split(",")
        return cls(
            credentials or Credentials.from_environ(environ),
            Effects(HttpTransport(environ)),
            plain_http=plain_http,
            insecure={name.strip() for name in names if name.strip()},
            resumptions=ResumptionFolder(cache / "uploads") if cache else None,
            chunk=chunk,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        self._effects.transport.close()

    def push(
        self,
        store: Store,
        reference: Reference,
        descriptor: Descriptor,
        watch: Watch = unwatched,
    ) -> Pushed:
        """Make `reference` stand for an image of the store, sending only what the registry lacks.

        Raises RegistryError, NotFound if the image is here in part only, DigestMismatch.
        """
        session = self._session(reference.registry, reference.repository)
        with store.lease():
            push = Push(session, store, reference, self._resumptions, chunk=self._chunk)
            return push.run(descriptor.plain(), watch)

    def pull(
        self,
        store: Store,
        reference: Reference,
        platforms: Sequence[Platform] | None = None,
        watch: Watch = unwatched,
        *,
        everything: bool = False,
    ) -> Descriptor:
        """Bring an image into the store under its name; gives the descriptor of what the name stands for.

        Default platforms: those that can run here (`image.runnable`). Raises RegistryError, NotFound,
        DigestMismatch.
        """
        session = self._session(reference.registry, reference.repository)
        wanted = None if everything else platforms or runnable()
        with store.lease():
            return Pull(session, store, reference).run(wanted, watch)

    def resolve(self, store: Store, reference: Reference) -> Descriptor:
        """Ask what a name stands for at its registry, without keeping anything."""
        session = self._session(reference.registry, reference.repository)
        return Pull(session, store, reference).resolve()[0]

    def check(self, host: str) -> None:
        """Call a registry's base address with what is known of it; raises Unauthorized."""
        session = self._session(host, "")
        session.exchange(f"login to {host}", Request("GET", "/v2/"), ()).close()

    def _session(self, host: str, repository: str) -> Session:
        with self._guard:
            session = self._sessions.get((host, repository))
            if session is None:
                base = base_url(host, plain_http=self._plain_http, insecure=self._insecure)

                def credential() -> Credential | None:
                    return self._credentials.get(host, repository)

                session = Session(host, base, credential, self._effects)
                self._sessions[host, repository] = session
            return session
