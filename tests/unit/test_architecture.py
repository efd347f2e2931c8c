"""Imports go one way, modules stay small, only cli/ prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "wasmimg_images": "images",
    "wasmimg_builder": "builder",
    "wasmimg_shim": "shim",
    "wasmimg_compose": "compose",
    "wasmimg": "cli",
}
ALLOWED = {
    "wasmimg_images": set[str](),
    "wasmimg_builder": {"wasmimg_images"},
    "wasmimg_shim": {"wasmimg_images"},
    "wasmimg_compose": {"wasmimg_images", "wasmimg_builder", "wasmimg_shim"},
    "wasmimg": {"wasmimg_images", "wasmimg_builder", "wasmimg_shim", "wasmimg_compose"},
}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
MODULES = sorted(
    p for name, folder in PACKAGES.items() for p in (ROOT / folder / name).rglob("*.py")
)


def package_of(module: Path) -> str:
    return module.relative_to(ROOT).parts[1]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(module: Path) -> None:
    package = package_of(module)
    ours = set(imported(ast.parse(module.read_text()))) & set(PACKAGES)
    assert ours - {package} <= ALLOWED[package]


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_one_noun_of_at_most_400_lines(module: Path) -> None:
    assert module.stem not in BANNED_NAMES
    assert len(module.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if package_of(module) != "wasmimg"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_only_the_command_line_prints(module: Path) -> None:
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not calls


def test_every_package_is_typed() -> None:
    assert all((ROOT / folder / name / "py.typed").exists() for name, folder in PACKAGES.items())
