"""What `wasmimg build` prints: the plan of a dry run, or the outcome."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_builder.build import Builder, Built, Request


def describe(builder: Builder, request: Request, exports: Sequence[object], *, push: bool) -> None:
    """Print the plan, one operation a line."""
    plan = builder.plan(request)
    for operation in plan.operations():
        print(operation.describe())
    for export in exports:
        print(f"write {export}")
    for tag in plan.tags if push else ():
        print(f"push {tag.reference.familiar()}")


def report(built: Built, *, as_json: bool) -> None:
    """Print the outcome."""
    reference = built.references[0].with_digest(built.descriptor.digest)
    if not as_json:
        print(reference.familiar())
        return
    document = {
        "reference": reference.familiar(),
        "digest": str(built.descriptor.digest),
        "mediaType": built.descriptor.media_type,
        "tags": [tag.familiar() for tag in built.references],
        "toolchain": built.toolchain,
        "cached": built.cached,
        "moduleSize": built.module_size,
        "layerSize": built.layer_size,
    }
    print(json.dumps(document, indent=2))
