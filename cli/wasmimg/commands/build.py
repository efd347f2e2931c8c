"""`wasmimg build`: from a project, or a module, to an image in the local store and beyond."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import cast, get_args

import click

from wasmimg_builder.assemble import Shape
from wasmimg_builder.build import Builder, Built, Request
from wasmimg_builder.toolchains.choice import NAMES
from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference


@click.command("build", short_help="Build an image from a Rust project or a .wasm file.")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("-t", "--tag", "tags", multiple=True, help="Name the image; may be repeated.")
@click.option("--bin", "binary", help="Which binary, where a project has several.")
@click.option("--toolchain", type=click.Choice(["auto", *NAMES]), default="auto")
@click.option("--shape", type=click.Choice(get_args(Shape)), default="index", show_default=True)
@click.option("--optimize", is_flag=True, help="Shrink the module with wasm-opt.")
@click.option("--no-cache", is_flag=True, help="Compile everything anew.")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    help="Also write oci:DIR, oci-archive:FILE or docker-archive:FILE.",
)
@click.option("--push", is_flag=True, help="Push the image under every tag.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("-q", "--quiet", is_flag=True, help="No progress; the digest reference alone.")
def command(
    path: Path,
    tags: tuple[str, ...],
    binary: str | None,
    toolchain: str,
    shape: str,
    optimize: bool,
    no_cache: bool,
    outputs: tuple[str, ...],
    push: bool,
    as_json: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Build an image from PATH: a Cargo project, a workspace, or a .wasm file (default: here).

    The image's reference by digest is printed on standard output, everything else on standard
    error. wasmimg.yaml beside the project is optional.
    """
    from wasmimg.build_report import describe, report
    from wasmimg.export import Export, write_exports

    home = Home.from_environ(os.environ)
    exports = [Export.parse(text) for text in outputs]
    request = Request(
        path,
        tuple(Reference.parse(tag) for tag in tags),
        toolchain,
        binary,
        cast("Shape", shape),
        fresh=no_cache,
        optimize=optimize,
    )
    held: list[str] = []

    def say(line: str) -> None:
        held.append(line)
        if not quiet:
            print(line, file=sys.stderr)

    store = Store(home.store)
    builder = Builder(store, home.cache, os.environ, say)
    if dry_run:
        describe(builder, request, exports, push=push)
        return
    try:
        built = builder.build(request)
    except BaseException:
        if quiet:
            print("\n".join(held), file=sys.stderr)
        raise
    write_exports(store, exports, built.descriptor, built.references)
    if push:
        push_all(store, home, built, quiet=quiet)
    report(built, as_json=as_json)


def push_all(store: Store, home: Home, built: Built, *, quiet: bool) -> None:
    """Push the image under all its names."""
    from wasmimg.transfer import TransferLines
    from wasmimg_images.registry.client import Client

    with Client.from_environ(os.environ, cache=home.cache) as client:
        for reference in built.references:
            with contextlib.closing(TransferLines("pushed", quiet=quiet)) as lines:
                client.push(store, reference, built.descriptor, lines)
