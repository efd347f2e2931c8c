"""`python bench [NAME…]`: measure, print the table, write bench/results.json.

Without names all groups are measured. Nothing here asserts: figures are read by people.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from rows import table

if TYPE_CHECKING:
    from rows import Row

#: Modules beside this one, each with `measure() -> list[Row]`.
GROUPS = ("build", "http", "start", "density", "registry", "engines")
RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    """Measure the groups that are named."""
    chosen = sys.argv[1:] or list(GROUPS)
    unknown = sorted(set(chosen) - set(GROUPS))
    if unknown:
        print(
            f"bench: unknown: {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr
        )
        return 2
    rows: list[Row] = []
    for name in chosen:
        print(f"== {name}", file=sys.stderr)
        rows += importlib.import_module(f"measure_{name}").measure()
    print(table(rows))
    documents = {row.name: row.document() for row in rows}
    if RESULTS.exists() and len(chosen) < len(GROUPS):
        for document in json.loads(RESULTS.read_text()):
            documents.setdefault(document["name"], document)
    draft = RESULTS.with_suffix(".json.partial")
    draft.write_text(json.dumps(list(documents.values()), indent=2) + "\n")
    os.replace(draft, RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
