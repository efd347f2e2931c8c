from __future__ import annotations

from pathlib import Path

import pytest

from wasmimg_builder.cargo import discover
from wasmimg_images.errors import InvalidInput, NotFound


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def package(name: str, extra: str = "") -> str:
    return f'[package]\nname = "{name}"\n{extra}'


def test_a_package_with_main_is_its_own_binary(tmp_path: Path) -> None:
    write(tmp_path, {"Cargo.toml": package("app"), "src/main.rs": "", "Cargo.lock": ""})
    project = discover(tmp_path, wanted=None)
    assert (project.binary.package, project.binary.name) == ("app", "app")
    assert project.root == tmp_path
    assert project.locked
    assert not project.sets_strip


def test_a_profile_of_the_projects_own_is_respected(tmp_path: Path) -> None:
    extra = "[profile.release]\nstrip = false\n"
    write(tmp_path, {"Cargo.toml": package("app", extra), "src/main.rs": ""})
    assert discover(tmp_path, wanted=None).sets_strip


def test_several_programs_must_be_told_apart(tmp_path: Path) -> None:
    files = {"Cargo.toml": package("app"), "src/main.rs": "", "src/bin/one.rs": ""}
    write(tmp_path, {**files, "src/bin/two/main.rs": ""})
    with pytest.raises(InvalidInput) as caught:
        discover(tmp_path, wanted=None)
    assert "app, one, two" in caught.value.message
    assert "--bin" in str(caught.value.hint)
    assert discover(tmp_path, wanted="two").binary.name == "two"
    with pytest.raises(NotFound, match="'three'"):
        discover(tmp_path, wanted="three")


def test_default_run_decides(tmp_path: Path) -> None:
    files = {"Cargo.toml": package("app", 'default-run = "one"'), "src/main.rs": ""}
    write(tmp_path, {**files, "src/bin/one.rs": ""})
    assert discover(tmp_path, wanted=None).binary.name == "one"


def test_listed_binaries_count(tmp_path: Path) -> None:
    extra = '[[bin]]\nname = "named"\npath = "src/main.rs"\n'
    write(tmp_path, {"Cargo.toml": package("app", extra), "src/main.rs": ""})
    assert discover(tmp_path, wanted=None).binary.name == "named"


def test_a_workspace_is_searched(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\nexclude = ["crates/old"]\n',
            "crates/lib/Cargo.toml": package("lib"),
            "crates/lib/src/lib.rs": "",
            "crates/app/Cargo.toml": package("app"),
            "crates/app/src/main.rs": "",
            "crates/old/Cargo.toml": package("old"),
            "crates/old/src/main.rs": "",
        },
    )
    project = discover(tmp_path, wanted=None)
    assert project.binary.name == "app"
    assert project.root == tmp_path
    member = discover(tmp_path / "crates/app", wanted=None)
    assert member.root == tmp_path
    assert discover(tmp_path / "crates/old", wanted=None).root == tmp_path / "crates/old"


def test_sources_are_those_of_local_packages(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["app", "shared", "unused"]\n'
            '[workspace.dependencies]\nshared = { path = "shared" }\n',
            "Cargo.lock": "",
            "app/Cargo.toml": package("app", "[dependencies]\nshared.workspace = true\n"),
            "app/src/main.rs": "",
            "app/assets/page.html": "",
            "app/target/junk": "",
            "app/.git/junk": "",
            "shared/Cargo.toml": package("shared", '[dependencies]\nfar = { path = "../../far" }'),
            "shared/src/lib.rs": "",
            "unused/Cargo.toml": package("unused"),
            "unused/src/lib.rs": "",
        },
    )
    far = write(tmp_path.parent / "far", {"Cargo.toml": package("far"), "src/lib.rs": ""})
    project = discover(tmp_path / "app", wanted=None)
    assert set(project.packages()) == {tmp_path / "app", tmp_path / "shared", far}
    names = {str(path) for path in project.sources()}
    assert {
        f"{tmp_path}/{n}" for n in ("app/src/main.rs", "app/assets/page.html", "Cargo.lock")
    } <= names
    assert f"{far}/src/lib.rs" in names
    assert not any("junk" in name or "unused" in name for name in names)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "does not exist"),
        ({"Cargo.toml": "[package"}, "Cargo.toml"),
        ({"Cargo.toml": "[package]\n"}, "has no name"),
        ({"Cargo.toml": "[workspace]\n"}, "neither a [package] nor workspace members"),
        ({"Cargo.toml": package("x"), "src/lib.rs": ""}, "it is a library"),
    ],
)
def test_what_can_not_be_built_is_named(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    write(tmp_path, files)
    with pytest.raises((InvalidInput, NotFound)) as caught:
        discover(tmp_path, wanted=None)
    assert message in caught.value.message
