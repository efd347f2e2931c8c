"""`wasmimg images`: what is in the local store."""

from __future__ import annotations

import json
import os

import click

from wasmimg.console import ago, table
from wasmimg.size import human
from wasmimg_images.disk_usage import summarize
from wasmimg_images.home import Home
from wasmimg_images.layout import Store


@click.command("images", short_help="List the images in the local store.")
@click.option("-q", "--quiet", is_flag=True, help="Print image ids only.")
@click.option("--digests", is_flag=True, help="Show whole digests.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(quiet: bool, digests: bool, as_json: bool) -> None:
    """List the images in the local store, with the room that their blobs take."""
    store = Store(Home.from_environ(os.environ).store)
    images = store.images()
    if quiet:
        for digest in dict.fromkeys(descriptor.digest for _, descriptor in images):
            print(digest if digests else digest.short)
        return
    rows: list[list[str]] = []
    documents: list[dict[str, object]] = []
    for reference, descriptor in images:
        summary = summarize(store, descriptor)
        platforms = [str(platform) for platform in summary.platforms]
        rows.append(
            [
                reference.familiar_name,
                reference.tag or "<none>",
                str(descriptor.digest) if digests else descriptor.digest.short,
                _created(summary.created),
                human(summary.size),
                ",".join(platforms),
            ],
        )
        documents.append(
            {
                "reference": reference.familiar(),
                "digest": str(descriptor.digest),
                "mediaType": descriptor.media_type,
                "size": summary.size,
                "platforms": platforms,
            },
        )
    if as_json:
        print(json.dumps(documents, indent=2))
    else:
        table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "PLATFORMS"], rows)


def _created(moment: float | None) -> str:
    """Say when, but for what is no real date: none, or the 1970 of reproducible builds."""
    return ago(moment) if moment else "-"
