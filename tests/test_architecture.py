"""The layers of docs/architecture.md: a module imports only from rows below its own."""

import ast
import re
from pathlib import Path

import pytest

import skae

PACKAGE = Path(skae.__file__).parent
# Lowest first. Parts of one row never import each other, but for the lowest, where they are read in order.
ROWS = [
    ["_compat", "random", "device", "distributed", "precision", "graph", "interfaces"],
    ["networks", "objectives", "corruptions", "priors", "training", "inference"],
    ["tables", "images"],
    ["estimators"],
    ["outliers", "model_selection"],
    ["persistence"],
    ["plotting", "callbacks", "dask"],
]
LEVEL = {part: level for level, row in enumerate(ROWS) for part in row}
TORCH_CORE_MAY_USE = {"sklearn.base"}  # parameters of specifications, not estimators
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            # `from skae import corruptions` names a part as well as the package
            yield from (f"skae.{alias.name}" for alias in node.names if node.module == "skae")


def part_of(path):
    relative = path.relative_to(PACKAGE).with_suffix("")
    return relative.parts[0] if relative.parts[0] != "__init__" else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = part_of(path)
    if part is None:  # skae/__init__.py only re-exports
        return
    for name in imports(path):
        target = name.split(".")[1] if name.startswith("skae.") else None
        if target is None or target == part or target not in LEVEL:
            continue
        lowest = LEVEL[part] == 0
        assert LEVEL[target] < LEVEL[part] or (lowest and ROWS[0].index(target) < ROWS[0].index(part)), (
            f"{part} must not import {name}"
        )


CORE = [p for p in FILES if LEVEL.get(part_of(p), 9) <= 1 and p.stem != "_compat"]


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.stem)
def test_the_torch_core_knows_no_sklearn_estimator(path):
    assert {name for name in imports(path) if name.startswith("sklearn")} <= TORCH_CORE_MAY_USE


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=lambda p: str(p.parent.name))
def test_init_files_only_re_export(path):
    for node in ast.parse(path.read_text()).body:
        assert isinstance(node, ast.Import | ast.ImportFrom | ast.Expr | ast.Assign), f"{path}: line {node.lineno}"


@pytest.mark.parametrize("path", [p for p in FILES if p.stem != "_compat"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_private_interfaces_of_others_are_in_one_file(path):
    for name in imports(path):
        is_private = any(part.startswith("_") for part in name.split(".")[1:])
        assert name.startswith("skae.") or not is_private, f"{path} imports {name}"
    assert not re.search(r"torch\._[a-z]|ops\.aten", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 350


def test_every_part_has_a_row():
    assert {part_of(path) for path in FILES} - {None} == set(LEVEL)
