"""Other libraries' private names are touched in `_compat` only."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tabstudio"
FILES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
DOCUMENTED = {"_asdict", "_exit", "_fields", "_getframe", "_replace"}
"""Of named tuples, `os` and `sys`: public in all but name."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def defined(tree: ast.AST) -> set[str]:
    """Names that a file of ours gives to something: of functions, classes, variables, attributes, fields."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tabstudio"):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


OURS = set().union(*map(defined, FILES.values())) | {"_compat", "_util", "_version"} | DOCUMENTED


def foreign(tree: ast.AST) -> list[str]:
    """Private names in a file that nothing of ours defines, with their lines."""
    wrong = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("tabstudio"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
            names = [] if names[0] == "tabstudio" else names
        elif isinstance(node, ast.Attribute) and node.attr not in OURS:
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and name.value not in OURS:
                names = [str(name.value)]
        wrong += [f"{node.lineno}: {name}" for name in names if is_private(name)]
    return wrong


def test_private_names_of_others_stand_in_compat_only():
    wrong = {
        str(path.relative_to(SOURCE)): names
        for path, tree in FILES.items()
        if path.parent.name != "_compat" and (names := foreign(tree))
    }
    assert wrong == {}


def test_a_private_name_of_another_library_is_found():
    source = "import torch\nfrom mlflow._x import y\ntorch._C.z\nhasattr(torch, '_none_such')\nself.own\n"
    assert sorted(foreign(ast.parse(source))) == ["2: _x", "3: _C", "4: _none_such"]
