from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_builder.image_files import Entry, collect
from wasmimg_builder.projectfile import ImageFile
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def test_links_are_packed_as_links(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link").symlink_to("../outside")
    assert collect([ImageFile("/link", "link", "w:1:1")], project) == [
        Entry("/link", link="../outside")
    ]


def test_no_link_leads_out_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "project" / "inner").mkdir(parents=True)
    real = tmp_path / "project"
    (real / "inner" / "file").write_text("ours")
    (real / "out").symlink_to("../outside")
    (real / "in").symlink_to("inner")
    (tmp_path / "by-link").symlink_to("project")
    for project in (real, tmp_path / "by-link"):
        with pytest.raises(InvalidInput, match=r"w:1:1: .*out/secret is by a link not below"):
            collect([ImageFile("/x", "out/secret", "w:1:1")], project)
        found = collect([ImageFile("/x", "in/file", "w:1:1")], project)
        assert found == [Entry("/x", project / "in" / "file")]
