"""The packages of `autologging` stand in a row, and each imports only what stands to its left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tabstudio.autologging

SOURCE = Path(tabstudio.autologging.__file__).parent
ROW = ("trace", "events", "instrument", "epochs", "observers", "launch")


def layer_of(name: str) -> str:
    return name.split(".")[2]


def imported(path: Path) -> set[str]:
    """Layers that a file imports, at its top or late, but not for its types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in types and node.module:
            if node.module == "tabstudio.autologging":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("tabstudio.autologging."):
                found.add(layer_of(node.module))
    return found


@pytest.mark.parametrize("layer", ROW)
def test_a_layer_imports_what_stands_to_its_left(layer):
    files = sorted((SOURCE / layer).glob("*.py")) or [SOURCE / f"{layer}.py"]
    allowed = {*ROW[: ROW.index(layer)], layer}
    wrong = {path.name: imported(path) - allowed for path in files if imported(path) - allowed}
    assert wrong == {}


def test_every_module_stands_in_a_layer():
    assert {path.stem for path in SOURCE.iterdir() if path.suffix != ".pyc"} - {
        "__init__",
        "__pycache__",
    } == set(ROW)
